//! The managed disks of a guest, and what is wrong with them.

use volward_api::model::{Access, InstanceId, PoolName, Sharing};
use volward_api::{DiskPath, DiskRequest, bounds};

use crate::domain::{Disk, Domain, PathUse, User};
use crate::path::{self, Device, PathTrouble};
use crate::place::Place;

/// What a guest has to do with Volward. Empty for a guest without managed disks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Managed {
    /// What is to be attached, in the XML's order, each volume once.
    pub(crate) disks: Vec<DiskRequest>,
    /// Why it cannot be attached as written, a sentence each.
    pub(crate) troubles: Vec<String>,
    /// Disks whose image says itself what is behind it, by target and path.
    pub(crate) images: Vec<(String, String)>,
    /// Paths that name an LV by its UUID and have nothing behind them, with the volume group's.
    pub(crate) by_uuid: Vec<(String, String)>,
}

/// How far paths are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// Links in `/dev` only.
    InDev,
    /// Those of disks outside of it too: the guest starts next, and libvirt opens them anyway.
    Everywhere,
}

impl Managed {
    pub(crate) fn is_empty(&self) -> bool {
        self.disks.is_empty() && self.troubles.is_empty()
    }
}

/// Finds the managed disks among the paths of a guest's XML, in its order.
pub(crate) fn managed(
    domain: &Domain,
    instance: Option<InstanceId>,
    pools: &[PoolName],
    (place, links): (&Place, Links),
) -> Managed {
    let mut found = Managed::default();
    for path_use in &domain.paths {
        let path = &path_use.path;
        let result = match path::device(path, pools, place) {
            Ok(None) => match led_to(path_use, pools, (place, links)) {
                Ok(()) => {
                    let vg = path::vg_of_missing(path, place);
                    found.by_uuid.extend(vg.map(|vg| (path.clone(), vg)));
                    continue;
                }
                Err(trouble) => Err(trouble.to_string()),
            },
            Ok(Some(device)) => request(domain, instance, path_use, device),
            Err(trouble) => Err(trouble.to_string()),
        };
        found
            .images
            .extend(image(path_use).filter(|_| result.is_ok()));
        if let Err(trouble) = result.and_then(|disk| add(&mut found.disks, disk)) {
            found.troubles.push(at(&path_use.by, &trouble));
        }
    }
    if !found.is_empty() {
        found.troubles.extend_from_slice(&domain.metadata.troubles);
        let named = domain.metadata.accept_narrowing.iter();
        for target in named.filter(|target| !domain.targets.contains(target)) {
            found.troubles.push(format!(
                "in the <metadata>'s disk element: the guest has no disk {target}"
            ));
        }
        if let Err(bound) = bounds::hints(&domain.metadata.hints) {
            found.troubles.push(format!("in the <metadata>: {bound}"));
        }
    }
    found
}

fn led_to(
    path_use: &PathUse,
    pools: &[PoolName],
    (place, links): (&Place, Links),
) -> Result<(), PathTrouble> {
    match (&path_use.by, links) {
        (User::Disk(_), Links::Everywhere) => path::led_to(&path_use.path, pools, place),
        _ => Ok(()),
    }
}

/// Target and path of a disk whose image libvirt asks what is behind it.
fn image(path_use: &PathUse) -> Option<(String, String)> {
    let User::Disk(disk) = &path_use.by else {
        return None;
    };
    let asks = disk.is_own_source && !disk.chain_known;
    let has_header = matches!(disk.format.as_str(), "qcow" | "qcow2");
    (asks && has_header).then(|| (disk.target.clone(), path_use.path.clone()))
}

/// Names the disk before the trouble.
fn at(user: &User, trouble: &str) -> String {
    match user {
        User::Disk(disk) if !disk.target.is_empty() => format!("disk {}: {trouble}", disk.target),
        _ => trouble.to_owned(),
    }
}

fn request(
    domain: &Domain,
    instance: Option<InstanceId>,
    path_use: &PathUse,
    device: Device,
) -> Result<DiskRequest, String> {
    let path = &path_use.path;
    let disk = match &path_use.by {
        User::Disk(disk) => disk,
        User::Other(element) => {
            return Err(format!(
                "{path} is a managed device in an element ({element}) that Volward cannot attach \
                 for: only the <source> of a <disk> can name one"
            ));
        }
    };
    if let Some(what) = whole_lun(disk) {
        return Err(format!(
            "{path} is a managed device, and {what} reaches the whole LUN beneath it, with the \
             volumes of all other guests: take that out of the disk"
        ));
    }
    let (pool, volume, form) = match device {
        Device::Lv { pool, volume } => (pool, volume, DiskPath::Lv),
        Device::Own {
            instance: theirs,
            pool,
            volume,
        } => {
            if let Some(own) = instance.filter(|own| *own != theirs) {
                return Err(format!(
                    "{path} is the device of another instance: for this guest it is \
                     /dev/volward/{own}/{pool}/{volume}"
                ));
            }
            (pool, volume, DiskPath::Own)
        }
    };
    Ok(DiskRequest {
        pool,
        volume,
        path: form,
        access: access(disk),
        sharing: disk.shareable.then_some(Sharing::Shared),
        accept_narrowing: domain.metadata.accept_narrowing.contains(&disk.target),
    })
}

/// What of the disk is not about the volume alone.
fn whole_lun(disk: &Disk) -> Option<&'static str> {
    match (disk.passes_scsi, disk.reserves) {
        (true, _) => Some("SCSI pass-through (device='lun')"),
        (_, true) => Some("a persistent reservation (<reservations>)"),
        _ => None,
    }
}

fn access(disk: &Disk) -> Access {
    if disk.read_only {
        Access::ReadOnly
    } else {
        Access::ReadWrite
    }
}

/// A volume named twice (a backing file of two disks, say) is asked for once, as widely as the
/// wider of the two needs it.
fn add(disks: &mut Vec<DiskRequest>, new: DiskRequest) -> Result<(), String> {
    let known = disks
        .iter_mut()
        .find(|d| d.pool == new.pool && d.volume == new.volume);
    let Some(known) = known else {
        disks.push(new);
        return Ok(());
    };
    if known.path != new.path {
        return Err(format!(
            "the guest names {}/{} both as /dev/volward/... and as /dev/{}/...: write one of them",
            new.pool, new.volume, new.pool
        ));
    }
    known.access = known.access.min(new.access);
    known.sharing = known.sharing.or(new.sharing);
    known.accept_narrowing &= new.accept_narrowing;
    Ok(())
}
