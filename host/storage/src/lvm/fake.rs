//! LVM in memory.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use volward_model::{
    Bytes, Carried, LvmUuid, Mark, NodeName, PhysicalVolume, PoolInfo, PoolKind, PoolName,
    VolumeId, VolumeName, VolumeRef, Whereabouts,
};
use volward_ports::{Applied, NewVolume, PortError, PortResult, Volumes};

use super::{ActivationLists, Diagnose, FoundGroup, SeenDisks};
use crate::fake::{FakeNode, Lv, World, relocate};
use crate::lvmlockd::fake::{in_use, off};

/// A node whose LVM is set up as the guide says: a devices file for each pool, nothing kept from
/// activation, the global lock in a pool that is there.
#[derive(Clone, Debug, Default)]
pub struct FakeDiagnosis {
    /// The pool that has the global lock.
    pub global_lock: String,
    /// What becomes of the disks of a pool; all is well with those of others.
    pub disks: BTreeMap<PoolName, Arc<Mutex<SeenDisks>>>,
}

impl Diagnose for FakeDiagnosis {
    fn devices_file(&self, file: &str) -> (PathBuf, io::Result<String>) {
        let text = "IDTYPE=sys_wwid IDNAME=naa.6001405 DEVNAME=/dev/sdb PVID=x\n".to_owned();
        (Path::new("/etc/lvm/devices").join(file), Ok(text))
    }

    fn disks(&self, pool: &PoolName) -> PortResult<SeenDisks> {
        let seen = self.disks.get(pool);
        let seen = seen.map(|seen| seen.lock().unwrap_or_else(PoisonError::into_inner).clone());
        Ok(seen.unwrap_or_default())
    }

    fn groups_on_disks_of(&self, _: &PoolName) -> PortResult<Vec<FoundGroup>> {
        Ok(Vec::new())
    }

    fn groups_of_the_node(&self) -> PortResult<Vec<FoundGroup>> {
        Ok(Vec::new())
    }

    fn activation_lists(&self) -> PortResult<ActivationLists> {
        Ok(ActivationLists::default())
    }

    fn global_lock_pools(&self) -> PortResult<Vec<String>> {
        Ok(vec![self.global_lock.clone()])
    }
}

mod changes;

use changes::{Made, copy, create, grow, lvm_may_lock, missing, must_be_whole};

const EXTENT: Bytes = Bytes::mib(4);

/// LVM's answer to everything it does not like (I29).
pub(crate) fn exit_5(command: &str, volumes: &[&VolumeRef]) -> PortError {
    let names: Vec<String> = volumes.iter().map(|volume| volume.to_string()).collect();
    PortError::Command {
        command: format!("lvm {command} {}", names.join(" ")),
        status: "exit status: 5".to_owned(),
        stdout: String::new(),
        stderr: "  (a fake's complaint)".to_owned(),
    }
}

pub(crate) fn names(volumes: &[VolumeRef]) -> String {
    let names: Vec<&str> = volumes.iter().map(|volume| volume.name.as_str()).collect();
    names.join(" ")
}

/// The LV of that UUID, whatever it is called now: commands choose by UUID.
pub(crate) fn find<'a>(world: &'a World, volume: &VolumeRef, node: &NodeName) -> Option<&'a Lv> {
    let pool = world.pool(&volume.pool, node).ok()?;
    pool.volumes.values().find(|lv| lv.id == volume.id)
}

/// The same to be changed. `None`: a selection that chooses nothing, which is no error to LVM.
fn find_mut<'a>(
    world: &'a mut World,
    volume: &VolumeRef,
    node: &NodeName,
) -> PortResult<Option<&'a mut Lv>> {
    must_be_whole(world, &volume.pool, node)?;
    let pool = world.pool_mut(&volume.pool, node)?;
    Ok(pool.volumes.values_mut().find(|lv| lv.id == volume.id))
}

/// Whether an earlier report will do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Report {
    Anew,
    IfChanged,
}

fn report(node: &FakeNode, pool: &PoolName, which: Report) -> PortResult<PoolInfo> {
    node.reads("pool", pool, |world, node| {
        if world.node(node).silent.contains(pool) {
            return Err(PortError::Io {
                what: format!("reading the disks of {pool}"),
                reason: "Input/output error".to_owned(),
            });
        }
        let found = world.pool(pool, node)?;
        let volumes = found.volumes.iter();
        let info = PoolInfo {
            name: pool.clone(),
            vg: found.vg,
            kind: match found.local_to {
                None => PoolKind::Shared,
                Some(_) => PoolKind::Local,
            },
            size: found.size,
            free: found.free(),
            extent: EXTENT,
            partial: found.partial,
            autoactivation: found.autoactivation,
            volumes: volumes
                .map(|(name, lv)| {
                    let mut info = world.volume_info(pool, name, lv, node);
                    info.autoactivation &= found.autoactivation;
                    info
                })
                .collect(),
        };
        let mark = format!("{:?} {}", found.volumes, found.autoactivation);
        let node = world.node_mut(node);
        let known = node.reported.insert(pool.clone(), mark.clone());
        if which == Report::Anew || known != Some(mark) {
            node.faults.commands.push(format!("fullreport {pool}"));
        }
        Ok(info)
    })
}

