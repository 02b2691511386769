//! The C bindings that lie beside policies are what wit-bindgen makes of wit/policy.wit. With
//! `BLESS=1` they are written anew.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::path::Path;

use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

/// Where they lie, and of which world they are.
const KEPT: [(&str, &str); 3] = [
    ("examples/quiet-hours/c/bindings", "policy"),
    ("examples/one-rack/c/bindings", "migration-policy"),
    (
        "host/workbench/templates/operate/bindings",
        "operation-policy",
    ),
];

#[test]
fn they_are_what_the_interface_says() {
    for (folder, world) in KEPT {
        is_what_the_interface_says(folder, world);
    }
}

fn is_what_the_interface_says(folder: &str, world: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut resolve = Resolve::default();
    let package = resolve.push_file(root.join("wit/policy.wit")).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let options = wit_bindgen_c::Opts {
        // The component's type is added when it is put together: nothing binary to keep.
        no_object_file: true,
        // Strings and lists are called the same in every world, and so are the files: what one
        // policy does with them another can take over.
        rename_world: Some("policy".to_owned()),
        ..wit_bindgen_c::Opts::default()
    };
    let mut files = Files::default();
    options
        .build()
        .generate(&mut resolve, world, &mut files)
        .unwrap();
    let folder = root.join(folder);
    let mut seen = 0;
    for (name, content) in files.iter() {
        let path = folder.join(name);
        if std::env::var_os("BLESS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, content).unwrap();
        }
        let same = fs::read(&path).is_ok_and(|kept| kept == content);
        assert!(
            same,
            "{} differs: look at what BLESS=1 writes",
            path.display()
        );
        seen += 1;
    }
    assert_eq!(seen, 2, "a header and a source in {}", folder.display());
}
