//! What a component says about itself.

use std::fmt::Write as _;

use volward_model::Bytes;
use volward_policy::{CompileError, INTERFACE, Settings, digest};
use wasmtime::component::Component;

use crate::componentize::imports;
use crate::{InProcess, bench, is_component, one_line};

/// Enough for a median.
const ROUNDS: u32 = 200;

/// Size, digest, interface, exports and imports, as text for people.
///
/// # Errors
/// If it is not a component.
pub fn describe(
    compiler: &InProcess,
    bytes: &[u8],
    settings: &Settings,
) -> Result<String, CompileError> {
    is_component(bytes)?;
    let engine = compiler.engine();
    let component = Component::new(engine, bytes).map_err(|error| CompileError::Refused {
        reason: one_line(&format!("{error:#}")),
    })?;
    let ty = component.component_type();
    let exports: Vec<&str> = ty.exports(engine).map(|(name, _)| name).collect();
    let imports: Vec<&str> = ty.imports(engine).map(|(name, _)| name).collect();

    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        // Writing to a String does not fail.
        let _ok = writeln!(text, "{key:<10} {value}");
    };
    line("size", &format!("{} bytes", bytes.len()));
    line("digest", &digest(bytes));
    line("interface", &interfaces(&exports));
    exports.iter().for_each(|name| line("export", name));
    imports.iter().for_each(|name| line("import", name));
    costs(bytes, settings, &mut line);
    Ok(text)
}

/// Whether a component asks for its configuration.
///
/// # Errors
/// If it cannot be read.
pub fn reads_configuration(component: &[u8]) -> anyhow::Result<bool> {
    let own = |name: &String| name.starts_with("volward:policy/config@");
    Ok(imports(component)?.iter().any(own))
}

/// What it costs to load and to instantiate; or why it is not loaded.
fn costs(bytes: &[u8], settings: &Settings, line: &mut impl FnMut(&str, &str)) {
    let us = |ns: u64| format!("{} us", ns / 1000);
    match bench::loading("inspected", bytes, settings, ROUNDS) {
        Err(error) => line("loads", &format!("no: {}", one_line(&format!("{error:#}")))),
        Ok(loading) => {
            line("hooks", &loading.hooks.join(", "));
            line("compile", &format!("{}, once", us(loading.compile_ns)));
            line(
                "instance",
                &format!(
                    "{} with a request without disks; {} fuel and {} of memory when it is loaded",
                    us(loading.empty_ns),
                    loading.cost.fuel,
                    Bytes(loading.cost.memory)
                ),
            );
        }
    }
}

/// The versions of our interface among exported names, and whether they are this runtime's.
fn interfaces(exports: &[&str]) -> String {
    let version = |name: &&str| {
        let (interface, version) = name.rsplit_once('@')?;
        let (package, _) = interface.split_once('/')?;
        Some(format!("{package}@{version}"))
    };
    let mut found: Vec<String> = exports.iter().filter_map(version).collect();
    found.sort();
    found.dedup();
    match &found[..] {
        [] => format!("none (this runtime asks by {INTERFACE})"),
        [one] if one == INTERFACE => one.clone(),
        other => format!("{} (this runtime asks by {INTERFACE})", other.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_the_configuration_imports_it() {
        let importing = |name: &str| {
            let text = format!("(component (import \"volward:policy/{name}@0.1.0\" (instance)))");
            wat::parse_str(text).unwrap()
        };
        assert!(reads_configuration(&importing("config")).unwrap());
        assert!(!reads_configuration(&importing("log")).unwrap());
    }

    #[test]
    fn the_interface_is_read_from_the_exports() {
        assert_eq!(interfaces(&["volward:policy/attach@0.1.1"]), INTERFACE);
        assert!(interfaces(&["volward:policy/attach@9.0.0"]).starts_with("volward:policy@9.0.0 ("));
        assert!(interfaces(&["run"]).starts_with("none"));
    }
}