impl Volumes for FakeNode {
    /// Its LVM sees every device.
    fn adopt(&self, pool: &PoolName) -> PortResult<Applied> {
        self.changes("adopt", pool, |world, node| {
            world.pool(pool, node)?;
            Ok(Applied::Identity)
        })
    }

    fn pool(&self, pool: &PoolName) -> PortResult<PoolInfo> {
        report(self, pool, Report::Anew)
    }

    fn validated_pool(&self, pool: &PoolName) -> PortResult<Arc<PoolInfo>> {
        report(self, pool, Report::IfChanged).map(Arc::new)
    }

    fn whereabouts(&self, volume: &VolumeRef) -> PortResult<Whereabouts> {
        self.reads("whereabouts", volume, |world, node| {
            relocate::whereabouts(world, node, volume)
        })
    }

    fn relocate(&self, volume: &VolumeRef, from: LvmUuid, to: LvmUuid) -> PortResult<Applied> {
        self.changes("relocate", volume, |world, node| {
            must_be_whole(world, &volume.pool, node)?;
            relocate::relocate(world, node, volume, (from, to))
        })
    }

    fn end_relocation(&self, volume: &VolumeRef) -> PortResult<Applied> {
        self.changes("end-relocation", volume, |world, node| {
            relocate::end(world, node, volume)
        })
    }

    /// The first disk has all that is on no other one.
    fn physical_volumes(&self, pool: &PoolName) -> PortResult<Vec<PhysicalVolume>> {
        self.reads("physical-volumes", pool, |world, node| {
            let found = world.pool(pool, node)?;
            let more = found.more_disks.iter().copied();
            let disks = (0..).zip([found.vg].into_iter().chain(more));
            Ok(disks
                .map(|(number, id)| {
                    let of_it = |lv: &Lv| lv.disk.unwrap_or(found.vg) == id;
                    let carried = found.volumes.iter().filter(|(_, lv)| of_it(lv));
                    let carries = carried.map(|(name, lv)| Carried {
                        name: name.to_string(),
                        lv: lv.id.lv,
                        size: lv.size,
                    });
                    let link = match number {
                        0 => format!("/dev/disk/by-id/{pool}"),
                        number => format!("/dev/disk/by-id/{pool}-{number}"),
                    };
                    PhysicalVolume {
                        id,
                        path: link,
                        size: found.size,
                        free: found.free(),
                        missing: found.partial,
                        carries: carries.collect(),
                    }
                })
                .collect())
        })
    }

    fn disable_pool_autoactivation(&self, pool: &PoolName) -> PortResult<()> {
        self.changes("disable-pool-autoactivation", pool, |world, node| {
            must_be_whole(world, pool, node)?;
            world.pool_mut(pool, node)?.autoactivation = false;
            Ok(())
        })
    }

