//! Case 29: volumes that are no multiple of a clone's region, or smaller than one, in a group of tiny extents. Each
//! hydrates, switches and comes home byte for byte, the last partial region included.
#![cfg(feature = "long")]
#![allow(clippy::unwrap_used, reason = "tests end at the first surprise")]

use std::time::Duration;

use volward_system::volward::Volward;
use volward_system::{Cluster, ClusterSpec, Lab, Progress};

const INSTANCE: &str = "c0ffee01-0000-4000-8000-000000000000";
const OTHER: &str = "c0ffeeff-0000-4000-8000-000000000000";
const PATIENCE: Duration = Duration::from_secs(90);
/// A region has 4 KiB, an extent 1 KiB.
const KIB: [u32; 4] = [1, 3, 5, 4101];

/// A shared pool, vgt, on node 1's own disk.
fn tiny_extents(volward: &Volward<'_>) {
    let one = volward.node(1);
    one.run_ok_within(
        PATIENCE,
        "lvcreate -qq -n tiny -L 1G local && losetup /dev/loop4 /dev/local/tiny
         vgcreate -qq --shared -s 1k vgt /dev/loop4
         until sanlock client status | grep -q '^s lvm_vgt:'; do sleep 0.2; done
         printf '\\n[[pool]]\\nname = \"vgt\"\\n' >> /etc/volward/volward.toml",
    )
    .unwrap();
    volward.stop(1).unwrap();
    volward.start(1, &[]).unwrap();
    volward.cli_ok(1, "pool init vgt").unwrap();
}

#[test]
fn volumes_of_odd_sizes_hydrate_and_come_home_whole() {
    let lab = Lab::open().unwrap();
    let cluster = Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap();
    let volward = Volward::on(&cluster);
    tiny_extents(&volward);
    volward
        .add_policy(1, "hydrate-local", "reserve = \"64MiB\"")
        .unwrap();
    for kib in KIB {
        comes_home_whole(&volward, kib);
    }
}

fn comes_home_whole(volward: &Volward<'_>, kib: u32) {
    let one = volward.node(1);
    let (volume, model) = (format!("vgt/t{kib}"), format!("/run/lab/model-{kib}"));
    let direct = "bs=4k iflag=fullblock status=none";
    one.run_ok_within(
        PATIENCE,
        &format!(
            "lvcreate -qq -aey -Wn -Zn -n t{kib} -L {kib}k vgt
             head -c {kib}k /dev/urandom > {model}
             dd if={model} of=/dev/{volume} {direct} oflag=direct
             lvchange -an {volume}"
        ),
    )
    .unwrap();
    let same = |device: &str| {
        let size = one
            .run_ok(&format!("blockdev --getsize64 {device}"))
            .unwrap();
        assert_eq!(size.trim(), (u64::from(kib) << 10).to_string());
        one.run_ok(&format!(
            "dd if={device} {direct} iflag=direct,fullblock | cmp - {model}"
        ))
        .unwrap();
    };
    volward
        .cli_ok(1, &format!("attach {INSTANCE} {volume}"))
        .unwrap();
    let device = format!("/dev/volward/{INSTANCE}/{volume}");
    same(&device);
    let state = |wanted: Option<&str>| {
        let copies = volward.json(1, "hydration ls")?;
        let state = copies.as_array().and_then(|copies| copies.first()).cloned();
        Ok(state
            .as_ref()
            .map(|copy| copy["state"].as_str().unwrap_or_default())
            == wanted)
    };
    volward
        .wait(1, "hydration", PATIENCE, || state(Some("complete")))
        .unwrap();
    same(&device);
    // Into the last region, which is none in whole.
    one.run_ok(&format!(
        "head -c 1k /dev/urandom > /run/lab/end
         dd if=/run/lab/end of={model} bs=1k seek={0} conv=notrunc status=none
         dd if=/run/lab/end of={device} bs=1k seek={0} oflag=direct status=none",
        kib - 1
    ))
    .unwrap();
    same(&device);
    volward.cli_ok(1, &format!("detach {INSTANCE}")).unwrap();
    volward
        .wait(1, "end of the copy", PATIENCE, || state(None))
        .unwrap();
    // Read-only it is served from the pool.
    volward
        .cli_ok(1, &format!("attach {OTHER} {volume}:ro"))
        .unwrap();
    same(&format!("/dev/volward/{OTHER}/{volume}"));
    volward.cli_ok(1, &format!("detach {OTHER}")).unwrap();
}
