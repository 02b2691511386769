//! What lvmlockd holds for Volward, and what somebody else activated by hand: the latter is neither taken,
//! converted nor given up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use volward_model::volume::REGISTRY_VOLUME;
use volward_model::{LeaseMode, PoolName, VolumeRef};
use volward_ports::{LeaseStatus, PortResult};

use crate::lease::claims::{Claims, Held, Mapper, Users};
use crate::lease::{Account, LeftByUs, Sanlock};
use crate::lvm::Lvm;

/// What is needed of a node.
pub(super) trait World {
    /// Its LVs' devices, and who uses them.
    fn mapper(&self) -> &dyn Users;

    /// What sanlock tells of the pool's lockspace now.
    fn account(&self, pool: &PoolName) -> PortResult<Account>;

    /// `lvchange -aey` or `-asy`.
    fn activate(&self, pool: &PoolName, volumes: &[VolumeRef], mode: LeaseMode) -> PortResult<()>;

    /// `lvchange -an`.
    fn deactivate(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()>;
}

/// This node.
#[derive(Debug)]
pub(super) struct Here {
    pub(super) lvm: Arc<Lvm>,
    pub(super) sanlock: Arc<Sanlock>,
}

impl World for Here {
    fn mapper(&self) -> &dyn Users {
        &Mapper
    }

    fn account(&self, pool: &PoolName) -> PortResult<Account> {
        self.sanlock.account(pool)
    }

    fn activate(&self, pool: &PoolName, volumes: &[VolumeRef], mode: LeaseMode) -> PortResult<()> {
        self.lvm.activate(pool, volumes, mode)
    }

    fn deactivate(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()> {
        self.lvm.deactivate(pool, volumes)
    }
}

/// All pools' leases that lvmlockd holds for Volward.
pub(super) struct Hands<W> {
    world: W,
    claims: Mutex<Claims>,
}

impl<W: World> Hands<W> {
    /// An attach that was interrupted counts as taken: whether it came to its `lvchange` the journal does not
    /// know, and what is undone of it must be given up. `lvchange -an` refuses what somebody has open.
    pub(super) fn new(world: W, left: &LeftByUs) -> Self {
        let through_lvm = left.leased.union(&left.attached);
        let claims = Claims {
            through_lvm: through_lvm.map(|volume| volume.lv).collect(),
            ..Claims::default()
        };
        Self {
            world,
            claims: Mutex::new(claims),
        }
    }

    fn claims(&self) -> MutexGuard<'_, Claims> {
        // A set is changed in one call.
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self, pool: &PoolName) -> PortResult<LeaseStatus> {
        let account = self.world.account(pool)?;
        Ok(account.as_status(&self.claims(), std::process::id()))
    }

    /// Takes and activates. The registry is Volward's whoever activated it.
    pub(super) fn take(
        &self,
        pool: &PoolName,
        volumes: &[VolumeRef],
        mode: LeaseMode,
    ) -> PortResult<()> {
        let account = self.world.account(pool)?;
        let claims = self.claims().clone();
        for volume in volumes.iter().filter(|volume| !is_registry(volume)) {
            claims.must_be_free(&account, volume, std::process::id(), self.world.mapper())?;
        }
        let lvs = volumes.iter().map(|volume| volume.id.lv);
        self.claims().through_lvm.extend(lvs);
        self.world.activate(pool, volumes, mode)
    }

