//! What each witness says, and what a person can do where they contradict each other. Nothing here
//! is done by Volward of itself: which witness is wrong only a person knows. What he says is compared with
//! the witnesses once more when he says it.

use volward_model::home::HOME_TAG_PREFIX;
use volward_model::{
    AttachmentState, Bytes, CopyLv, CopyStage, DeviceRole, GivenUp, Home, HomeState, NodeName,
    VolumeRef,
};

use super::elsewhere::{self, Owner};
use super::{Verdict, copies, given_up, weigh};
use crate::input::{LocalCopies, VolumeInput};
use crate::refusal::Refusal;

/// Where the local pool cannot be asked for a copy that may be there.
const BRING_BACK: &str =
    "bring the local pool's disk back (`volward doctor` says what is wrong with it), and ask again";

/// A witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// The home tag on the LUN.
    HomeTag,
    /// The lease that this node holds.
    Lease,
    /// This node's record of attachments.
    Record,
    /// A device in this node's kernel.
    Device,
    /// An LV of the local pool that says it is a copy.
    Copy,
}

/// What is known of a volume on this node, told by each witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Testimony {
    /// What they say together.
    pub verdict: Verdict,
    /// A sentence each.
    pub witnesses: Vec<(Witness, String)>,
    /// What a person can do, a sentence each; empty where they agree.
    pub ways_out: Vec<String>,
    /// The homes among which a person may choose instead of the one that the tag says.
    pub homes: Vec<Home>,
    /// What persons have said of copies that count no more.
    pub given_up: Vec<GivenUp>,
    /// When the copy was made that the home names, in seconds since the Unix epoch; `None` where nobody has said so.
    pub copied_at: Option<u64>,
}

/// Hears all witnesses of one volume.
#[must_use]
pub fn testimony(node: &NodeName, home: &Home, seen: &VolumeInput, owner: &Owner) -> Testimony {
    let verdict = weigh(node, home, seen);
    let (elsewhere, homes_elsewhere) = elsewhere::ways_out(home, seen, owner);
    let ways_out = match &verdict {
        // No local pool is configured: nobody contradicts, and the volume cannot be used.
        Verdict::Agree if is_without_its_copy(node, home, seen) => {
            vec![format!(
                "put the local pool back into /etc/volward/volward.toml, where its disk is there; or {}",
                without_its_copy(home, seen)
            )]
        }
        Verdict::Agree => elsewhere,
        Verdict::Leftovers => vec![format!(
            "the next attach of {} on this node, or the next start of volwardd, removes what is left",
            seen.info.volume
        )],
        Verdict::Silent(_) => vec![BRING_BACK.to_owned()],
        Verdict::Contradict(_) => ways_out(node, home, seen),
    };
    let homes = match &verdict {
        Verdict::Contradict(_) => homes(node, home, seen),
        Verdict::Agree if is_without_its_copy(node, home, seen) => homes(node, home, seen),
        Verdict::Agree => homes_elsewhere,
        Verdict::Leftovers | Verdict::Silent(_) => Vec::new(),
    };
    Testimony {
        verdict,
        witnesses: witnesses(home, seen),
        ways_out,
        homes,
        given_up: seen.info.given_up().collect(),
        copied_at: seen.info.copied().map(|copied| copied.at),
    }
}

/// What a person says with a command of [`testimony`]: the volume's home is `right`, and its tag said
/// `found` when the command was printed.
///
/// # Errors
/// `home-changed` where that is not so any more, or not one of the ways out now.
pub fn choose(
    heard: &Testimony,
    home: &Home,
    volume: &VolumeRef,
    found: &Home,
    right: &Home,
) -> Result<(), Refusal> {
    if home != found {
        return Err(Refusal::home_changed(
            volume,
            &format!("its home tag says {home} now, and not {found}"),
        ));
    }
    if !heard.homes.contains(right) {
        return Err(Refusal::home_changed(volume, &not_a_way_out(heard, right)));
    }
    Ok(())
}

