//! Tries the real adapters on a node, by hand: what they read of the node's own pools, and with
//! `attach POOL VOLUME` one whole round of lease, activation, device, link and back.
//!
//! Run as root on a node of the lab: `probe show POOL...`, `probe attach POOL VOLUME`; without
//! arguments it says what else there is.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "an example for a person: stops where something is wrong, and names what it looks at"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use volward_folder::{Folder, NamedFolder};
use volward_model::{
    Backing, CloneTable, DeviceId, DeviceRole, LeaseMode, PoolName, Sectors, Slot, Table,
    VolumeInfo, VolumeRef,
};
use volward_ports::{Devices, Leases, LinkPath, Machine, NewVolume, Registry, Volumes};
use volward_storage::dm::Dm;
use volward_storage::exec::{Exec, Tools};
use volward_storage::lease::{LeftByUs, Sanlock};
use volward_storage::lvm::{Lvm, PoolKind, PoolSettings};
use volward_storage::lvmlockd::Lvmlockd;
use volward_storage::machine::Kernel;
use volward_storage::registry::LunRegistry;

struct Node {
    lvm: Arc<Lvm>,
    dm: Dm,
    leases: Lvmlockd,
}

/// `NAME` is a shared pool, `NAME@local` one of this node's disks.
fn settings(word: &str) -> PoolSettings {
    let (name, kind) = match word.split_once('@') {
        Some((name, _)) => (name, PoolKind::Local),
        None => (word, PoolKind::Shared),
    };
    PoolSettings {
        name: name.parse().unwrap(),
        devices_file: Some(format!("volward-{name}.devices")),
        kind,
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let tools = Tools::find().unwrap();
    let exec = Arc::new(Exec::new(2));
    let node = |pools: Vec<PoolSettings>| {
        let etc = Folder::open(Path::new("/etc")).unwrap();
        let lvm = Arc::new(Lvm::new(Arc::clone(&exec), &tools, pools, etc));
        Node {
            leases: Lvmlockd::new(
                &lvm,
                Arc::new(Sanlock::new(|| None).unwrap()),
                &LeftByUs::default(),
            ),
            lvm,
            dm: Dm::new(NamedFolder::at(Path::new("/dev/volward")).unwrap()),
        }
    };
    match words.as_slice() {
        ["show", pools @ ..] => {
            let pools: Vec<PoolSettings> = pools.iter().map(|word| settings(word)).collect();
            show(&node(pools.clone()), &pools);
        }
        ["pool", pool] => {
            let settings = settings(pool);
            let pool = node(vec![settings.clone()]).lvm.pool(&settings.name);
            println!("{:?}", pool.map(|pool| pool.volumes.len()));
        }
        ["attach", pool, volume] => {
            let settings = settings(pool);
            attach(&node(vec![settings.clone()]), &settings.name, volume);
        }
        ["registry", pool, host_id] => registry(&settings(pool).name, host_id.parse().unwrap()),
        ["clone", pool, volume, local] => {
            let (pool, local) = (settings(pool), settings(local));
            let names = (pool.name.clone(), local.name.clone());
            clone(&node(vec![pool, local]), &names.0, volume, &names.1);
        }
        _ => {
            eprintln!(
                "probe show POOL... | probe pool POOL | probe attach POOL VOLUME | probe registry POOL HOST-ID | probe clone POOL VOLUME LOCAL@local"
            );
            std::process::exit(2);
        }
    }
}

fn show(node: &Node, pools: &[PoolSettings]) {
    let machine = Kernel::new();
    println!(
        "boot {} pressure {:?}",
        machine.boot_id(),
        machine.io_pressure()
    );
    println!("dm-clone unfit: {:?}", machine.dm_clone_unfit());
    println!("watchdog armed: {:?}", node.leases.watchdog_armed());
    println!("devices: {:#?}", node.dm.list());
    println!("links: {:?}", node.dm.links());
    for pool in pools {
        println!("adopt {}: {:?}", pool.name, node.lvm.adopt_devices(pool));
        println!("{:#?}", node.lvm.pool(&pool.name));
        if pool.kind == PoolKind::Shared {
            leases(node, &pool.name);
        }
    }
}

fn leases(node: &Node, pool: &PoolName) {
    println!("held: {:?}", node.leases.held(pool));
    println!("freshness: {:?}", node.leases.freshness(pool));
    println!("members: {:?}", node.leases.members(pool));
}

fn attach(node: &Node, pool: &PoolName, name: &str) {
    let find = || -> VolumeInfo {
        let info = node.lvm.pool(pool).unwrap();
        info.named(&name.parse().unwrap()).unwrap().clone()
    };
    let info = find();
    let one = std::slice::from_ref(&info.volume);
    node.lvm.disable_autoactivation(pool, one).unwrap();
    node.lvm.disable_autoactivation(pool, one).unwrap();
    node.lvm.activate(pool, one, LeaseMode::Exclusive).unwrap();
    println!("active: {:?}", find());
    leases(node, pool);
    println!("holders: {:?}", node.leases.holders(pool, &info.volume));
    node.lvm.activate(pool, one, LeaseMode::Shared).unwrap();
    leases(node, pool);
    println!("holders: {:?}", node.leases.holders(pool, &info.volume));
    node.lvm.activate(pool, one, LeaseMode::Exclusive).unwrap();
    leases(node, pool);
    let id = DeviceId::attachment(
        info.volume.id,
        "11111111-2222-3333-4444-555555555555".parse().unwrap(),
    );
    let size = info.size.sectors().unwrap();
    let table = Table::Linear {
        on: Backing::Volume(info.volume.id),
        size,
    };
    println!("create: {:?}", node.dm.create(id, &table, true, false));
    println!("again: {:?}", node.dm.create(id, &table, true, false));
    println!("other mode: {:?}", node.dm.create(id, &table, false, false));
    println!("get: {:?}", node.dm.get(id));
    let path = LinkPath {
        instance: "11111111-2222-3333-4444-555555555555".parse().unwrap(),
        pool: pool.clone(),
        volume: info.volume.name.clone(),
    };
    println!("link: {:?} {:?}", node.dm.link(&path, id), node.dm.links());
    let public = format!("/dev/volward/{}/{pool}/{name}", path.instance);
    println!(
        "opens for writing: {:?}",
        std::fs::OpenOptions::new().write(true).open(&public)
    );
    println!("busy: {:?}", node.lvm.deactivate(pool, one));
    println!(
        "reload: {:?}",
        node.dm.reload(id, &Table::Error { size }, true)
    );
    println!("get: {:?}", node.dm.get(id));
    println!("reads: {:?}", std::fs::read(&public).map(|_| ()));
    println!("reload: {:?}", node.dm.reload(id, &table, false));
    println!("flush: {:?}", node.dm.flush(id));
    let event = node.dm.get(id).unwrap().unwrap().event;
    println!(
        "wait: {:?}",
        node.dm.wait_event(id, event, Duration::from_millis(300))
    );
    println!("status: {:?}", node.dm.clone_status(id));
    println!("unlink: {:?} {:?}", node.dm.unlink(&path), node.dm.links());
    println!("remove: {:?} {:?}", node.dm.remove(id), node.dm.remove(id));
    println!(
        "zero: {:?}",
        node.lvm.zero(&info.volume, volward_model::Bytes::mib(1))
    );
    let tag = || vec!["volward.probe=1".to_owned()];
    println!("tag: {:?}", node.lvm.change_tags(&info.volume, &[], &tag()));
    println!("tags: {:?}", find().tags);
    println!(
        "untag: {:?}",
        node.lvm
            .change_tags(&info.volume, &tag(), &["volward.x".to_owned()])
    );
    println!("tags: {:?}", find().tags);
    println!(
        "untag: {:?}",
        node.lvm
            .change_tags(&info.volume, &["volward.x".to_owned()], &[])
    );
    println!("deactivate: {:?}", node.lvm.deactivate(pool, one));
    leases(node, pool);
}

/// Formats the registry if it is fresh, writes this node's place, reads all.
fn registry(pool: &PoolName, host_id: u64) {
    let registry = LunRegistry::new();
    println!("format: {:?}", registry.format(pool));
    let slot = Slot {
        node: format!("n{host_id}").parse().unwrap(),
        boot_id: Kernel::new().boot_id(),
        host_id,
        generation: 1,
        written_ms: 1,
        attachments: Vec::new(),
        asked: Vec::new(),
        copies: Vec::new(),
        messages: Default::default(),
        unknown: 0,
    };
    println!("write: {:?}", registry.write(pool, &slot));
    println!("read: {:?}", registry.read(pool));
    println!("read again: {:?}", registry.read(pool).unwrap().len());
}

/// Hydrates a volume onto a copy, switches to linear, and compares.
fn clone(node: &Node, pool: &PoolName, name: &str, local: &PoolName) {
    let info = node.lvm.pool(pool).unwrap();
    let info = info.named(&name.parse().unwrap()).unwrap().clone();
    let one = std::slice::from_ref(&info.volume);
    node.lvm.activate(pool, one, LeaseMode::Exclusive).unwrap();
    let [copy, meta] = ["copy", "meta"].map(|kind| {
        let new = NewVolume {
            pool: local.clone(),
            name: format!("probe-{kind}").parse().unwrap(),
            size: info.size,
            tags: vec!["volward.probe=1".to_owned(), format!("volward.{kind}")],
        };
        let made = node.lvm.create(&new);
        println!("create: {made:?} again: {:?}", node.lvm.create(&new));
        VolumeRef {
            id: made.unwrap().0,
            pool: local.clone(),
            name: new.name,
        }
    });
    node.lvm.zero(&meta, volward_model::Bytes::mib(1)).unwrap();
    let size = info.size.sectors().unwrap();
    let id = DeviceId {
        volume: info.volume.id,
        role: DeviceRole::Clone,
    };
    let table = Table::Clone(CloneTable {
        metadata: Backing::Volume(meta.id),
        destination: Backing::Volume(copy.id),
        source: Backing::Volume(info.volume.id),
        size,
        region: Sectors(128),
        hydrating: false,
        threshold: 4,
        batch: 4,
    });
    println!("clone: {:?}", node.dm.create(id, &table, false, false));
    println!("again: {:?}", node.dm.create(id, &table, false, false));
    println!("status: {:?}", node.dm.clone_status(id));
    let limit = |info: &volward_model::DeviceInfo| {
        std::fs::read_to_string(format!(
            "/sys/dev/block/{}/queue/discard_max_bytes",
            info.number
        ))
    };
    let found = node.dm.get(id).unwrap().unwrap();
    println!("{found:?} discards {:?}", limit(&found));
    println!(
        "zero in use: {:?}",
        node.lvm.zero(&meta, volward_model::Bytes::mib(1))
    );
    println!("hydrate: {:?}", node.dm.set_hydration(id, true));
    let done = node.dm.wait_event(id, found.event, Duration::from_secs(30));
    println!("event: {done:?} {:?}", node.dm.clone_status(id));
    let linear = Table::Linear {
        on: Backing::Volume(copy.id),
        size,
    };
    println!("switch: {:?}", node.dm.reload(id, &linear, false));
    let found = node.dm.get(id).unwrap().unwrap();
    println!("{found:?} discards {:?}", limit(&found));
    println!(
        "allow: {:?} {:?}",
        node.dm.set_discards(id, true),
        limit(&found)
    );
    println!(
        "hydrate what is no clone: {:?}",
        node.dm.set_hydration(id, true)
    );
    let read = |path: String| std::fs::read(path).unwrap();
    let same = read(format!("/dev/{pool}/{name}")) == read(format!("/dev/mapper/{id}"));
    println!("same: {same}");
    println!("remove: {:?}", node.dm.remove(id));
    for volume in [&copy, &meta] {
        println!(
            "remove: {:?} {:?}",
            node.lvm.remove(volume, None),
            node.lvm.remove(volume, None)
        );
    }
    println!("deactivate: {:?}", node.lvm.deactivate(pool, one));
}
