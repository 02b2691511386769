//! Leases: taken, given up, and looked at again.

use std::collections::BTreeMap;
use std::time::Duration;

use volward_model::{HeldLease, LeaseMode, LvUuid, PoolName, VolumeRef};
use volward_plan::recheck::recheck;
use volward_plan::{Expectation, Recheck, Refusal};

use super::{Engine, StepError};
use crate::ports::{Event, LeaseStyle, PortError, PortResult};

/// A lease command that failed while nobody holds the lease is given again, so often in all.
const LEASE_ATTEMPTS: u32 = 3;
/// Between two tries: longer than another node's undo takes to let go of a lease.
const LEASE_PAUSE: Duration = Duration::from_millis(250);

impl Engine {
    /// Exit codes prove nothing (I29): what counts is what sanlock says afterwards.
    pub(crate) fn lease(
        &self,
        pool: &PoolName,
        volumes: &[VolumeRef],
        mode: LeaseMode,
    ) -> Result<(), StepError> {
        for attempt in 1.. {
            let Err(error) = self.take_leases(pool, volumes, mode) else {
                break;
            };
            // LVM's exit code means anything (I29); what another node holds is the one cause
            // that deciding again can help, and that the caller must hear by name.
            if let Some(refusal) = self.observer.holder_elsewhere(pool, volumes, mode) {
                return Err(StepError::Held(refusal));
            }
            // Whoever held it may have given it up between the command and the look.
            let passing = matches!(error, PortError::Command { .. } | PortError::Busy { .. })
                && attempt < LEASE_ATTEMPTS;
            if !passing {
                return Err(match self.incomplete(pool, volumes) {
                    Some(refusal) => StepError::Refused(refusal),
                    None => StepError::Port(error),
                });
            }
            tracing::debug!(%pool, %error, "taking the leases again");
            self.ports.clock.sleep(LEASE_PAUSE);
        }
        let held = self.leases_must_be(pool, volumes, mode)?;
        self.note_taken(volumes, &held);
        self.ports.events.tell(&Event::Leased {
            pool: pool.clone(),
            volumes: volumes.to_vec(),
            mode,
        });
        Ok(())
    }

    /// A refusal where LVM misses a physical volume of the pool: it does not activate what is on that.
    fn incomplete(&self, pool: &PoolName, volumes: &[VolumeRef]) -> Option<Refusal> {
        let info = self.ports.volumes.pool(pool).ok()?;
        let first = volumes.first().filter(|_| info.partial)?;
        Some(Refusal::pool_incomplete(first))
    }

    /// Takes the leases that are not held, converts those that are, and activates: the one place
    /// that knows whether the provider does these together.
    pub(crate) fn take_leases(
        &self,
        pool: &PoolName,
        volumes: &[VolumeRef],
        mode: LeaseMode,
    ) -> PortResult<()> {
        let leases = &self.ports.leases;
        let held = leases.held(pool)?;
        let (held, free): (Vec<VolumeRef>, Vec<VolumeRef>) = volumes
            .iter()
            .cloned()
            .partition(|volume| held.contains_key(&volume.id.lv));
        if !free.is_empty() {
            leases.take(pool, &free, mode)?;
        }
        if !held.is_empty() {
            leases.convert(pool, &held, mode)?;
        }
        match leases.style(pool) {
            LeaseStyle::Fused => Ok(()),
            LeaseStyle::Separate => self.ports.activation.activate(pool, volumes),
        }
    }

    /// The mode asked for, no weaker and no stronger: an exclusive lease left over where a shared one was meant keeps the
    /// other nodes out. Answers all leases that this node has in the pool.
    pub(crate) fn leases_must_be(
        &self,
        pool: &PoolName,
        volumes: &[VolumeRef],
        mode: LeaseMode,
    ) -> PortResult<BTreeMap<LvUuid, HeldLease>> {
        let held = self.ports.leases.held(pool)?;
        for volume in volumes {
            let found = match held.get(&volume.id.lv) {
                Some(lease) if lease.mode == mode && !lease.orphan => continue,
                Some(lease) if lease.orphan => format!("{}, an orphan", lease.mode),
                Some(lease) => lease.mode.to_string(),
                None => "none".to_owned(),
            };
            return Err(PortError::NotInEffect {
                what: format!("the lease of {volume}"),
                expected: mode.to_string(),
                found,
            });
        }
        Ok(held)
    }

