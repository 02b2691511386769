//! The rules of growth (docs/wit-evolution.md), and that each of them is noticed when broken.

use crate::inventory::{Inventory, Item};

/// What of today's interface would break a policy built against the released one, or is not the
/// permitted kind of growth.
pub(crate) fn violations(released: &Inventory, today: &Inventory) -> Vec<String> {
    let mut found = Vec::new();
    if numbers(&today.version) < numbers(&released.version) {
        found.push(format!(
            "{} is older than {}",
            today.version, released.version
        ));
    }
    for (name, old) in &released.items {
        match today.items.get(name) {
            None => found.push(format!("{name} is gone")),
            Some(new) if new.shape != old.shape => {
                found.push(format!("{name} was `{}` and is `{}`", old.shape, new.shape));
            }
            Some(new) if new.since != old.since => {
                found.push(format!("{name} is not since {:?} any more", old.since));
            }
            Some(_) => {}
        }
    }
    let added = today
        .items
        .iter()
        .filter(|(name, _)| !released.items.contains_key(*name));
    found.extend(added.filter_map(|(name, item)| forbidden(released, today, name, item)));
    found
}

/// Why something new may not be.
fn forbidden(released: &Inventory, today: &Inventory, name: &str, item: &Item) -> Option<String> {
    // What a new world includes keeps the gate of the world that it comes from.
    let of_world = name.split_once("/import ");
    if of_world.is_some_and(|(world, _)| !released.items.contains_key(world)) {
        return None;
    }
    let since = item.since.clone().unwrap_or_default();
    if numbers(&since) <= numbers(&released.version) {
        let released = &released.version;
        return Some(format!(
            "{name} is new, so its @since must be later than {released}"
        ));
    }
    if numbers(&since) > numbers(&today.version) {
        return Some(format!(
            "{name} is since {since}, and the package is {}",
            today.version
        ));
    }
    let interface = name.split('/').next().unwrap_or_default();
    let is_old_hook = released.exported.iter().any(|hook| hook == interface);
    is_old_hook.then(|| {
        format!("{name} is new in a hook: a policy built earlier does not have it; make a hook of its own")
    })
}

/// A version, to compare. Nothing released has a suffix.
fn numbers(version: &str) -> Vec<u64> {
    version.split('.').map(|n| n.parse().unwrap_or(0)).collect()
}

const RELEASED: &str = "
package a:b@0.1.0;
@since(version = 0.1.0)
interface told {
  @since(version = 0.1.0)
  record space { total: u64 }
  @since(version = 0.1.0)
  enum mode { none, all }
  @since(version = 0.1.0)
  resource node {
    @since(version = 0.1.0)
    name: func() -> string;
  }
}
@since(version = 0.1.0)
interface ask {
  @since(version = 0.1.0)
  use told.{node};
  @since(version = 0.1.0)
  review: func(n: borrow<node>) -> bool;
}
@since(version = 0.1.0)
world hook {
  @since(version = 0.1.0)
  import told;
  @since(version = 0.1.0)
  export ask;
}
";

/// The violations after one edit, with the package's version raised.
fn after(edit: &str, instead: &str) -> Vec<String> {
    assert_eq!(RELEASED.matches(edit).count(), 1, "{edit}");
    let today = RELEASED
        .replace(edit, instead)
        .replace("a:b@0.1.0", "a:b@0.1.1");
    let [old, new] = [RELEASED, &today].map(|text| Inventory::parse(text).unwrap());
    violations(&old, &new)
}

#[test]
fn the_permitted_kinds_of_growth_pass() {
    let accessor = "name: func() -> string;\n @since(version = 0.1.1)\n size: func() -> u64;";
    let ty = "enum mode { none, all }\n @since(version = 0.1.1)\n enum colour { red }";
    let interface =
        "@since(version = 0.1.1)\ninterface more { @since(version = 0.1.1) go: func(); }
        @since(version = 0.1.1)\nworld more-hook { @since(version = 0.1.1) export more; }
        @since(version = 0.1.0)\ninterface ask {";
    let including = "@since(version = 0.1.1)
        world both { @since(version = 0.1.1) include hook; }
        @since(version = 0.1.0)\nworld hook {";
    assert_eq!(
        after("@since(version = 0.1.0)\nworld hook {", including),
        [""; 0]
    );
    let import = "import told;\n @since(version = 0.1.1)\n import more;";
    assert_eq!(after("name: func() -> string;", accessor), [""; 0]);
    assert_eq!(after("enum mode { none, all }", ty), [""; 0]);
    assert_eq!(
        after("@since(version = 0.1.0)\ninterface ask {", interface),
        [""; 0]
    );
    assert_eq!(after("n: borrow<node>", "asked: borrow<node>"), [""; 0]);
    let text = RELEASED.replace("import told;", import);
    let text = format!(
        "{text}@since(version = 0.1.1)\ninterface more {{ @since(version = 0.1.1) go: func(); }}"
    );
    let today = Inventory::parse(&text.replace("a:b@0.1.0", "a:b@0.1.1")).unwrap();
    assert_eq!(
        violations(&Inventory::parse(RELEASED).unwrap(), &today),
        [""; 0]
    );
}

#[test]
fn every_edit_of_what_is_released_is_noticed() {
    for (edit, instead, said) in [
        (
            "{ total: u64 }",
            "{ total: u64, free: option<u64> }",
            "told/space was",
        ),
        ("{ none, all }", "{ none, some, all }", "told/mode was"),
        (
            "name: func() -> string;",
            "name: func() -> option<string>;",
            "[method]node.name was",
        ),
        (
            "name: func() -> string;",
            "called: func() -> string;",
            "[method]node.name is gone",
        ),
        (
            "(n: borrow<node>) -> bool",
            "(n: borrow<node>, m: u8) -> bool",
            "ask/review was",
        ),
        ("export ask;", "import ask;", "world hook was"),
        (
            "name: func() -> string;",
            "name: func() -> string;\n @since(version = 0.1.0)\n size: func() -> u64;",
            "its @since must be later than 0.1.0",
        ),
        (
            "review: func",
            "tick: func();\n @since(version = 0.1.1)\n review: func",
            "ask/review is not since",
        ),
        (
            "review: func(n: borrow<node>) -> bool;",
            "review: func(n: borrow<node>) -> bool;\n @since(version = 0.1.1)\n tick: func();",
            "ask/tick is new in a hook",
        ),
    ] {
        let found = after(edit, instead);
        assert!(
            found.iter().any(|v| v.contains(said)),
            "{instead}: {found:?}"
        );
    }
}

#[test]
fn nothing_is_added_without_a_new_version() {
    let text = RELEASED.replace(
        "name: func() -> string;",
        "name: func() -> string; size: func() -> u64;",
    );
    let [old, new] = [RELEASED, &text].map(|text| Inventory::parse(text).unwrap());
    assert_eq!(violations(&old, &new).len(), 1);
    let older = Inventory::parse(&RELEASED.replace("a:b@0.1.0", "a:b@0.2.0"));
    assert_eq!(
        violations(&older.unwrap(), &old),
        ["0.1.0 is older than 0.2.0"]
    );
}
