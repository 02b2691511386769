//! Giving I/O back: only where the lease, the home and the size are what they were.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use volward_model::{
    Backing, HeldLease, HomeState, InstanceId, LvUuid, NodeName, PoolName, RequestId, Sectors,
    Table, VolumeRef,
};
use volward_plan::fence::{Said, Standing};
use volward_plan::{Refusal, home_of};

use super::{Fence, device_of, said};
use crate::engine::clone_of;
use crate::error::{ControlError, refuse, storage};
use crate::observe::PoolSnapshot;
use crate::ports::{Event, StoredAttachment};
use crate::state::Fenced;

/// Who wants the I/O back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    BySomebody,
    /// The leases are sound again, and the configuration says that this is enough.
    ByNobody,
}

/// The leases of a pool, by LV.
type Held = BTreeMap<LvUuid, HeldLease>;

/// What is looked at once, for all attachments of a pool: each look takes as long as an attach of one.
#[derive(Default)]
struct Looks {
    leases: BTreeMap<PoolName, Result<Held, &'static str>>,
    pools: BTreeMap<PoolName, Arc<PoolSnapshot>>,
}

/// Why the lease is not the one that it was.
enum Lease {
    /// It may be again.
    NotSound(&'static str),
    /// It never will be.
    Another(String),
}

impl Fence {
    /// Gives an instance its I/O back, all of it or none, where nobody can have had its volumes
    /// meanwhile: the lease, the home and the size are what they were.
    ///
    /// # Errors
    /// With the refusal `fenced`, which says what is not as it was.
    pub(crate) fn unfence(
        &self,
        request: RequestId,
        instance: InstanceId,
    ) -> Result<Vec<VolumeRef>, ControlError> {
        self.give_io_back(request, instance, Asked::BySomebody)
    }

    /// The same, also where nobody asks for it.
    pub(super) fn give_io_back(
        &self,
        request: RequestId,
        instance: InstanceId,
        asked: Asked,
    ) -> Result<Vec<VolumeRef>, ControlError> {
        let is_fenced =
            |a: &StoredAttachment| a.instance == instance && self.state.fences().get(a).is_some();
        let all: Vec<StoredAttachment> = {
            let of_instance = self.attached(|a| a.instance == instance);
            of_instance.into_iter().filter(is_fenced).collect()
        };
        let volumes: Vec<_> = all.iter().map(|a| a.volume.id).collect();
        let wait = self.settings.lock_wait;
        let guard = self.state.volume_locks.take(&volumes, wait);
        let _guard = guard.map_err(|_| ControlError::Waiting {
            volume: format!("the volumes of instance {instance}"),
            seconds: wait.as_secs(),
        })?;
        let mut tables = Vec::new();
        let mut looks = Looks::default();
        for attachment in &all {
            tables.push(self.table_again(request, attachment, &mut looks)?);
        }
        let failed = |error| storage(request, "giving an attachment its I/O back", error);
        for (attachment, (table, read_only)) in all.iter().zip(&tables) {
            // Before the table: whoever cuts it off from here on is seen below.
            let fenced = self.lift(request, attachment, asked)?;
            let id = device_of(attachment);
            if let Err(error) = self.ports.devices.reload(id, table, *read_only) {
                if let Some(fenced) = fenced {
                    self.state.fences().put_back(attachment, fenced);
                }
                return Err(failed(error));
            }
            if self.state.fences().get(attachment).is_some() {
                // Its error table may have been loaded before this one.
                self.load_error_table(attachment);
                continue;
            }
            self.ports.events.tell(&Event::Unfenced {
                volume: attachment.volume.clone(),
                instance,
                by_itself: asked == Asked::ByNobody,
            });
        }
        Ok(all.into_iter().map(|a| a.volume).collect())
    }

    /// Forgets that it is cut off; what somebody asked for is not forgotten by itself.
    fn lift(
        &self,
        request: RequestId,
        attachment: &StoredAttachment,
        asked: Asked,
    ) -> Result<Option<Fenced>, ControlError> {
        let mut fences = self.state.fences();
        let by_hand = fences.get(attachment).is_some_and(|fenced| fenced.asked);
        if by_hand && asked == Asked::ByNobody {
            let why = "somebody asked for it meanwhile";
            let fenced = Refusal::fenced_for_now(&attachment.volume, why);
            return Err(refuse(request, fenced));
        }
        Ok(fences.lift(attachment))
    }

