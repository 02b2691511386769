//! One pool's conversation: its connection to sanlock, its last reading, and the order in which leases,
//! metadata and devices follow each other. All of it runs in the pool's own thread.

mod give_up;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use volward_model::device::lv_dm_uuid;
use volward_model::volume::REGISTRY_VOLUME;
use volward_model::{LeaseMode, PoolName, VolumeRef};
use volward_ports::{PortError, PortResult, Unmet};

use super::device::Wanted;
use super::world::World;
use crate::lease::claims::{Claims, Held, by_hand};
use crate::lease::{Account, Entry, lease_device, lease_offset, lockspace};
use crate::metadata::layout::Lv;
use crate::metadata::reading::{Look, Reading};
use crate::metadata::table::{device_name, lines};
use crate::sanlock::{Conversation, Line, MOST_AT_ONCE, Place, SanlockError};

/// A pool that is served directly.
pub(super) struct Space {
    pub(super) pool: PoolName,
    pub(super) world: Arc<dyn World>,
    /// Shared with those who only look.
    pub(super) claims: Arc<Mutex<Claims>>,
    pub(super) conversation: Option<Box<dyn Conversation>>,
    /// The lockspace is listed still, and is being left: nothing can be had or adopted in it.
    pub(super) leaving: bool,
    /// By which those who only look end the conversation.
    pub(super) line: Arc<Mutex<Option<Box<dyn Line>>>>,
    pub(super) reading: Option<Arc<Reading>>,
}

/// Volumes by who serves them.
struct Parted {
    direct: Vec<(VolumeRef, Place)>,
    through_lvm: Vec<VolumeRef>,
}

impl Space {
    fn claims(&self) -> MutexGuard<'_, Claims> {
        // A set is changed in one call.
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connected, with what an earlier daemon left adopted; and what sanlock tells then.
    pub(super) fn join(&mut self) -> PortResult<Account> {
        // Without a lockspace sanlock is not asked for anything, and of one that fails nothing is wanted:
        // whoever has leases there when it has failed is told to end.
        let mut account = self.world.account(&self.pool)?;
        if account.freshness.is_failing() || account.freshness.is_closed() {
            return Ok(account);
        }
        let alive = self.conversation.is_some() && self.say(|sanlock| sanlock.inquire()).is_ok();
        if !alive {
            self.begin()?;
            self.find_registry();
            account = self.world.account(&self.pool)?;
        }
        let orphans: Vec<(Place, LeaseMode)> = {
            let claims = self.claims();
            let orphans = claims.orphans(&account.entries).into_iter();
            orphans
                .map(|entry| (self.where_it_is(entry), entry.lease.mode))
                .collect()
        };
        self.leaving = false;
        if orphans.is_empty() {
            return Ok(account);
        }
        for (place, mode) in orphans {
            // One at a time: sanlock gives up all of a message's leases where one of them fails, the
            // adopted ones too.
            let adopted = self.say(|sanlock| sanlock.adopt(&place, mode));
            // Others are adopted, or have been taken, while it is not.
            self.leaving |= matches!(adopted, Err(SanlockError::NoLockspace));
            if let Err(error) = adopted {
                let (pool, lease) = (&self.pool, &place.name);
                tracing::warn!(%pool, %lease, %error, "cannot adopt a lease of an earlier daemon");
            }
        }
        self.world.account(&self.pool)
    }

    fn begin(&mut self) -> PortResult<&mut Box<dyn Conversation>> {
        let conversation = self.world.register()?;
        let line = conversation.line()?;
        *self.line.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
        Ok(self.conversation.insert(conversation))
    }

    /// The registry's lease is lvmlockd's, and Volward's. Without its UUID it counts as activated by
    /// hand until it is taken, which is harmless.
    fn find_registry(&mut self) {
        match self.look() {
            Ok(look) => {
                let lvs = look.reading.layout.lvs.iter();
                let registry = lvs.filter(|(_, lv)| lv.name == REGISTRY_VOLUME);
                let registry = registry.map(|(id, _)| *id);
                self.claims().through_lvm.extend(registry);
            }
            Err(error) => tracing::debug!(pool = %self.pool, %error, "looking for the registry"),
        }
    }

    fn look(&mut self) -> PortResult<Look> {
        let look = self.world.look(&self.pool, self.reading.as_ref())?;
        self.reading = Some(Arc::clone(&look.reading));
        Ok(look)
    }