/// Why a home cannot be chosen: there is no choice now, or it is another one.
fn not_a_way_out(heard: &Testimony, right: &Home) -> String {
    let can_be = |home: &Home| {
        let text = words(home);
        match home.state == right.state {
            true => format!("{text}, of generation {}", home.generation),
            false => text,
        }
    };
    if !heard.homes.is_empty() {
        let homes: Vec<String> = heard.homes.iter().map(can_be).collect();
        return format!(
            "{} is not among the homes that can be chosen now: {}",
            words(right),
            homes.join(", or ")
        );
    }
    let now = match &heard.verdict {
        Verdict::Contradict(_) => "no home can be chosen now",
        Verdict::Agree if heard.ways_out.is_empty() => {
            "the witnesses agree now, and there is nothing to choose"
        }
        Verdict::Agree => "the witnesses agree now, and its node may be alive",
        Verdict::Leftovers => "the data is home now, and something is left of a copy",
        Verdict::Silent(_) => "the local pool cannot be read now",
    };
    now.to_owned()
}

/// A home as commands name it.
fn words(home: &Home) -> String {
    home.tag().trim_start_matches(HOME_TAG_PREFIX).to_owned()
}

/// The command that says so: it is refused once it is not true any more.
pub(super) fn command(volume: &VolumeRef, found: &Home, right: &Home) -> String {
    format!(
        "`volward recover {volume} --set-home {} --instead-of {}`",
        words(right),
        words(found)
    )
}

fn witnesses(home: &Home, seen: &VolumeInput) -> Vec<(Witness, String)> {
    let mut said = vec![(Witness::HomeTag, home.to_string())];
    said.push((
        Witness::Lease,
        match seen.lease {
            Some(lease) if lease.orphan => format!("{}, an orphan", lease.mode),
            Some(lease) => lease.mode.to_string(),
            None => "none".to_owned(),
        },
    ));
    said.extend(seen.here.iter().map(|a| {
        let copied = if a.copy.is_some() {
            ", with a copy"
        } else {
            ""
        };
        let text = format!("{} to instance {}{copied}", a.state, a.instance);
        (Witness::Record, text)
    }));
    if seen.here.is_empty() {
        said.push((Witness::Record, "attached to no instance".to_owned()));
    }
    said.extend(seen.witnesses.devices.iter().map(|device| {
        let target = device.target.as_deref().unwrap_or("no table");
        let open = if device.open { ", in use" } else { "" };
        (Witness::Device, format!("{}: {target}{open}", device.id))
    }));
    match &seen.witnesses.copies {
        LocalCopies::NoPool => said.push((Witness::Copy, "this node has no local pool".to_owned())),
        LocalCopies::Silent(why) => {
            let text = format!("the local pool cannot be asked: {why}");
            said.push((Witness::Copy, text));
        }
        LocalCopies::Found(copies) if copies.is_empty() => {
            said.push((Witness::Copy, "none".to_owned()));
        }
        LocalCopies::Found(copies) => {
            said.extend(copies.iter().map(|c| (Witness::Copy, c.to_string())));
        }
    }
    said
}

fn ways_out(node: &NodeName, home: &Home, seen: &VolumeInput) -> Vec<String> {
    let mut ways = Vec::new();
    ways.extend(devices_in_use(seen));
    let here = home.copy().is_some_and(|(owner, _)| owner == node);
    for copy in copies(seen) {
        if let Some(given) = given_up(seen, copy) {
            if is_overtaken(home, &given) {
                ways.push(format!(
                    "the copy is no way back: it was given up, and since then {} was served from another copy, which was \
                     written back ({home}); together with what the pool holds now it is of no moment",
                    seen.info.volume
                ));
            }
            ways.push(format!(
                "if nothing in the copy is missed: `volward recover {} --discard {}` removes it for good",
                seen.info.volume, copy.lv
            ));
        }
        ways.extend(right_home(node, home, seen, copy));
    }
    if here && copies(seen).next().is_none() {
        ways.push(without_its_copy(home, seen));
    }
    if ways.is_empty() {
        ways.push("mend what the sentences above name, and ask again".to_owned());
    }
    ways
}

/// The copy was to be here, and is not.
fn without_its_copy(home: &Home, seen: &VolumeInput) -> String {
    let volume = &seen.info.volume;
    let right = pool_after(home);
    let pool_has = match home.state {
        HomeState::Returning { .. } => format!(
            "{volume} in the pool is partly as it was before the copy and partly as the copy was, for the copy was being \
             written back: a guest may not be able to use it"
        ),
        _ => format!("{volume} in the pool is as it was then"),
    };
    format!(
        "bring the disk of the local pool back that has the copy; without it, what was written since the copy was made \
         is lost, and {pool_has}: {} --because REASON`",
        command(volume, home, &right).trim_end_matches('`')
    )
}