    /// The table that a fenced attachment had, if nothing has changed beneath it.
    fn table_again(
        &self,
        request: RequestId,
        attachment: &StoredAttachment,
        looks: &mut Looks,
    ) -> Result<(Table, bool), ControlError> {
        let volume = &attachment.volume;
        let for_now = |why: &str| refuse(request, Refusal::fenced_for_now(volume, why));
        let no = |why: String| {
            let by = self.who_has_it_now(volume);
            let fenced = Refusal::fenced_for_good(volume, &why, by.as_ref());
            refuse(request, fenced)
        };
        let failed = |error| storage(request, "looking at what is fenced", error);
        let Some(fenced) = self.state.fences().get(attachment).cloned() else {
            return Err(for_now("its I/O was given back meanwhile"));
        };
        if !fenced.regainable {
            return Err(no(fenced.reason));
        }
        if !fenced.cut {
            return Err(for_now(
                "it is not cut off yet: I/O in flight has not ended",
            ));
        }
        if self
            .ports
            .devices
            .is_move_halted(volume.id)
            .map_err(failed)?
        {
            return Err(for_now(
                "LVM was moving it to another disk, and that was halted; `volward op ls` shows the operation, which takes that \
                 back by itself once the lease is sound; where there is none, stop the instance and start it again",
            ));
        }
        // The lease first: where it is lost, the pool is hardly ever readable.
        let leases = looks.leases.entry(volume.pool.clone());
        let leases = leases.or_insert_with(|| self.sound_leases(&volume.pool));
        lease_is_as_before(leases, &fenced, attachment).map_err(|why| match why {
            Lease::NotSound(why) => for_now(why),
            Lease::Another(why) => no(why),
        })?;
        let snapshot = match looks.pools.entry(volume.pool.clone()) {
            Entry::Occupied(seen) => seen.into_mut(),
            Entry::Vacant(place) => {
                place.insert(self.observer.snapshot(&volume.pool).map_err(failed)?)
            }
        };
        let device = self
            .ports
            .devices
            .get(device_of(attachment))
            .map_err(failed)?;
        let Some(device) = device else {
            return Err(no("its device is gone".into()));
        };
        let clone = self.ports.devices.get(clone_of(volume)).map_err(failed)?;
        let on = self
            .stands_on(volume, snapshot, clone.is_some(), device.size)
            .map_err(no)?;
        let size = device.size;
        Ok((Table::Linear { on, size }, device.read_only))
    }

    /// The other node that has the volume, as far as the pool tells at once.
    fn who_has_it_now(&self, volume: &VolumeRef) -> Option<NodeName> {
        let snapshot = self.observer.shown(&volume.pool).ok()?;
        let mut others = snapshot.attachments_of_others();
        let other = others.find(|(_, a)| a.volume == volume.id);
        other.map(|(_, a)| a.node.clone())
    }

    /// The leases that this node holds in a pool, if its lockspace is sound; else why not.
    fn sound_leases(&self, pool: &PoolName) -> Result<Held, &'static str> {
        let now = self.ports.clock.monotonic();
        let said = said(self.ports.leases.status(pool));
        // A look of its own: what it hears is still to be heard by whoever follows the leases.
        let mut watch = {
            let followed = self.state.followed();
            followed
                .get(pool)
                .map(|f| f.watch.clone())
                .unwrap_or_default()
        };
        let standing = watch.hear(now, &said);
        let Said::Joined { held, .. } = said else {
            return Err("the lockspace is not joined, or sanlock does not answer");
        };
        match standing {
            Standing::Sound => Ok(held),
            _ => Err("the lockspace is not renewed as it should be"),
        }
    }

    /// What the attachment's device stood on, from home and clone, which have to agree.
    fn stands_on(
        &self,
        volume: &VolumeRef,
        snapshot: &PoolSnapshot,
        cloned: bool,
        length: Sectors,
    ) -> Result<Backing, String> {
        let info = snapshot
            .info
            .volume(volume.id)
            .ok_or_else(|| "the volume is gone".to_owned())?;
        let home = home_of(info).map_err(|refusal| refusal.message)?;
        let size = info.size.sectors();
        let at_home = home.state == HomeState::Pool;
        let split_here = matches!(
            &home.state,
            HomeState::Split { node, .. } if *node == self.settings.node
        );
        // Its clone is what writes home.
        let comes_home = matches!(
            &home.state,
            HomeState::Returning { node, .. } if *node == self.settings.node
        );
        if at_home && !cloned {
            return match size {
                Some(size) if size == length => Ok(Backing::Volume(volume.id)),
                _ => Err("its size has changed".to_owned()),
            };
        }
        if (split_here || comes_home) && cloned {
            return Ok(Backing::Device(clone_of(volume)));
        }
        Err(format!("its home is {home} now"))
    }
}

fn lease_is_as_before(
    leases: &Result<Held, &'static str>,
    fenced: &Fenced,
    attachment: &StoredAttachment,
) -> Result<(), Lease> {
    let held = leases.as_ref().map_err(|why| Lease::NotSound(why))?;
    match held.get(&attachment.volume.id.lv) {
        Some(lease) if lease.orphan => Err(Lease::NotSound("its lease is an orphan")),
        Some(lease) if lease.mode < attachment.lease() => Err(Lease::Another(format!(
            "its lease is held {} now",
            lease.mode
        ))),
        Some(lease) if Some(lease.version) != fenced.version => Err(Lease::Another(
            "its lease was lost and taken again".to_owned(),
        )),
        Some(_) => Ok(()),
        None => Err(Lease::Another("its lease is not held any more".to_owned())),
    }
}
