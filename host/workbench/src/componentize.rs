//! From a core module to a component: the last step of building a policy, whose compiler knows
//! nothing of components. `cargo xtask guests` has this file, too.

use anyhow::{Context, Result, bail};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The interface policies are written against.
const WIT: &str = include_str!("../../../wit/policy.wit");
/// The interfaces before it, by version: whoever has bindings of one of them goes on building against it.
const RELEASED: [(&str, &str); 2] = [
    (
        "0.1.0",
        include_str!("../../../wit/released/0.1.0/policy.wit"),
    ),
    (
        "0.1.1",
        include_str!("../../../wit/released/0.1.1/policy.wit"),
    ),
];
/// All a policy may import: it is what makes the sandbox one.
const ALLOWED_IMPORTS: &str = "volward:policy/";

/// A component of a core module. Modules built with the Rust SDK say themselves what they export;
/// for others `world` names the world of the interface they were written against, in the version that they name.
///
/// # Errors
/// If it does not fit the interface, or imports anything else.
pub fn componentize(module: &[u8], world: Option<&str>) -> Result<Vec<u8>> {
    let mut module = module.to_vec();
    if let Some(world) = world {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("policy.wit", interface_of(&module)?)?;
        let world = resolve
            .select_world(&[package], Some(world))
            .with_context(|| format!("the interface has no world {world}"))?;
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)?;
    }
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|encoder| encoder.encode())
        .context("it cannot be made a component")?;
    check_imports(&component)?;
    Ok(component)
}

/// The interface whose version the module's imports and exports name; the newest where they name none.
fn interface_of(module: &[u8]) -> Result<&'static str> {
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    names.push(import?.module);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    names.push(export?.name);
                }
            }
            _ => {}
        }
    }
    let version = |name: &'static str| {
        let at = format!("@{name}");
        names.iter().any(|named| {
            named.starts_with(ALLOWED_IMPORTS)
                && named.split('#').next().is_some_and(|n| n.ends_with(&at))
        })
    };
    let older = RELEASED.iter().find(|(name, _)| version(name));
    Ok(older.map_or(WIT, |(_, wit)| wit))
}

/// Whether a component imports our interface and nothing else.
///
/// # Errors
/// If it does not: what it imports.
pub fn check_imports(component: &[u8]) -> Result<()> {
    for import in imports(component)? {
        if !import.starts_with(ALLOWED_IMPORTS) {
            bail!("it imports {import}: a policy may import {ALLOWED_IMPORTS}* only");
        }
    }
    Ok(())
}

/// The component's own imports; those of what is nested in it are satisfied inside.
///
/// # Errors
/// If it cannot be read.
pub fn imports(component: &[u8]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    names.push(import?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wat(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn only_the_outermost_imports_count() {
        let component = wat(r#"(component (import "volward:policy/log@0.1.0" (instance))
            (core module (import "env" "f" (func))) (component (import "inner:a/b" (instance))))"#);
        assert_eq!(imports(&component).unwrap(), ["volward:policy/log@0.1.0"]);
        assert!(check_imports(&component).is_ok());
        let wasi = wat(r#"(component (import "wasi:clocks/wall-clock@0.2.0" (instance)))"#);
        let error = check_imports(&wasi).unwrap_err().to_string();
        assert!(error.starts_with("it imports wasi:clocks"), "{error}");
    }

    #[test]
    fn a_module_without_its_hooks_is_refused() {
        let module = wat("(module)");
        assert!(componentize(&module, Some("policy")).is_err());
        let error = componentize(&module, Some("polcy")).unwrap_err();
        assert_eq!(error.to_string(), "the interface has no world polcy");
    }

    fn hook(version: &str) -> Vec<u8> {
        wat(&format!(
            r#"(module (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 0)
            (func (export "volward:policy/attach@{version}#review") (param i32 i32) (result i32)
              i32.const 0))"#
        ))
    }

    #[test]
    fn a_module_in_another_language_becomes_a_component() {
        // Whoever has bindings of a version that is released need not make new ones.
        for version in ["0.1.0", "0.1.1"] {
            let module = hook(version);
            let component = componentize(&module, Some("attach-hook")).unwrap();
            assert!(Parser::is_component(&component));
            let text = String::from_utf8_lossy(&component).into_owned();
            assert!(text.contains(&format!("volward:policy/attach@{version}")));
        }
    }

    #[test]
    fn a_module_of_an_older_interface_has_that_ones_worlds() {
        let error = componentize(&hook("0.1.0"), Some("migrate-hook")).unwrap_err();
        assert_eq!(error.to_string(), "the interface has no world migrate-hook");
    }
}