/// The copy that the home names was to be in the local pool of this node and is not, as after the node was installed
/// anew: whoever says that the pool is right loses what was in it, and has to say why.
#[must_use]
pub fn is_without_its_copy(node: &NodeName, home: &Home, seen: &VolumeInput) -> bool {
    let here = home.copy().filter(|(owner, _)| *owner == node);
    here.is_some_and(|(_, named)| {
        !matches!(seen.witnesses.copies, LocalCopies::Silent(_))
            && copies(seen).all(|copy| copy.lv != *named)
    })
}

fn devices_in_use(seen: &VolumeInput) -> Vec<String> {
    let strays = seen.witnesses.devices.iter().filter_map(|device| {
        let DeviceRole::Attachment(instance) = device.id.role else {
            return None;
        };
        let known = seen.here.iter().any(|a| a.instance == instance);
        (!known).then(|| {
            format!(
                "end what has /dev/mapper/{} open (`fuser -v` names it), then restart volwardd; or \
                 restart it now: the device becomes a quarantined attachment of instance {instance}, \
                 and `volward detach {instance}` releases it when its guest has ended",
                device.id
            )
        })
    });
    strays.collect()
}

/// The homes that the ways out name.
fn homes(node: &NodeName, home: &Home, seen: &VolumeInput) -> Vec<Home> {
    if seen.settled_elsewhere().next().is_some() {
        return Vec::new();
    }
    let here = home.copy().is_some_and(|(owner, _)| owner == node);
    if copies(seen).next().is_none() {
        return here.then(|| pool_after(home)).into_iter().collect();
    }
    let spoken_for = copies(seen).filter_map(|copy| spoken_for(node, home, seen, copy));
    let fits = |right: &Home| right != home && too_small(seen).is_none();
    spoken_for.filter(fits).collect()
}

/// The home has changed since the copy was given up: what the copy lacks is not in the pool any more.
fn is_overtaken(home: &Home, given: &GivenUp) -> bool {
    home.generation > given.generation.saturating_add(2)
}

/// The home that a copy speaks for.
fn spoken_for(node: &NodeName, home: &Home, seen: &VolumeInput, copy: &CopyLv) -> Option<Home> {
    if given_up(seen, copy).is_some_and(|given| is_overtaken(home, &given)) {
        return None;
    }
    match copy.stage {
        Some(CopyStage::Used { generation, .. }) => Some(Home {
            state: HomeState::Split {
                node: node.clone(),
                copy: copy.lv,
            },
            generation,
        }),
        Some(CopyStage::Returned) => Some(pool_after(home)),
        Some(CopyStage::Fresh) | None => None,
    }
}

/// The size that a copy was made with, where the volume has less now.
fn too_small(seen: &VolumeInput) -> Option<Bytes> {
    copies(seen).find_map(|copy| match copy.stage {
        Some(CopyStage::Used { size, .. }) if seen.info.size < size => Some(size),
        _ => None,
    })
}

/// What to do where the tag says another home than a copy does.
fn right_home(node: &NodeName, home: &Home, seen: &VolumeInput, copy: &CopyLv) -> Option<String> {
    let volume = &seen.info.volume;
    let right = spoken_for(node, home, seen, copy)?;
    if let Some(size) = too_small(seen) {
        return Some(format!(
            "make {volume} at least {size} large again: `lvextend --lockopt skiplv -L {}b {volume}`",
            size.0
        ));
    }
    if right == *home {
        return None;
    }
    if let Some(other) = seen.settled_elsewhere().next() {
        return Some(format!(
            "node {} has {volume} attached: stop its guest there first, and find out whether what it \
             wrote or what is in the copy is to be kept; only one of them can be",
            other.attachment.node
        ));
    }
    Some(format!(
        "if nobody has written {volume} elsewhere since the copy was made, so that the copy is right and \
         the tag is not: {}, then {}",
        command(volume, home, &right),
        match seen
            .here
            .iter()
            .find(|a| a.state == AttachmentState::Quarantined)
        {
            // A start is refused until that is gone.
            Some(kept) => format!("`volward detach {}`", kept.instance),
            None => "detach or start the guest here".to_owned(),
        }
    ))
}

pub(super) fn pool_after(home: &Home) -> Home {
    Home {
        state: HomeState::Pool,
        generation: home.generation + 2,
    }
}
