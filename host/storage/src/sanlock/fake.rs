//! sanlock in memory: processes of one node and of others, and what each of them holds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use volward_model::LeaseMode;
use volward_ports::PortResult;

use super::{Conversation, Inquired, Line, Place, SanlockError};

/// A lease as somebody holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FakeLease {
    pub(crate) place: Place,
    pub(crate) mode: LeaseMode,
    /// Its process; `None` on another node.
    pub(crate) pid: Option<u32>,
    pub(crate) orphan: bool,
    pub(crate) version: u64,
}

/// All leases of a cluster, as one of its nodes sees them.
#[derive(Debug, Default)]
pub(crate) struct FakeWorld {
    pub(crate) leases: Vec<FakeLease>,
    /// The lockspace is being left: it is listed, and nobody can adopt anything in it.
    pub(crate) leaving: bool,
    /// The LUN takes no writes: what is given up is forgotten here, and stays this node's there.
    pub(crate) lun_fails: bool,
    /// Names of leases that are this node's on the LUN and nobody's here.
    pub(crate) left_on_lun: Vec<String>,
    /// What was told, in short.
    pub(crate) told: Vec<String>,
    version: u64,
    /// Conversations begun before this many were ended are over.
    ended: usize,
    begun: usize,
}

/// A sanlock daemon that is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakeSanlock(Arc<Mutex<FakeWorld>>);

impl FakeSanlock {
    pub(crate) fn world(&self) -> MutexGuard<'_, FakeWorld> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lease of somebody's: of a process of this node, or of another node.
    pub(crate) fn put(&self, place: &Place, mode: LeaseMode, pid: Option<u32>, orphan: bool) {
        let mut world = self.world();
        world.version += 1;
        let version = world.version;
        world.leases.push(FakeLease {
            place: place.clone(),
            mode,
            pid,
            orphan,
            version,
        });
    }

    pub(crate) fn register(&self, pid: u32) -> FakeConversation {
        let mut world = self.world();
        world.begun += 1;
        FakeConversation {
            sanlock: self.clone(),
            pid,
            number: world.begun,
        }
    }

    /// The daemon hangs up on everybody.
    pub(crate) fn end_conversations(&self) {
        let mut world = self.world();
        world.ended = world.begun;
        let here = world.leases.iter_mut().filter(|lease| lease.pid.is_some());
        here.for_each(|lease| lease.orphan = true);
    }
}

/// A registered process. Dropped, its leases are orphans.
#[derive(Debug)]
pub(crate) struct FakeConversation {
    sanlock: FakeSanlock,
    pid: u32,
    number: usize,
}

impl FakeConversation {
    fn is_over(&self) -> bool {
        self.sanlock.world().ended >= self.number
    }
}

impl FakeWorld {
    /// What stands in the way of a new lease.
    fn obstacle(&self, place: &Place, mode: LeaseMode) -> Option<SanlockError> {
        let here = self.leases.iter().filter(|l| l.place.name == place.name);
        here.filter_map(|lease| {
            let both_shared = (lease.mode, mode) == (LeaseMode::Shared, LeaseMode::Shared);
            match (lease.pid, lease.orphan) {
                (None, _) if both_shared => None,
                (None, _) => Some(SanlockError::HeldElsewhere),
                (Some(_), true) => Some(SanlockError::Orphan),
                (Some(_), false) if both_shared => None,
                (Some(_), false) => Some(SanlockError::HeldHere),
            }
        })
        .next()
    }

    fn own(&mut self, pid: u32, name: &str) -> Option<&mut FakeLease> {
        let mut all = self.leases.iter_mut();
        all.find(|l| l.pid == Some(pid) && !l.orphan && l.place.name == name)
    }
}

impl Conversation for FakeConversation {
    fn acquire(&mut self, places: &[Place], mode: LeaseMode) -> Result<(), SanlockError> {
        let mut world = self.sanlock.world();
        let names: Vec<&str> = places.iter().map(|p| p.name.as_str()).collect();
        world
            .told
            .push(format!("acquire {mode} {}", names.join(" ")));
        assert!((1..=super::MOST_AT_ONCE).contains(&places.len()));
        if world.lun_fails {
            return Err(SanlockError::Code(-5));
        }
        if let Some(obstacle) = places.iter().find_map(|p| world.obstacle(p, mode)) {
            return Err(obstacle);
        }
        world
            .left_on_lun
            .retain(|left| !names.contains(&left.as_str()));
        drop(world);
        for place in places {
            self.sanlock.put(place, mode, Some(self.pid), false);
        }
        Ok(())
    }

