//! The home that a person says is right, where the witnesses contradict each other.

use volward_model::home::HOME_TAG_PREFIX;
use volward_model::{Home, PoolName, RequestId, VolumeName, VolumeRef};
use volward_plan::witness::{choose, testimony};
use volward_plan::{Refusal, home_of};

use super::Pools;
use crate::error::{ControlError, refuse, storage};

impl Pools {
    /// Replaces a volume's home tag, which says `found`, by `right`, if the witnesses still leave that
    /// choice.
    ///
    /// # Errors
    /// [`Refusal::home_changed`] if not, and if the tag changed meanwhile; or as storage fails.
    pub(crate) fn set_home(
        &self,
        request: RequestId,
        pool: &PoolName,
        name: &VolumeName,
        found: &Home,
        right: &Home,
    ) -> Result<(), ControlError> {
        let doing = format!("the home of {pool}/{name}");
        let failed = |error| storage(request, &doing, error);
        let alone = self.observer.alone(request, pool, name, &doing)?;
        let (info, seen) = (&alone.info, &alone.seen);
        let home = home_of(info).map_err(|refusal| refuse(request, refusal))?;
        let heard = testimony(&self.settings.node, &home, seen);
        choose(&heard, &home, &info.volume, found, right)
            .map_err(|refusal| refuse(request, refusal))?;
        let is_home = |tag: &&String| tag.starts_with(HOME_TAG_PREFIX);
        let old: Vec<String> = info.tags.iter().filter(is_home).cloned().collect();
        let new = [right.tag()];
        let volumes = &self.ports.volumes;
        volumes
            .change_tags(&info.volume, &old, &new)
            .map_err(failed)?;
        if self.home_read_back(&info.volume).map_err(failed)?.as_ref() == Some(right) {
            return Ok(());
        }
        // Somebody who does not ask this daemon was quicker: two tags say nothing, so this one goes.
        volumes
            .change_tags(&info.volume, &new, &[])
            .map_err(failed)?;
        let changed = Refusal::home_changed(
            &info.volume,
            "its home tag was changed past this daemon in the same moment",
        );
        Err(refuse(request, changed))
    }

    /// `None` where the tags say nothing.
    fn home_read_back(&self, volume: &VolumeRef) -> crate::ports::PortResult<Option<Home>> {
        let pool = self.ports.volumes.pool(&volume.pool)?;
        Ok(pool.volume(volume.id).and_then(|info| home_of(info).ok()))
    }
}
