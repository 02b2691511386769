//! Where a volume's data is, told by more than one witness.
//!
//! The home tag on the LUN says it, and a tag can be lost or rolled back: by hand, by `vgcfgrestore`.
//! The record of this node says it, and a state folder can be lost or restored from an older copy. So
//! before anything is written, zeroed, removed or handed out, home, attachments, loaded devices and
//! the copy's own tags are compared. Where they contradict each other, nothing is done to the data.

use volward_model::{
    AttachmentState, Bytes, CopyLv, CopyStage, DeviceInfo, DeviceRole, GivenUp, Home, HomeState,
    InstanceId, NodeName,
};

use crate::input::{LocalCopies, VolumeInput};
use crate::refusal::Refusal;

/// What the witnesses say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They say the same.
    Agree,
    /// The data is at home in the pool, and what is left of a copy on this node holds nothing that
    /// the pool has not: it may be removed.
    Leftovers,
    /// The local pool cannot be asked, and what the others say does not do without it: a sentence.
    Silent(String),
    /// They contradict each other; a sentence for each contradiction.
    Contradict(Vec<String>),
}

/// Compares what is known of one volume on this node. `home` is what its tag says.
#[must_use]
pub fn weigh(node: &NodeName, home: &Home, seen: &VolumeInput) -> Verdict {
    let mut against = unrecorded(seen);
    let here = home.copy().filter(|(owner, _)| *owner == node);
    match (&home.state, here) {
        (HomeState::Pool, _) => match in_pool(home, seen) {
            Ok(verdict) if against.is_empty() => return verdict,
            Ok(_) => {}
            Err(sentences) => against.extend(sentences),
        },
        (state, Some((_, named))) => {
            against.extend(named_copy(home, *named, seen));
            against.extend(returning_too_early(state, seen));
        }
        // The data is another node's to hand out; whatever is here is refused for that.
        (_, None) => {
            against.extend(loaded(seen).map(|device| {
                format!(
                    "device {} is loaded here, and the home is {home}",
                    device.id
                )
            }));
            against.extend(under_another_name(node, home, seen));
        }
    }
    if against.is_empty() {
        Verdict::Agree
    } else {
        Verdict::Contradict(against)
    }
}

/// The refusal where they contradict each other, or one of them is silent that is needed.
///
/// # Errors
/// [`RefusalCode::Contradiction`](crate::RefusalCode::Contradiction),
/// [`RefusalCode::LocalPoolUnreadable`](crate::RefusalCode::LocalPoolUnreadable).
pub fn agree(node: &NodeName, home: &Home, seen: &VolumeInput) -> Result<Verdict, Refusal> {
    match weigh(node, home, seen) {
        Verdict::Contradict(sentences) => Err(Refusal::contradiction(seen, &sentences)),
        Verdict::Silent(why) => Err(Refusal::local_pool_unreadable(&seen.info.volume, &why)),
        verdict => Ok(verdict),
    }
}

/// The size of the volume's clone in bytes: what the volume had when its copy was made.
#[must_use]
pub fn copied_size(home: &Home, seen: &VolumeInput) -> Bytes {
    let named = home.copy().map(|(_, lv)| *lv);
    let used = copies(seen).find(|copy| Some(copy.lv) == named);
    match used {
        Some(CopyLv {
            stage: Some(CopyStage::Used { size, .. }),
            ..
        }) => *size,
        // A volume that was grown since is larger than its copy.
        Some(copy) => seen.info.size.min(copy.size),
        None => seen.info.size,
    }
}

/// Whether the copy that the home names says that it was written back: all that is missing is the
/// home itself.
#[must_use]
pub fn is_written_back(home: &Home, seen: &VolumeInput) -> bool {
    let named = home.copy().map(|(_, lv)| *lv);
    copies(seen).any(|copy| Some(copy.lv) == named && copy.stage == Some(CopyStage::Returned))
}

