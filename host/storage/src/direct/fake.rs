//! A node in memory for the direct provider: sanlock's fake, a VG's text, and which LVs are mapped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use volward_model::{HeldLease, LeaseMode, PoolName, VolumeId, VolumeRef};
use volward_ports::{Applied, Freshness, PortError, PortResult, Unmet};

use super::device::Wanted;
use super::world::World;
use crate::lease::claims::Users;
use crate::lease::{Account, Entry};
use crate::metadata::layout;
use crate::metadata::reading::{Look, Reading};
use crate::sanlock::fake::FakeSanlock;
use crate::sanlock::{Conversation, Place};

/// This daemon, as the fake sanlock knows it.
pub(super) const PID: u32 = 100;
/// lvmlockd.
pub(super) const LVMLOCKD: u32 = 7;

#[derive(Debug, Default)]
pub(super) struct State {
    /// The VG's metadata text.
    pub(super) text: String,
    /// What is mapped; `None` for what somebody else mapped.
    pub(super) mapped: BTreeMap<VolumeId, Option<Wanted>>,
    /// What was done, in its order, sanlock's part aside.
    pub(super) done: Vec<String>,
    pub(super) joined: bool,
    /// lvm.conf has lists of what is activated.
    pub(super) keeps_back: bool,
    /// Since the last renewal, of 80 s.
    pub(super) renewed_ago: Duration,
    /// sanlock has given the lockspace up.
    pub(super) given_up: bool,
    /// sanlock was told to leave the lockspace.
    pub(super) leaving: bool,
}

/// A node that is none.
#[derive(Clone, Debug, Default)]
pub(super) struct FakeHere {
    pub(super) sanlock: FakeSanlock,
    state: Arc<Mutex<State>>,
}

impl FakeHere {
    pub(super) fn with(text: String) -> Self {
        let here = Self::default();
        here.state().text = text;
        here.state().joined = true;
        here
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(volume: &VolumeRef) -> Place {
        Place {
            lockspace: format!("lvm_{}", volume.pool),
            name: volume.id.lv.to_string(),
            disk: "/dev/mapper/lvmlock".to_owned(),
            offset: 0,
        }
    }

    /// Leases of this node.
    fn entries(&self) -> Vec<Entry> {
        let world = self.sanlock.world();
        let here = world.leases.iter().filter(|lease| lease.pid.is_some());
        let entries = here.map(|lease| Entry {
            lv: lease.place.name.parse().unwrap(),
            lease: HeldLease {
                mode: lease.mode,
                version: lease.version,
                orphan: lease.orphan,
            },
            pid: lease.pid.unwrap(),
            disk: lease.place.disk.clone(),
            offset: lease.place.offset,
        });
        entries.collect()
    }

    /// What somebody who types `lvchange -aey`, or `-asy`, leaves.
    pub(super) fn activate_by_hand(&self, volume: &VolumeRef, mode: LeaseMode) {
        let place = Self::place(volume);
        self.sanlock.put(&place, mode, Some(LVMLOCKD), false);
        self.state().mapped.insert(volume.id, None);
    }
}

impl Users for FakeHere {
    fn is_mapped(&self, volume: VolumeId) -> PortResult<bool> {
        Ok(self.state().mapped.contains_key(&volume))
    }

    fn users(&self, _: VolumeId) -> Vec<String> {
        vec!["dd (process 4711)".to_owned()]
    }
}

impl World for FakeHere {
    fn mapper(&self) -> &dyn Users {
        self
    }

    fn pid(&self) -> u32 {
        PID
    }

    fn register(&self) -> PortResult<Box<dyn Conversation>> {
        Ok(Box::new(self.sanlock.register(PID)))
    }

    fn account(&self, pool: &PoolName) -> PortResult<Account> {
        if !self.state().joined {
            let (pool, taken) = (pool.clone(), None);
            return Err(Unmet::NotJoined { pool, taken }.into());
        }
        let (given_up, leaving, ago) = {
            let state = self.state();
            (state.given_up, state.leaving, state.renewed_ago)
        };
        let expires_after = Duration::from_secs(80);
        let freshness = match (given_up, leaving) {
            (true, _) => Freshness::GivenUp,
            (false, true) => Freshness::Leaving { ago, expires_after },
            (false, false) => Freshness::Renewed { ago, expires_after },
        };
        Ok(Account {
            entries: self.entries(),
            watchdog_armed: true,
            freshness,
            generation: Some(1),
        })
    }

    fn stranded(&self, _: &PoolName) -> PortResult<Vec<Entry>> {
        let mut entries = self.entries();
        entries.retain(|entry| entry.lease.orphan);
        Ok(entries)
    }

    fn look(&self, _: &PoolName, _: Option<&Arc<Reading>>) -> PortResult<Look> {
        Ok(Look::made_up(layout::read(&self.state().text)?))
    }

    fn keeps_back(&self, _: &PoolName) -> PortResult<bool> {
        Ok(self.state().keeps_back)
    }

    fn map(&self, wanted: &Wanted) -> PortResult<Applied> {
        let (vg, lv) = wanted.uuid.strip_prefix("LVM-").unwrap().split_at(32);
        let volume = VolumeId {
            vg: vg.parse().unwrap(),
            lv: lv.parse().unwrap(),
        };
        let leased = |lease: &crate::sanlock::fake::FakeLease| {
            lease.pid == Some(PID) && !lease.orphan && lease.place.name == volume.lv.to_string()
        };
        assert!(
            self.sanlock.world().leases.iter().any(leased),
            "I1: mapped without its lease"
        );
        let mut state = self.state();
        state.done.push(format!("map {}", wanted.name));
        state.mapped.insert(volume, Some(wanted.clone()));
        Ok(Applied::Changed)
    }

    fn unmap(&self, volume: &VolumeRef) -> PortResult<Applied> {
        let mut state = self.state();
        state.done.push(format!("unmap {volume}"));
        Ok(match state.mapped.remove(&volume.id) {
            Some(_) => Applied::Changed,
            None => Applied::Identity,
        })
    }

    fn lvm_take(&self, _: &PoolName, volumes: &[VolumeRef], mode: LeaseMode) -> PortResult<()> {
        for volume in volumes {
            self.state().done.push(format!("lvm take {mode} {volume}"));
            let name = volume.id.lv.to_string();
            let mut world = self.sanlock.world();
            world.leases.retain(|lease| lease.place.name != name);
            drop(world);
            self.activate_by_hand(volume, mode);
        }
        Ok(())
    }

    /// Says when, by what is held then.
    fn let_lvmlockd_adopt(&self) {
        let held = self.sanlock.world().leases.len();
        let adopted = format!("lvmlockd adopts, {held} held");
        self.state().done.push(adopted);
    }

    fn lvm_release(&self, _: &PoolName, volumes: &[VolumeRef]) -> PortResult<()> {
        for volume in volumes {
            self.state().done.push(format!("lvm release {volume}"));
            let name = volume.id.lv.to_string();
            let mut world = self.sanlock.world();
            let before = world.leases.len();
            let gone = |l: &crate::sanlock::fake::FakeLease| {
                l.pid == Some(LVMLOCKD) && l.place.name == name
            };
            world.leases.retain(|lease| !gone(lease));
            if world.leases.len() == before {
                let what = format!("{volume}'s lease");
                return Err(PortError::Missing { what });
            }
            drop(world);
            self.state().mapped.remove(&volume.id);
        }
        Ok(())
    }
}