    /// What this node takes itself is no use by others.
    fn note_taken(&self, volumes: &[VolumeRef], held: &BTreeMap<LvUuid, HeldLease>) {
        let mut last = self.state.last_uses();
        for volume in volumes {
            if let Some(lease) = held.get(&volume.id.lv) {
                last.leased(volume.id, lease.version);
            }
        }
    }

    /// Reads back that the volumes are mapped on this node.
    pub(crate) fn must_be_active(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()> {
        let now = self.ports.volumes.validated_pool(pool)?;
        let active = |v: &&VolumeRef| now.volume(v.id).is_some_and(|info| info.active);
        match volumes.iter().find(|volume| !active(volume)) {
            None => Ok(()),
            Some(volume) => Err(PortError::NotInEffect {
                what: format!("activating {volume}"),
                expected: "active".to_owned(),
                found: "inactive".to_owned(),
            }),
        }
    }

    /// What counts is that lease and activation are gone, also where LVM complained: of a volume
    /// that vanished it knows nothing any more.
    pub(crate) fn release(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()> {
        let said = self.patiently(|| self.give_up_leases(pool, volumes));
        let held = self.ports.leases.held(pool)?;
        match (volumes.iter().find(|v| held.contains_key(&v.id.lv)), said) {
            (None, Ok(())) => {}
            // sanlock forgets a lease that it could not clear on the LUN, where it is this node's all the same.
            (None, Err(error)) if self.ports.leases.style(pool) == LeaseStyle::Separate => {
                return Err(error);
            }
            (None, Err(error)) => {
                let now = self.ports.volumes.pool(pool)?;
                let active = |v: &VolumeRef| now.volume(v.id).is_some_and(|info| info.active);
                if volumes.iter().any(active) {
                    return Err(error);
                }
                self.ports.events.tell(&Event::Trouble {
                    what: format!("deactivating and releasing in {pool}, where all is released"),
                    reason: error.to_string(),
                });
            }
            (Some(_), Err(error)) => return Err(error),
            (Some(volume), Ok(())) => {
                return Err(PortError::NotInEffect {
                    what: format!("the lease of {volume}"),
                    expected: "none".to_owned(),
                    found: "held".to_owned(),
                });
            }
        }
        self.ports.events.tell(&Event::Released {
            pool: pool.clone(),
            volumes: volumes.to_vec(),
        });
        Ok(())
    }

    /// Deactivates and releases, never the lease of what is still active.
    fn give_up_leases(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()> {
        let leases = &self.ports.leases;
        if leases.style(pool) == LeaseStyle::Separate {
            self.ports.activation.deactivate(pool, volumes)?;
        }
        leases.release(pool, volumes)
    }

    pub(super) fn revalidate(&self, expectations: &[Expectation]) -> Result<(), StepError> {
        let mut snapshots = BTreeMap::new();
        let mut contended = None;
        for expected in expectations {
            let pool = &expected.volume.pool;
            if !snapshots.contains_key(pool) {
                snapshots.insert(pool.clone(), self.observer.validated_snapshot(pool)?);
            }
            let snapshot = &snapshots[pool];
            let seen = match snapshot.info.volume(expected.volume.id) {
                Some(info) => Some(self.observer.volume_input(snapshot, info)?),
                None => None,
            };
            match recheck(expected, seen.as_ref()) {
                Recheck::Same => {}
                Recheck::Changed(why) => return Err(StepError::Changed(why)),
                // Not the last word: the others are looked at all the same.
                Recheck::Contended(why) => contended = contended.or(Some(why)),
                Recheck::Refused(refusal) => return Err(StepError::Refused(refusal)),
            }
        }
        contended.map_or(Ok(()), |why| Err(StepError::Contended(why)))
    }
}
