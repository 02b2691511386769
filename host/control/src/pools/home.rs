//! The home that a person says is right: where the witnesses contradict each other, or where the node that
//! has the copy is gone. And copies that were given up so.

use volward_model::{
    CopyStage, GivenUp, Home, HomeState, LeaseMode, LvUuid, PoolName, RequestId, VolumeInfo,
    VolumeName, VolumeRef,
};
use volward_plan::witness::{Owner, choose, is_without_its_copy, may_discard, testimony};
use volward_plan::{Refusal, VolumeInput, home_of};

use super::Pools;
use crate::engine::StepError;
use crate::error::{ControlError, refuse, storage};
use crate::ports::{Event, PortError, PortResult};

/// Who says that a home is right, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaidBy {
    /// The caller's user id.
    pub uid: u32,
    /// Why, in his own words; needed where a copy is given up.
    pub because: Option<String>,
}

impl Pools {
    /// Replaces a volume's home tag, which says `found`, by `right`, if the witnesses still leave that
    /// choice.
    ///
    /// # Errors
    /// [`Refusal::home_changed`] if not, and if the tag changed meanwhile; or as storage fails.
    pub(crate) fn set_home(
        &self,
        request: RequestId,
        (pool, name): (&PoolName, &VolumeName),
        found: &Home,
        right: &Home,
        said: &SaidBy,
    ) -> Result<(), ControlError> {
        let doing = format!("the home of {pool}/{name}");
        let alone = self.observer.alone(request, pool, name, &doing)?;
        let (info, seen) = (&alone.info, &alone.seen);
        let home = home_of(info).map_err(|refusal| refuse(request, refusal))?;
        let heard = testimony(&self.settings.node, &home, seen, &alone.owner);
        choose(&heard, &home, &info.volume, found, right)
            .map_err(|refusal| refuse(request, refusal))?;
        let chosen = self.last_use.data_is_chosen(|one| one.id == info.volume.id);
        chosen.map_err(|error| storage(request, &doing, error))?;
        let lost =
            right.state == HomeState::Pool && is_without_its_copy(&self.settings.node, &home, seen);
        match &alone.owner {
            Owner::Gone(why) => self.give_up(request, seen, (&home, right), why, said),
            Owner::Here if lost => {
                let why = "its copy is not in the local pool of this node";
                self.give_up(request, seen, (&home, right), why, said)
            }
            Owner::Here | Owner::MayLive(_) => self
                .replace_home(info, right, &[])
                .map_err(|error| storage(request, &doing, error))
                .and_then(|()| self.must_say(request, info, right, &[])),
        }
    }

    /// The copy of a node that is gone counts no more, or one that this node has not got any more. What proves that no
    /// guest of another node uses the volume is the exclusive lease, which a node that lives would not give away.
    fn give_up(
        &self,
        request: RequestId,
        seen: &VolumeInput,
        (home, right): (&Home, &Home),
        gone: &str,
        said: &SaidBy,
    ) -> Result<(), ControlError> {
        let info = &seen.info;
        let volume = &info.volume;
        let doing = format!("giving up the copy of {volume}");
        if let Some(mark) = info.mark() {
            return Err(refuse(request, Refusal::under_operation(volume, &mark)));
        }
        let failed = |error| storage(request, &doing, error);
        let Some(because) = said.because.as_deref().filter(|why| !why.trim().is_empty()) else {
            return Err(refuse(request, Refusal::no_reason(volume)));
        };
        let Some((node, copy)) = home.copy() else {
            return Err(refuse(request, Refusal::home_changed(volume, "it is home")));
        };
        let volumes = std::slice::from_ref(volume);
        let leased = match seen.lease {
            Some(held) if held.mode == LeaseMode::Exclusive && !held.orphan => Ok(()),
            _ => self
                .engine
                .lease(&volume.pool, volumes, LeaseMode::Exclusive),
        };
        leased.map_err(|error| match error {
            StepError::Held(refusal) | StepError::Refused(refusal) => refuse(request, refusal),
            StepError::Port(error) => failed(error),
            other => failed(PortError::Invalid {
                what: doing.clone(),
                reason: other.cause("taking its lease"),
            }),
        })?;
        let given_up = GivenUp::new(
            node.clone(),
            *copy,
            home.generation,
            self.ports.clock.now_ms() / 1_000,
            (said.uid, because),
        );
        let replaced = self.replace_leased(request, info, (home, right), &given_up);
        // What is still attached here goes on with its lease.
        if seen.here.is_empty()
            && let Err(error) = self.engine.release(&volume.pool, volumes)
        {
            let what = format!("the lease of {volume}, after its copy was given up");
            let reason = error.to_string();
            self.ports.events.tell(&Event::StrayStays { what, reason });
        }
        replaced?;
        self.ports.events.tell(&Event::CopyGivenUp {
            volume: volume.clone(),
            home: home.clone(),
            gone: gone.to_owned(),
            uid: said.uid,
            because: because.to_owned(),
        });
        Ok(())
    }