    /// Says something to sanlock. A conversation that broke off is begun anew by the next
    /// [`Space::join`], which adopts what became orphans by it.
    fn say<T>(
        &mut self,
        say: impl FnOnce(&mut dyn Conversation) -> Result<T, SanlockError>,
    ) -> Result<T, SanlockError> {
        if self.conversation.is_none() {
            self.begin()?;
        }
        let said = match &mut self.conversation {
            Some(conversation) => say(conversation.as_mut()),
            None => return Err(SanlockError::NotHeld),
        };
        if matches!(said, Err(SanlockError::Broken(_))) {
            self.conversation = None;
        }
        said
    }

    /// Takes leases that are not held; what no table of ours serves is taken and activated through LVM.
    pub(super) fn take(&mut self, volumes: &[VolumeRef], mode: LeaseMode) -> PortResult<()> {
        let account = self.join()?;
        if account.freshness.is_closed() {
            let pool = self.pool.clone();
            return Err(Unmet::GivenUp { pool }.into());
        }
        if account.freshness.is_failing() {
            let (pool, taken) = (self.pool.clone(), None);
            return Err(Unmet::NotJoined { pool, taken }.into());
        }
        let look = self.look()?;
        let parted = self.part(&look, volumes)?;
        for volume in volumes.iter().filter(|volume| !is_registry(volume)) {
            self.must_be_free(&account, volume)?;
        }
        for some in parted.direct.chunks(MOST_AT_ONCE) {
            let places: Vec<Place> = some.iter().map(|(_, place)| place.clone()).collect();
            let taken = self.say(|sanlock| sanlock.acquire(&places, mode));
            if matches!(taken, Ok(()) | Err(SanlockError::Broken(_))) {
                // Where no answer came they may be taken, and are orphans then: this daemon's.
                let lvs = some.iter().map(|(volume, _)| volume.id.lv);
                self.claims().own.extend(lvs);
            }
            let volumes: Vec<&VolumeRef> = some.iter().map(|(volume, _)| volume).collect();
            taken.map_err(|error| match error {
                // Activated by hand between the look and now.
                SanlockError::HeldHere => self.held_here(&volumes),
                error => self.failed("taking", &volumes, error),
            })?;
        }
        if parted.through_lvm.is_empty() {
            return Ok(());
        }
        let lvs = parted.through_lvm.iter().map(|volume| volume.id.lv);
        self.claims().through_lvm.extend(lvs);
        self.world.lvm_take(&self.pool, &parted.through_lvm, mode)
    }

    fn part(&self, look: &Look, volumes: &[VolumeRef]) -> PortResult<Parted> {
        let mut parted = Parted {
            direct: Vec::new(),
            through_lvm: Vec::new(),
        };
        // What comes of its lists is LVM's to say, the same as where it is the provider.
        let keeps_back = self.world.keeps_back(&self.pool)?;
        for volume in volumes {
            let lv = lv_of(look, volume)?;
            match &lv.segments {
                Ok(_) if !is_registry(volume) && !keeps_back => {
                    let place = self.place(volume, lv)?;
                    parted.direct.push((volume.clone(), place));
                }
                served => {
                    if let Err(why) = served {
                        tracing::info!(%volume, %why, "leased and activated through LVM");
                    }
                    parted.through_lvm.push(volume.clone());
                }
            }
        }
        Ok(parted)
    }

    fn place(&self, volume: &VolumeRef, lv: &Lv) -> PortResult<Place> {
        let address = lv.lock_args.as_ref().ok_or_else(|| PortError::Missing {
            what: format!("a lease of its own for volume {volume}"),
        })?;
        Ok(Place {
            lockspace: lockspace(&self.pool),
            name: volume.id.lv.to_string(),
            disk: lease_device(&self.pool),
            offset: lease_offset(volume, address)?,
        })
    }

    /// Where sanlock has a lease that is held.
    fn where_it_is(&self, entry: &Entry) -> Place {
        Place {
            lockspace: lockspace(&self.pool),
            name: entry.lv.to_string(),
            disk: entry.disk.clone(),
            offset: entry.offset,
        }
    }

    /// Nobody else's, and no orphan.
    fn must_be_free(&self, account: &Account, volume: &VolumeRef) -> PortResult<()> {
        let pid = self.world.pid();
        let claims = self.claims().clone();
        if let Some((Held::Orphan, _)) = claims.held(&account.entries, volume.id.lv, pid) {
            return Err(self.failed("taking", &[volume], SanlockError::Orphan));
        }
        claims.must_be_free(account, volume, pid, self.world.mapper())
    }