/// Attachment devices that no attachment accounts for: whoever has one open uses the volume.
fn unrecorded(seen: &VolumeInput) -> Vec<String> {
    let devices = seen.witnesses.devices.iter();
    devices
        .filter_map(|device| {
            let DeviceRole::Attachment(instance) = device.id.role else {
                return None;
            };
            if seen.here.iter().any(|a| a.instance == instance) {
                return None;
            }
            let open = if device.open { "is open" } else { "is there" };
            Some(format!(
                "device {} {open}, and no attachment of instance {instance} is on record",
                device.id
            ))
        })
        .collect()
}

fn in_pool(home: &Home, seen: &VolumeInput) -> Result<Verdict, Vec<String>> {
    let loaded: Vec<&DeviceInfo> = loaded(seen).collect();
    let copies: Vec<&CopyLv> = copies(seen).collect();
    let returned = |copy: &CopyLv| match copy.stage {
        Some(CopyStage::Fresh) => loaded.is_empty(),
        Some(CopyStage::Returned) => true,
        Some(CopyStage::Used { .. }) => false,
        // A copy of 0.1.0: the record of its write-back is the second witness.
        None => seen.witnesses.write_back && home.generation > 0,
    };
    let mut against: Vec<String> = copies
        .iter()
        .filter(|copy| !returned(copy))
        .map(|copy| match given_up(seen, copy) {
            Some(said) => format!("the home is {home}; the copy {copy}, was {said} and is kept"),
            None => format!("the home is {home}, and this node has the copy {copy}"),
        })
        .collect();
    if copies.is_empty() {
        against.extend(loaded.iter().map(|device| {
            format!(
                "the home is {home}, and device {} is loaded on this node",
                device.id
            )
        }));
    }
    // A record that outlived its attachment has no device any more, and the copy is known to be
    // gone or back: a detach that could not be recorded.
    let asked = matches!(seen.witnesses.copies, LocalCopies::Found(_));
    let known_back = against.is_empty() && asked;
    // One that says that all of it was written back, while that is on record as begun, came home under its guest: the
    // attachment's record is the next thing to be written.
    let came_home = seen.witnesses.write_back
        && copies
            .iter()
            .any(|copy| copy.stage == Some(CopyStage::Returned));
    let recorded = seen.here.iter().filter(|a| {
        a.copy.is_some()
            && !came_home
            && a.state == AttachmentState::Attached
            && !(known_back && device_of(seen, a.instance).is_none())
    });
    against.extend(recorded.map(|a| {
        format!(
            "the home is {home}, and instance {} is attached with a copy on this node",
            a.instance
        )
    }));
    match (against.is_empty(), copies.is_empty()) {
        (false, _) => Err(against),
        (true, true) => Ok(may_be_in_a_copy(home, seen).map_or(Verdict::Agree, Verdict::Silent)),
        (true, false) => Ok(Verdict::Leftovers),
    }
}

/// A sentence where the journal has the volume's data go to a copy here after the home that the tag
/// says, and the local pool cannot be asked for it. A home that is older than that never came back.
fn may_be_in_a_copy(home: &Home, seen: &VolumeInput) -> Option<String> {
    let why = seen.witnesses.copies.silent()?;
    let at = seen.witnesses.split_at.filter(|at| home.generation < *at)?;
    Some(format!(
        "the home is {home}, by this node's journal it became split here with generation {at}, and the \
         local pool cannot be asked ({why})"
    ))
}

fn device_of(seen: &VolumeInput, instance: InstanceId) -> Option<&DeviceInfo> {
    let role = DeviceRole::Attachment(instance);
    seen.witnesses.devices.iter().find(|d| d.id.role == role)
}

