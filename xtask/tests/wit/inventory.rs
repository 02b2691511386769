//! Everything a WIT package says, as lines that can be compared.

use std::collections::BTreeMap;

use wit_parser::{
    Function, Handle, InterfaceId, PackageName, Resolve, Stability, Type, TypeDefKind, WorldId,
    WorldItem, WorldKey,
};

/// One interface, type, function or world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// What it is, written out: fields, cases, parameters and results by name and type.
    pub(crate) shape: String,
    /// The version it came with; `None` where it bears no `@since`.
    pub(crate) since: Option<String>,
}

/// A parsed package. Items that are `@unstable` are not in it.
#[derive(Clone, Debug)]
pub(crate) struct Inventory {
    /// Of the package.
    pub(crate) version: String,
    /// By name: `facts`, `facts/space`, `facts/[method]node.name`, `world attach-hook`.
    pub(crate) items: BTreeMap<String, Item>,
    /// Names of interfaces that some world exports.
    pub(crate) exported: Vec<String>,
}

impl Inventory {
    /// Parses a package from its text.
    ///
    /// # Errors
    /// What the parser says.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("policy.wit", text);
        let package = package.map_err(|error| format!("{error:#}"))?;
        let package = &resolve.packages[package];
        let mut inventory = Self {
            version: version(&package.name),
            items: BTreeMap::new(),
            exported: Vec::new(),
        };
        for (name, id) in &package.interfaces {
            inventory.interface(&resolve, name, *id);
        }
        for (name, id) in &package.worlds {
            inventory.world(&resolve, name, *id);
        }
        Ok(inventory)
    }

    fn put(&mut self, name: String, shape: String, stability: &Stability) {
        let since = match stability {
            Stability::Stable { since, .. } => Some(since.to_string()),
            Stability::Unknown | Stability::Unstable { .. } => None,
        };
        self.items.insert(name, Item { shape, since });
    }

    fn interface(&mut self, resolve: &Resolve, name: &str, id: InterfaceId) {
        let interface = &resolve.interfaces[id];
        self.put(
            name.to_owned(),
            "interface".to_owned(),
            &interface.stability,
        );
        for (type_name, id) in &interface.types {
            let definition = &resolve.types[*id];
            let shape = kind(resolve, &definition.kind);
            self.put(format!("{name}/{type_name}"), shape, &definition.stability);
        }
        for (function_name, function) in &interface.functions {
            let shape = signature(resolve, function);
            self.put(
                format!("{name}/{function_name}"),
                shape,
                &function.stability,
            );
        }
    }

    /// A world's exports are its shape. What it imports more is met by the runtime, so imports
    /// are items of their own.
    fn world(&mut self, resolve: &Resolve, name: &str, id: WorldId) {
        let world = &resolve.worlds[id];
        let interface = |key: &WorldKey| match key {
            WorldKey::Interface(id) => resolve.interfaces[*id].name.clone().unwrap_or_default(),
            WorldKey::Name(name) => name.clone(),
        };
        let mut exports: Vec<String> = world.exports.keys().map(interface).collect();
        exports.sort();
        let shape = format!("exports {}", exports.join(", "));
        self.exported.append(&mut exports);
        self.put(format!("world {name}"), shape, &world.stability);
        for (key, item) in &world.imports {
            let name = format!("world {name}/import {}", interface(key));
            if let WorldItem::Interface { stability, .. } = item {
                self.put(name, "import".to_owned(), stability);
            } else {
                self.put(name, "no interface".to_owned(), &Stability::Unknown);
            }
        }
    }
}

fn version(name: &PackageName) -> String {
    name.version
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let parameters = function.params.iter();
    // A parameter's name is not part of what a component is linked by.
    let parameters: Vec<String> = parameters.map(|p| show(resolve, &p.ty)).collect();
    let result = function.result.as_ref().map(|ty| show(resolve, ty));
    format!(
        "func({}) -> {}",
        parameters.join(", "),
        result.unwrap_or_default()
    )
}

fn show(resolve: &Resolve, ty: &Type) -> String {
    let Type::Id(id) = ty else {
        return format!("{ty:?}").to_lowercase();
    };
    let definition = &resolve.types[*id];
    match &definition.name {
        Some(name) => name.clone(),
        None => kind(resolve, &definition.kind),
    }
}

fn list(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

fn kind(resolve: &Resolve, kind: &TypeDefKind) -> String {
    let show = |ty: &Type| show(resolve, ty);
    let maybe = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "_".to_owned(), show);
    match kind {
        TypeDefKind::Record(r) => {
            let fields = r
                .fields
                .iter()
                .map(|f| format!("{}: {}", f.name, show(&f.ty)));
            format!("record {{ {} }}", list(fields))
        }
        TypeDefKind::Variant(v) => {
            let cases = v
                .cases
                .iter()
                .map(|c| format!("{}({})", c.name, maybe(&c.ty)));
            format!("variant {{ {} }}", list(cases))
        }
        TypeDefKind::Enum(e) => {
            format!(
                "enum {{ {} }}",
                list(e.cases.iter().map(|c| c.name.clone()))
            )
        }
        TypeDefKind::Flags(f) => {
            format!(
                "flags {{ {} }}",
                list(f.flags.iter().map(|f| f.name.clone()))
            )
        }
        TypeDefKind::Tuple(t) => format!("tuple<{}>", list(t.types.iter().map(show))),
        TypeDefKind::Option(ty) => format!("option<{}>", show(ty)),
        TypeDefKind::List(ty) => format!("list<{}>", show(ty)),
        TypeDefKind::Result(r) => format!("result<{}, {}>", maybe(&r.ok), maybe(&r.err)),
        TypeDefKind::Handle(Handle::Own(id)) => show(&Type::Id(*id)),
        TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", show(&Type::Id(*id))),
        TypeDefKind::Type(ty) => format!("= {}", used(resolve, ty)),
        TypeDefKind::Resource => "resource".to_owned(),
        other => format!("{other:?}"),
    }
}

/// Where a `use` leads: interface and name.
fn used(resolve: &Resolve, ty: &Type) -> String {
    let Type::Id(id) = ty else {
        return show(resolve, ty);
    };
    let definition = &resolve.types[*id];
    let owner = match definition.owner {
        wit_parser::TypeOwner::Interface(id) => resolve.interfaces[id].name.clone(),
        _ => None,
    };
    format!(
        "{}.{}",
        owner.unwrap_or_default(),
        definition.name.clone().unwrap_or_default()
    )
}