    /// Which of them another process of this node has.
    fn held_here(&self, volumes: &[&VolumeRef]) -> PortError {
        let account = match self.world.account(&self.pool) {
            Ok(account) => account,
            Err(error) => return error,
        };
        let free = volumes
            .iter()
            .map(|volume| self.must_be_free(&account, volume));
        let first = free.filter_map(Result::err).next();
        first.unwrap_or_else(|| self.failed("taking", volumes, SanlockError::HeldHere))
    }

    /// Gives held leases another mode.
    pub(super) fn convert(&mut self, volumes: &[VolumeRef], mode: LeaseMode) -> PortResult<()> {
        let account = self.join()?;
        let mut through_lvm = Vec::new();
        for volume in volumes {
            let pid = self.world.pid();
            let held = self.claims().held(&account.entries, volume.id.lv, pid);
            let held = held.map(|(held, entry)| (held, entry.clone()));
            match held {
                Some((Held::Own, entry)) if entry.lease.mode == mode => {}
                Some((Held::Own, entry)) => {
                    let place = self.where_it_is(&entry);
                    let converted = self.say(|sanlock| sanlock.convert(&place, mode));
                    converted.map_err(|error| self.failed("converting", &[volume], error))?;
                }
                Some((Held::ThroughLvm, _)) => through_lvm.push(volume.clone()),
                Some((Held::ByHand, entry)) => {
                    return Err(by_hand(volume, Some(entry.pid), self.world.mapper()));
                }
                Some((Held::Orphan, _)) => {
                    return Err(self.failed("converting", &[volume], SanlockError::Orphan));
                }
                None => return Err(self.failed("converting", &[volume], SanlockError::NotHeld)),
            }
        }
        match through_lvm.is_empty() {
            true => Ok(()),
            false => self.world.lvm_take(&self.pool, &through_lvm, mode),
        }
    }

    /// Makes the devices of volumes whose leases are held: under the lease the disks are read again, and
    /// each table is made of what they say then.
    pub(super) fn activate(&mut self, volumes: &[VolumeRef]) -> PortResult<()> {
        let account = self.join()?;
        let look = self.look()?;
        for volume in volumes {
            let pid = self.world.pid();
            let held = self.claims().held(&account.entries, volume.id.lv, pid);
            match held.map(|(held, _)| held) {
                Some(Held::Own) => {}
                // It came with the lease.
                Some(Held::ThroughLvm) => continue,
                other => {
                    return Err(PortError::NotInEffect {
                        what: format!("the lease of {volume}, which is to be activated,"),
                        expected: "held by volwardd".to_owned(),
                        found: format!("{other:?}"),
                    });
                }
            }
            let lv = lv_of(&look, volume)?;
            let wanted = Wanted {
                name: device_name(&look.reading.layout.name, &lv.name),
                uuid: lv_dm_uuid(volume.id),
                lines: lines(&look.reading.layout, lv, |pv| {
                    look.numbers.get(&pv).copied()
                })?,
                read_only: !lv.writable,
            };
            self.world.map(&wanted)?;
        }
        Ok(())
    }

    fn failed(&self, what: &str, volumes: &[&VolumeRef], error: SanlockError) -> PortError {
        let names: Vec<String> = volumes.iter().map(ToString::to_string).collect();
        let what = format!("{what} the lease of {}", names.join(", "));
        match error {
            SanlockError::Broken(error) => error,
            SanlockError::NoLockspace => PortError::from(Unmet::NotJoined {
                pool: self.pool.clone(),
                taken: None,
            }),
            SanlockError::Busy => PortError::Busy {
                what: format!("{what}: one of them"),
            },
            SanlockError::HeldElsewhere => PortError::Busy {
                what: format!("{what}: one of them, on another node,"),
            },
            other => PortError::Io {
                what,
                reason: other.to_string(),
            },
        }
    }
}

fn is_registry(volume: &VolumeRef) -> bool {
    volume.name.as_str() == REGISTRY_VOLUME
}

/// The LV of that identity, under the name it has now.
fn lv_of<'a>(look: &'a Look, volume: &VolumeRef) -> PortResult<&'a Lv> {
    let layout = &look.reading.layout;
    let found = layout.lvs.get(&volume.id.lv);
    match found.filter(|_| layout.vg == volume.id.vg) {
        Some(lv) => Ok(lv),
        None => Err(PortError::Missing {
            what: volume.to_string(),
        }),
    }
}