fn named_copy(home: &Home, named: volward_model::LvUuid, seen: &VolumeInput) -> Vec<String> {
    // A local pool that cannot be read is no contradiction: the steps that need it will say so.
    if !matches!(seen.witnesses.copies, LocalCopies::Found(_)) {
        return Vec::new();
    }
    let Some(copy) = copies(seen).find(|copy| copy.lv == named) else {
        let others: Vec<String> = copies(seen).map(ToString::to_string).collect();
        let found = match others.is_empty() {
            true => "no copy of the volume".to_owned(),
            false => others.join(", and "),
        };
        return vec![format!(
            "the home is {home}, and the local pool has {found} where it names {named}"
        )];
    };
    let (generation, size) = match (copy.stage, &home.state) {
        (Some(CopyStage::Used { generation, size }), _) => (generation, size),
        // The write-back is complete, and the home is the next thing to be written.
        (Some(CopyStage::Returned), HomeState::Returning { .. }) => return Vec::new(),
        (Some(CopyStage::Returned), _) => {
            return vec![format!("the home is {home}, and its copy is {copy}")];
        }
        (Some(CopyStage::Fresh) | None, _) => return Vec::new(),
    };
    let expected = match home.state {
        HomeState::Returning { .. } => home.generation.saturating_sub(1),
        _ => home.generation,
    };
    let mut against = Vec::new();
    if generation != expected {
        against.push(format!("the home is {home}, and its copy is {copy}"));
    }
    if seen.info.size < size {
        against.push(format!(
            "the volume has {} and its copy was made of {size}: it was made smaller since",
            seen.info.size
        ));
    }
    against
}

/// A reverse clone is loaded after the home says `returning`, and never beside a guest; where a copy comes home under its
/// guest it is the clone device itself, on which the guest's stands.
fn returning_too_early(state: &HomeState, seen: &VolumeInput) -> Vec<String> {
    let mut against = Vec::new();
    if matches!(state, HomeState::Split { .. }) {
        let returns = loaded(seen).filter(|d| d.id.role == DeviceRole::Return);
        against.extend(returns.map(|d| format!("device {} writes back already", d.id)));
    }
    let beside = |role| loaded(seen).any(|d| d.id.role == role);
    let under_its_guest = beside(DeviceRole::Clone) && !beside(DeviceRole::Return);
    if matches!(state, HomeState::Returning { .. }) && !under_its_guest {
        let attached = seen
            .here
            .iter()
            .filter(|a| a.state == AttachmentState::Attached);
        against.extend(attached.map(|a| {
            format!(
                "the copy is being written back, and instance {} is attached on this node",
                a.instance
            )
        }));
    }
    against
}

/// A node that was given another name while it had copies: nobody else has the data, and to itself it is another
/// node's.
fn under_another_name(node: &NodeName, home: &Home, seen: &VolumeInput) -> Option<String> {
    let (owner, lv) = home.copy()?;
    let named = copies(seen).any(|copy| copy.lv == *lv);
    named.then(|| {
        format!(
            "the home is {home}, and that copy is in the local pool of this node, which is called {node}: where its \
             name was changed, put back name = \"{owner}\" under [node] in /etc/volward/volward.toml and restart volwardd"
        )
    })
}

fn copies(seen: &VolumeInput) -> impl Iterator<Item = &CopyLv> {
    seen.witnesses.copies.found().iter()
}

/// Clone devices with a table; one without is what a crash leaves before anything was copied.
fn loaded(seen: &VolumeInput) -> impl Iterator<Item = &DeviceInfo> {
    let clones = |d: &&DeviceInfo| matches!(d.id.role, DeviceRole::Clone | DeviceRole::Return);
    seen.witnesses
        .devices
        .iter()
        .filter(clones)
        .filter(|d| d.target.is_some())
}

/// What a person said of a copy that this node has.
fn given_up(seen: &VolumeInput, copy: &CopyLv) -> Option<GivenUp> {
    seen.info.given_up().find(|said| said.copy == copy.lv)
}

mod discard;
mod elsewhere;
mod ways_out;

pub use discard::may_discard;
pub use elsewhere::Owner;
pub use ways_out::{Testimony, Witness, choose, is_without_its_copy, testimony};

#[cfg(test)]
mod tests;