    /// Deactivates and gives up what is Volward's, also where a lease was lost.
    pub(super) fn release(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()> {
        let account = self.world.account(pool)?;
        let claims = self.claims().clone();
        let is_ours = |volume: &&VolumeRef| {
            let lv = volume.id.lv;
            match claims.held(&account.entries, lv, std::process::id()) {
                Some((Held::ByHand, _)) => false,
                Some(_) => true,
                None => is_registry(volume) || claims.through_lvm.contains(&lv),
            }
        };
        let ours: Vec<VolumeRef> = volumes.iter().filter(is_ours).cloned().collect();
        if ours.is_empty() {
            return Ok(());
        }
        self.world.deactivate(pool, &ours)?;
        // The registry's may be given up for a moment only, and is never somebody else's.
        let gone = ours.iter().filter(|volume| !is_registry(volume));
        let mut claims = self.claims();
        for volume in gone {
            claims.through_lvm.remove(&volume.id.lv);
        }
        Ok(())
    }
}

fn is_registry(volume: &VolumeRef) -> bool {
    volume.name.as_str() == REGISTRY_VOLUME
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::time::Duration;

    use volward_model::{HeldLease, VolumeId};
    use volward_ports::{Freshness, PortError, Unmet};

    use super::*;
    use crate::lease::Entry;

    const LVMLOCKD: u32 = 7;

    /// A node on which lvmlockd does as it is told, by whomever.
    #[derive(Default)]
    struct Fake {
        leases: RefCell<Vec<Entry>>,
        mapped: RefCell<BTreeSet<VolumeId>>,
    }

    impl Users for Fake {
        fn is_mapped(&self, volume: VolumeId) -> PortResult<bool> {
            Ok(self.mapped.borrow().contains(&volume))
        }

        fn users(&self, _: VolumeId) -> Vec<String> {
            vec!["dd (process 4711)".to_owned()]
        }
    }

    impl World for Fake {
        fn mapper(&self) -> &dyn Users {
            self
        }

        fn account(&self, _: &PoolName) -> PortResult<Account> {
            Ok(Account {
                entries: self.leases.borrow().clone(),
                watchdog_armed: true,
                freshness: Freshness::Renewed {
                    ago: Duration::from_secs(1),
                    expires_after: Duration::from_secs(80),
                },
                generation: Some(1),
            })
        }

        fn activate(&self, _: &PoolName, volumes: &[VolumeRef], mode: LeaseMode) -> PortResult<()> {
            for volume in volumes {
                let lv = volume.id.lv;
                let mut leases = self.leases.borrow_mut();
                leases.retain(|entry| entry.lv != lv);
                leases.push(Entry {
                    lv,
                    lease: HeldLease {
                        mode,
                        version: 1,
                        orphan: false,
                    },
                    pid: LVMLOCKD,
                    disk: "/dev/mapper/vg0-lvmlock".to_owned(),
                    offset: 0,
                });
                self.mapped.borrow_mut().insert(volume.id);
            }
            Ok(())
        }

        fn deactivate(&self, _: &PoolName, volumes: &[VolumeRef]) -> PortResult<()> {
            for volume in volumes {
                let mut leases = self.leases.borrow_mut();
                leases.retain(|entry| entry.lv != volume.id.lv);
                self.mapped.borrow_mut().remove(&volume.id);
            }
            Ok(())
        }
    }

    fn pool() -> PoolName {
        "vg0".parse().unwrap()
    }

    fn volume(name: &str, letter: &str) -> VolumeRef {
        VolumeRef {
            id: VolumeId {
                vg: "v".repeat(32).parse().unwrap(),
                lv: letter.repeat(32).parse().unwrap(),
            },
            pool: pool(),
            name: name.parse().unwrap(),
        }
    }

    fn hands(left: &LeftByUs) -> Hands<Fake> {
        Hands::new(Fake::default(), left)
    }

    fn is_by_hand(error: &PortError) -> bool {
        matches!(error, PortError::Unmet(Unmet::ActiveByHand { .. }))
    }

    #[test]
    fn what_somebody_activated_by_hand_is_refused_and_left_alone() {
        for mode in [LeaseMode::Exclusive, LeaseMode::Shared] {
            let hands = hands(&LeftByUs::default());
            let disk = [volume("disk", "a")];
            hands.world.activate(&pool(), &disk, mode).unwrap();
            for wanted in [LeaseMode::Exclusive, LeaseMode::Shared] {
                let error = hands.take(&pool(), &disk, wanted).unwrap_err();
                assert!(is_by_hand(&error), "{error}");
                let text = error.to_string();
                assert!(
                    text.contains("process 7") && text.contains("dd (process 4711)"),
                    "{text}"
                );
            }
            // What the undo of a refused attach does.
            hands.release(&pool(), &disk).unwrap();
            let status = hands.status(&pool()).unwrap();
            assert!(status.held.is_empty(), "it is not Volward's");
            assert_eq!(status.by_hand, [disk[0].id.lv].into());
            assert_eq!(hands.world.leases.borrow()[0].lease.mode, mode);
            assert!(hands.world.mapped.borrow().contains(&disk[0].id));
        }
    }

    #[test]
    fn what_is_mapped_without_a_lease_is_refused_and_left_alone() {
        let hands = hands(&LeftByUs::default());
        let disk = [volume("disk", "a")];
        hands.world.mapped.borrow_mut().insert(disk[0].id);
        let error = hands.take(&pool(), &disk, LeaseMode::Shared).unwrap_err();
        assert!(
            is_by_hand(&error) && error.to_string().contains("without a lease"),
            "{error}"
        );
        hands.release(&pool(), &disk).unwrap();
        assert!(hands.world.mapped.borrow().contains(&disk[0].id));
    }

    #[test]
    fn what_volward_took_is_given_up_and_free_again() {
        let hands = hands(&LeftByUs::default());
        let disk = [volume("disk", "a")];
        hands.take(&pool(), &disk, LeaseMode::Exclusive).unwrap();
        let status = hands.status(&pool()).unwrap();
        assert!(status.held.contains_key(&disk[0].id.lv) && status.by_hand.is_empty());
        // The lease was lost: its device goes all the same.
        hands.world.leases.borrow_mut().clear();
        hands.release(&pool(), &disk).unwrap();
        assert!(hands.world.mapped.borrow().is_empty());
        // What is activated from now on is somebody else's.
        let world = &hands.world;
        world.activate(&pool(), &disk, LeaseMode::Shared).unwrap();
        let error = hands.take(&pool(), &disk, LeaseMode::Shared).unwrap_err();
        assert!(is_by_hand(&error), "{error}");
    }

    #[test]
    fn what_an_earlier_daemon_took_or_began_is_volwards() {
        let (had, begun) = (volume("had", "a"), volume("begun", "b"));
        let other = volume("other", "c");
        let hands = hands(&LeftByUs {
            leased: [begun.id, had.id].into(),
            attached: [had.id].into(),
        });
        let all = [had.clone(), begun.clone(), other.clone()];
        let world = &hands.world;
        world.activate(&pool(), &all, LeaseMode::Shared).unwrap();
        let status = hands.status(&pool()).unwrap();
        assert_eq!(status.by_hand, [other.id.lv].into());
        hands.release(&pool(), &all).unwrap();
        let left = hands.world.leases.borrow();
        assert_eq!((left.len(), left[0].lv), (1, other.id.lv));
    }

    #[test]
    fn the_registry_is_volwards_whoever_activated_it() {
        let hands = hands(&LeftByUs::default());
        let registry = [volume(REGISTRY_VOLUME, "r")];
        let world = &hands.world;
        world
            .activate(&pool(), &registry, LeaseMode::Shared)
            .unwrap();
        hands
            .take(&pool(), &registry, LeaseMode::Exclusive)
            .unwrap();
        hands.take(&pool(), &registry, LeaseMode::Shared).unwrap();
        let status = hands.status(&pool()).unwrap();
        assert!(status.held.contains_key(&registry[0].id.lv));
        hands.release(&pool(), &registry).unwrap();
        assert!(hands.world.leases.borrow().is_empty());
    }
}