    fn adopt(&mut self, place: &Place, mode: LeaseMode) -> Result<(), SanlockError> {
        let mut world = self.sanlock.world();
        world.told.push(format!("adopt {mode} {}", place.name));
        if world.leaving {
            return Err(SanlockError::NoLockspace);
        }
        let mut all = world.leases.iter_mut();
        let Some(orphan) = all.find(|l| l.orphan && l.place == *place) else {
            return Err(SanlockError::NotHeld);
        };
        if orphan.mode != mode {
            return Err(SanlockError::Orphan);
        }
        (orphan.pid, orphan.orphan) = (Some(self.pid), false);
        Ok(())
    }

    fn convert(&mut self, place: &Place, mode: LeaseMode) -> Result<(), SanlockError> {
        let pid = self.pid;
        let mut world = self.sanlock.world();
        world.told.push(format!("convert {mode} {}", place.name));
        let mut others = world.leases.iter().filter(|l| l.place.name == place.name);
        let contended = mode == LeaseMode::Exclusive && others.any(|l| l.pid != Some(pid));
        let held = world.own(pid, &place.name).ok_or(SanlockError::NotHeld)?;
        if contended {
            return Err(SanlockError::Busy);
        }
        held.mode = mode;
        Ok(())
    }

    fn release(&mut self, places: &[Place]) -> Result<(), SanlockError> {
        let pid = self.pid;
        let mut world = self.sanlock.world();
        let names: Vec<&str> = places.iter().map(|p| p.name.as_str()).collect();
        world.told.push(format!("release {}", names.join(" ")));
        assert!((1..=super::MOST_AT_ONCE).contains(&places.len()));
        let mut outcome = Ok(());
        for place in places {
            if world.own(pid, &place.name).is_none() {
                outcome = Err(SanlockError::NotHeld);
            }
            let gone =
                |l: &FakeLease| l.pid == Some(pid) && !l.orphan && l.place.name == place.name;
            world.leases.retain(|lease| !gone(lease));
            if world.lun_fails {
                world.left_on_lun.push(place.name.clone());
                outcome = Err(SanlockError::Code(-5));
            }
        }
        outcome
    }

    fn give_up_orphan(&mut self, place: &Place) -> Result<(), SanlockError> {
        let mut world = self.sanlock.world();
        world
            .told
            .push(format!("give up the orphan {}", place.name));
        world
            .leases
            .retain(|l| !(l.orphan && l.place.name == place.name));
        Ok(())
    }

    fn line(&self) -> PortResult<Box<dyn Line>> {
        Ok(Box::new(FakeLine {
            sanlock: self.sanlock.clone(),
            pid: self.pid,
            number: self.number,
        }))
    }

    fn inquire(&mut self) -> Result<Vec<Inquired>, SanlockError> {
        if self.is_over() {
            return Err(SanlockError::Broken(volward_ports::PortError::Io {
                what: "speaking to sanlock".to_owned(),
                reason: "it has ended the conversation".to_owned(),
            }));
        }
        let world = self.sanlock.world();
        let own = world.leases.iter();
        let own = own.filter(|l| l.pid == Some(self.pid) && !l.orphan);
        Ok(own
            .map(|lease| Inquired {
                lockspace: lease.place.lockspace.clone(),
                name: lease.place.name.clone(),
            })
            .collect())
    }
}

/// Of a conversation.
struct FakeLine {
    sanlock: FakeSanlock,
    pid: u32,
    number: usize,
}

impl Line for FakeLine {
    fn hang_up(&self) {
        let mut world = self.sanlock.world();
        world.told.push("hung up".to_owned());
        world.ended = world.ended.max(self.number);
        let own = world.leases.iter_mut().filter(|l| l.pid == Some(self.pid));
        own.for_each(|lease| lease.orphan = true);
    }
}

impl Drop for FakeConversation {
    fn drop(&mut self) {
        if self.is_over() {
            return;
        }
        let mut world = self.sanlock.world();
        let own = world.leases.iter_mut().filter(|l| l.pid == Some(self.pid));
        own.for_each(|lease| lease.orphan = true);
    }
}