    /// The node may have come back, and may have brought its copy home, before the lease was ours.
    fn replace_leased(
        &self,
        request: RequestId,
        info: &VolumeInfo,
        (home, right): (&Home, &Home),
        given_up: &GivenUp,
    ) -> Result<(), ControlError> {
        let volume = &info.volume;
        let failed = |error| storage(request, &format!("the home of {volume}"), error);
        match self.home_read_back(volume).map_err(failed)? {
            Some(now) if now == *home => {}
            now => {
                let now = now.map_or("unreadable".to_owned(), |now| now.to_string());
                let changed = Refusal::home_changed(volume, &format!("its home is {now} now"));
                return Err(refuse(request, changed));
            }
        }
        let said = [given_up.tag()];
        self.replace_home(info, right, &said).map_err(failed)?;
        self.must_say(request, info, right, &said)
    }

    /// One metadata commit: the home, and what is said of copies beside it. A copy that counts again is given up
    /// no longer.
    fn replace_home(&self, info: &VolumeInfo, right: &Home, more: &[String]) -> PortResult<()> {
        let counts = right.copy().map(|(_, copy)| *copy);
        let mut old = info.tags_of_home(counts);
        let again = info.given_up().filter(|said| Some(said.copy) == counts);
        old.extend(again.map(|said| said.tag()));
        let new: Vec<String> = [right.tag()].into_iter().chain(more.to_vec()).collect();
        self.ports.volumes.change_tags(&info.volume, &old, &new)
    }

    /// Reads the home back. What was written with it goes with it.
    fn must_say(
        &self,
        request: RequestId,
        info: &VolumeInfo,
        right: &Home,
        more: &[String],
    ) -> Result<(), ControlError> {
        let failed = |error| storage(request, &format!("the home of {}", info.volume), error);
        if self.home_read_back(&info.volume).map_err(failed)?.as_ref() == Some(right) {
            return Ok(());
        }
        // Somebody who does not ask this daemon was quicker: two tags say nothing, so this one goes.
        let wrong: Vec<String> = [right.tag()].into_iter().chain(more.to_vec()).collect();
        self.ports
            .volumes
            .change_tags(&info.volume, &wrong, &[])
            .map_err(failed)?;
        let changed = Refusal::home_changed(
            &info.volume,
            "its home tag was changed past this daemon in the same moment",
        );
        Err(refuse(request, changed))
    }

    /// `None` where the tags say nothing.
    fn home_read_back(&self, volume: &VolumeRef) -> PortResult<Option<Home>> {
        let pool = self.ports.volumes.pool(&volume.pool)?;
        Ok(pool.volume(volume.id).and_then(|info| home_of(info).ok()))
    }

    /// Lets go of a copy on this node that was given up: from now on it is what is left over of one that is home.
    /// Answers the volume, for whoever clears that away.
    ///
    /// # Errors
    /// [`Refusal::home_changed`] if it was not given up, or is in use; or as storage fails.
    pub(crate) fn discard_copy(
        &self,
        request: RequestId,
        pool: &PoolName,
        name: &VolumeName,
        copy: LvUuid,
    ) -> Result<VolumeRef, ControlError> {
        let doing = format!("discarding the copy of {pool}/{name}");
        let failed = |error| storage(request, &doing, error);
        let alone = self.observer.alone(request, pool, name, &doing)?;
        let home = home_of(&alone.info).map_err(|refusal| refuse(request, refusal))?;
        let said = may_discard(&home, &alone.seen, copy).map_err(|r| refuse(request, r))?;
        let found = self.copy_lv(copy).map_err(failed)?;
        // Nothing in it is wanted, as of one that was written back.
        self.engine
            .set_copy_stage(&found, CopyStage::Returned)
            .map_err(failed)?;
        let volume = alone.info.volume.clone();
        let volumes = &self.ports.volumes;
        volumes
            .change_tags(&volume, &[said.tag()], &[])
            .map_err(failed)?;
        self.ports.events.tell(&Event::CopyDiscarded {
            volume: volume.clone(),
            copy,
        });
        Ok(volume)
    }

    fn copy_lv(&self, copy: LvUuid) -> PortResult<VolumeInfo> {
        let missing = || PortError::Missing {
            what: format!("the copy {copy} in the local pool"),
        };
        let local = self.settings.local.as_ref().ok_or_else(missing)?;
        let pool = self.ports.volumes.validated_pool(local)?;
        let mut volumes = pool.volumes.iter();
        let found = volumes.find(|info| info.volume.id.lv == copy).cloned();
        found.ok_or_else(missing)
    }
}
