use std::mem::{offset_of, size_of};

use super::*;
use crate::exec::{Exec, Invocation};

/// Our structs, in the words of the C program below.
fn ours() -> Vec<usize> {
    vec![
        size_of::<Disk>(),
        offset_of!(Disk, offset),
        // The C struct ends where its disks begin.
        offset_of!(Resource, disk),
        offset_of!(Resource, name),
        offset_of!(Resource, lver),
        offset_of!(Resource, flags),
        offset_of!(Resource, num_disks),
        size_of::<Lockspace>(),
        offset_of!(Lockspace, host_id),
        offset_of!(Lockspace, flags),
        offset_of!(Lockspace, host_id_disk),
        size_of::<Host>(),
        offset_of!(Host, generation),
        offset_of!(Host, timestamp),
        offset_of!(Host, flags),
    ]
}

const C: &str = r#"
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sanlock.h>
#include <sanlock_admin.h>
#include <sanlock_rv.h>
_Static_assert(SANLK_NAME_LEN == 48 && SANLK_PATH_LEN == 1024, "lengths");
_Static_assert(SANLK_RES_SHARED == 4 && SANLK_HOST_MASK == 15, "flags");
_Static_assert(SANLK_HOST_UNKNOWN == 1 && SANLK_HOST_FREE == 2 && SANLK_HOST_LIVE == 3, "states");
_Static_assert(SANLK_HOST_FAIL == 4 && SANLK_HOST_DEAD == 5, "states");
_Static_assert(SANLK_LEADER_MAGIC == -223, "errors");
int (*lockspaces)(struct sanlk_lockspace **, int *, uint32_t) = sanlock_get_lockspaces;
int (*hosts)(const char *, uint64_t, struct sanlk_host **, int *, uint32_t) = sanlock_get_hosts;
int (*owners)(struct sanlk_resource *, uint32_t, struct sanlk_host **, int *) =
    sanlock_read_resource_owners;
#define S(t) printf("%zu ", sizeof(struct t));
#define O(t, f) printf("%zu ", offsetof(struct t, f));
int main(void) {
  S(sanlk_disk) O(sanlk_disk, offset)
  S(sanlk_resource) O(sanlk_resource, name) O(sanlk_resource, lver)
  O(sanlk_resource, flags) O(sanlk_resource, num_disks)
  S(sanlk_lockspace) O(sanlk_lockspace, host_id) O(sanlk_lockspace, flags)
  O(sanlk_lockspace, host_id_disk)
  S(sanlk_host) O(sanlk_host, generation) O(sanlk_host, timestamp) O(sanlk_host, flags)
}
"#;

/// Needs a C compiler, libsanlock-dev and libsanlock-client1, which setup installs; without them
/// it fails and says so.
#[test]
fn our_structs_are_those_of_the_systems_header() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("sizes");
    let program = program.to_str().unwrap();
    let source = folder.path().join("sizes.c");
    std::fs::write(&source, C).unwrap();
    let compiler = ["/usr/bin/cc", "/usr/bin/clang", "/usr/bin/gcc"]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
        .expect("a C compiler: install the package gcc");
    let exec = Exec::new(1);
    let compile = Invocation::new(compiler).args([
        source.to_str().unwrap(),
        "-o",
        program,
        "-lsanlock_client",
    ]);
    exec.run("test", &compile)
        .expect("compiles against sanlock.h: install the package libsanlock-dev");
    let printed = exec.run("test", &Invocation::new(program)).unwrap().stdout;
    let theirs: Vec<usize> = String::from_utf8(printed)
        .unwrap()
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect();
    assert_eq!(ours(), theirs);
}

#[test]
fn the_library_is_found_and_says_that_no_daemon_answers() {
    let library = Library::load().unwrap();
    match library.members("lvm_nobody") {
        // No daemon on this machine, or one that is in no such lockspace.
        Err(PortError::Io { .. }) | Ok(None) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_that_do_not_fit_are_refused() {
    assert!(fill::<NAME_LEN>(&"x".repeat(NAME_LEN), NAME_LEN).is_ok());
    assert!(fill::<NAME_LEN>(&"x".repeat(NAME_LEN + 1), NAME_LEN).is_err());
    assert!(fill::<NAME_LEN>("a\0b", NAME_LEN).is_err());
    let name = fill::<NAME_LEN>("lvm_vg0", NAME_LEN).unwrap();
    assert_eq!(text(&name), "lvm_vg0");
}