    fn disable_autoactivation(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()> {
        let detail = format!("{pool} {}", names(volumes));
        self.changes("disable-autoactivation", detail, |world, node| {
            for volume in volumes {
                if let Some(lv) = find_mut(world, volume, node)? {
                    lv.autoactivation = false;
                }
            }
            Ok(())
        })
    }

    fn change_tags(&self, volume: &VolumeRef, remove: &[String], add: &[String]) -> PortResult<()> {
        let detail = format!("{volume} -{remove:?} +{add:?}");
        self.changes("change-tags", detail, |world, node| {
            let Some(lv) = find_mut(world, volume, node)? else {
                return Ok(());
            };
            lv.tags.retain(|tag| !remove.contains(tag));
            for tag in add {
                if !lv.tags.contains(tag) {
                    lv.tags.push(tag.clone());
                }
            }
            Ok(())
        })
    }

    fn create(&self, new: &NewVolume) -> PortResult<(VolumeId, Applied)> {
        let detail = format!("{}/{}", new.pool, new.name);
        let made = self.changes("create", detail, |world, node| {
            create(world, node, new, Made::Active)
        })?;
        if made.1 == Applied::Changed {
            // Its identity is read back.
            report(self, &new.pool, Report::Anew)?;
        }
        Ok(made)
    }

    fn make(&self, new: &NewVolume) -> PortResult<(VolumeId, Applied)> {
        let detail = format!("{}/{}", new.pool, new.name);
        let made = self.changes("make", detail, |world, node| {
            create(world, node, new, Made::Inactive)
        })?;
        if made.1 == Applied::Changed {
            report(self, &new.pool, Report::Anew)?;
        }
        Ok(made)
    }

    fn rename(&self, volume: &VolumeRef, to: &VolumeName) -> PortResult<Applied> {
        self.changes("rename", format!("{volume} {to}"), |world, node| {
            let pool = world.pool(&volume.pool, node)?;
            let had = pool.volumes.iter().find(|(_, lv)| lv.id == volume.id);
            let Some(had) = had.map(|(had, _)| had.clone()) else {
                return Err(missing(volume));
            };
            if had == *to {
                return Ok(Applied::Identity);
            }
            let taken = pool.volumes.contains_key(to);
            must_be_whole(world, &volume.pool, node)?;
            // LVM's own client holds it for the time of the command.
            if taken || !lvm_may_lock(world, node, volume.id) {
                return Err(exit_5("lvrename", &[volume]));
            }
            let pool = world.pool_mut(&volume.pool, node)?;
            if let Some(lv) = pool.volumes.remove(&had) {
                pool.volumes.insert(to.clone(), lv);
            }
            Ok(Applied::Changed)
        })
    }

    fn grow(&self, volume: &VolumeRef, size: Bytes) -> PortResult<Applied> {
        self.changes("grow", format!("{volume} {size}"), |world, node| {
            if find(world, volume, node).is_some_and(|lv| lv.leased)
                && !lvm_may_lock(world, node, volume.id)
            {
                return Err(exit_5("lvextend", &[volume]));
            }
            grow(world, node, volume, size)
        })
    }

    fn grow_held(&self, volume: &VolumeRef, size: Bytes) -> PortResult<Applied> {
        self.changes("grow-held", format!("{volume} {size}"), |world, node| {
            grow(world, node, volume, size)
        })
    }

    fn remove(&self, volume: &VolumeRef, mark: Option<&Mark>) -> PortResult<Applied> {
        self.changes("remove-volume", volume, |world, node| {
            let Some(there) = find(world, volume, node) else {
                return Ok(Applied::Identity);
            };
            if mark.is_some_and(|mark| !there.tags.contains(&mark.tag())) {
                return Err(PortError::NotInEffect {
                    what: format!("removing {volume}"),
                    expected: "no such volume".to_owned(),
                    found: "it".to_owned(),
                });
            }
            must_be_whole(world, &volume.pool, node)?;
            off(world, node, std::slice::from_ref(volume), true)?;
            if !lvm_may_lock(world, node, volume.id) {
                return Err(exit_5("lvremove", &[volume]));
            }
            let pool = world.pool_mut(&volume.pool, node)?;
            pool.volumes.retain(|_, lv| lv.id != volume.id);
            world.contents.remove(&volume.id);
            world.clone_metadata.retain(|(on, _), _| *on != volume.id);
            Ok(Applied::Changed)
        })
    }

    fn zero(&self, volume: &VolumeRef, amount: Bytes) -> PortResult<()> {
        self.changes("zero", format!("{volume} {amount}"), |world, node| {
            if !world.node(node).active.contains(&volume.id) {
                return Err(PortError::Missing {
                    what: format!("an active device of {volume}"),
                });
            }
            if in_use(world, node, volume.id) {
                return Err(PortError::Busy {
                    what: volume.to_string(),
                });
            }
            if let Some(contents) = world.contents.get_mut(&volume.id) {
                contents.zero(Bytes(0), amount);
            }
            world.clone_metadata.remove(&(volume.id, 0));
            Ok(())
        })
    }

    fn zero_range(
        &self,
        volume: &VolumeRef,
        start: Bytes,
        amount: Bytes,
        shared: bool,
    ) -> PortResult<()> {
        let detail = format!("{volume} {} {}", start.0, amount.0);
        self.changes("zero-range", detail, |world, node| {
            if !world.node(node).active.contains(&volume.id) {
                return Err(missing(volume));
            }
            if !shared && in_use(world, node, volume.id) {
                return Err(PortError::Busy {
                    what: volume.to_string(),
                });
            }
            if let Some(contents) = world.contents.get_mut(&volume.id) {
                contents.zero(start, amount);
            }
            Ok(())
        })
    }

    fn copy_range(
        &self,
        (from, to): (&VolumeRef, &VolumeRef),
        start: Bytes,
        amount: Bytes,
        read: bool,
    ) -> PortResult<()> {
        let detail = format!("{from} {to} {} {}", start.0, amount.0);
        self.changes("copy-range", detail, |world, node| {
            copy(world, node, (from, to), (start, amount), read)
        })
    }
}
