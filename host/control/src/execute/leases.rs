//! Leases: taken, given up, and looked at again.

use std::collections::BTreeMap;

use volward_model::{LeaseMode, PoolName, VolumeRef};
use volward_plan::recheck::recheck;
use volward_plan::{Expectation, Recheck};

use super::StepError;
use crate::node::Node;
use crate::ports::{PortError, PortResult};

impl Node {
    /// Exit codes prove nothing (I29): what counts is what sanlock says afterwards.
    pub(super) fn lease(
        &self,
        pool: &PoolName,
        volumes: &[VolumeRef],
        mode: LeaseMode,
    ) -> Result<(), StepError> {
        if let Err(error) = self.ports.volumes.activate(pool, volumes, mode) {
            // LVM's exit code means anything (I29); what another node holds is the one cause
            // that deciding again can help, and that the caller must hear by name.
            return Err(match self.holder_elsewhere(pool, volumes, mode) {
                Some(refusal) => StepError::Held(refusal),
                None => StepError::Port(error),
            });
        }
        let held = self.ports.leases.held(pool)?;
        for volume in volumes {
            match held.get(&volume.id.lv) {
                Some(lease) if lease.mode >= mode && !lease.orphan => {}
                other => {
                    let found = other.map_or("none".to_owned(), |l| l.mode.to_string());
                    return Err(StepError::from(PortError::NotInEffect {
                        what: format!("the lease of {volume}"),
                        expected: mode.to_string(),
                        found,
                    }));
                }
            }
        }
        Ok(())
    }

    /// What counts is that lease and activation are gone, also where LVM complained: of a volume
    /// that vanished it knows nothing any more.
    pub(super) fn release(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()> {
        let said = self.patiently(|| self.ports.volumes.deactivate(pool, volumes));
        let held = self.ports.leases.held(pool)?;
        match (volumes.iter().find(|v| held.contains_key(&v.id.lv)), said) {
            (None, Ok(())) => Ok(()),
            (None, Err(error)) => {
                let now = self.ports.volumes.pool(pool)?;
                let active = |v: &VolumeRef| now.volume(v.id).is_some_and(|info| info.active);
                if volumes.iter().any(active) {
                    return Err(error);
                }
                tracing::warn!(%error, "LVM complained, but all is deactivated and released");
                Ok(())
            }
            (Some(_), Err(error)) => Err(error),
            (Some(volume), Ok(())) => Err(PortError::NotInEffect {
                what: format!("the lease of {volume}"),
                expected: "none".to_owned(),
                found: "it held".to_owned(),
            }),
        }
    }

    pub(super) fn look_again(&self, expectations: &[Expectation]) -> Result<(), StepError> {
        let mut sights = BTreeMap::new();
        for expected in expectations {
            let pool = &expected.volume.pool;
            if !sights.contains_key(pool) {
                sights.insert(pool.clone(), self.validated_pool(pool)?);
            }
            let sight = &sights[pool];
            let seen = match sight.info.volume(expected.volume.id) {
                Some(info) => Some(self.volume_input(sight, info)?),
                None => None,
            };
            match recheck(expected, seen.as_ref()) {
                Recheck::Same => {}
                Recheck::Changed(why) => return Err(StepError::Changed(why)),
                Recheck::Refused(refusal) => return Err(StepError::Refused(refusal)),
            }
        }
        Ok(())
    }
}
