//! The second look, under the lease (I1, I9): whatever changed since the facts were gathered
//! undoes the attach.

use volward_model::{Attachment, Bytes, Home, LeaseMode, MigrationNonce, VolumeRef};

use crate::input::VolumeInput;
use crate::intent::{Precedence, precedence};
use crate::last_use::LastUse;
use crate::refusal::{Refusal, RefusalCode, home_of};

/// What was seen of one volume when it was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The volume, with the name it had.
    pub volume: VolumeRef,
    /// The volume's size in bytes.
    pub size: Bytes,
    /// Where the volume's data was.
    pub home: Home,
    /// Whether it was marked shareable: a grant to share may rest on the mark (I18).
    pub shareable: bool,
    /// Attachments on other nodes, without intents.
    pub others: Vec<Attachment>,
    /// The lease that must be held now.
    pub lease: LeaseMode,
    /// The guest is to write: the volume must be mapped so that it can be written to. Not kept in the
    /// journal, for nothing looks a second time after a crash.
    pub writes: bool,
    /// This node's number in the lockspace, for [`precedence`].
    pub own_host_id: u64,
    /// The call whose answer lets this node share the volume of an instance that migrates. Not kept
    /// in the journal, as `writes`.
    pub called: Option<MigrationNonce>,
    /// The instance is restored from a saved memory: what it had of the volume when that was saved. Not kept in the journal, as
    /// `writes`.
    pub saved: Option<LastUse>,
}

/// What the second look says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recheck {
    /// Nothing changed: the attach goes on.
    Same,
    /// Undo and decide again; the sentence says what changed.
    Changed(String),
    /// Undo and decide again: another node attaches or detaches the volume at the same time.
    Contended(String),
    /// Undo; asking again will not help.
    Refused(Refusal),
}

/// Compares. `now` is `None` if the volume is gone.
#[must_use]
pub fn recheck(expected: &Expectation, now: Option<&VolumeInput>) -> Recheck {
    let what = &expected.volume;
    let Some(now) = now else {
        return Recheck::Changed(format!("{what} vanished"));
    };
    if let Some(reason) = now.unreadable.first() {
        let message = format!("{what} cannot be attached: {reason}");
        return Recheck::Refused(Refusal::of(RefusalCode::SlotUnreadable, what, message));
    }
    if let Some(reason) = now.newer.first() {
        let message = format!("{what} cannot be attached: {reason}");
        return Recheck::Refused(Refusal::of(RefusalCode::SlotNewer, what, message));
    }
    if let Some(mark) = now.info.mark() {
        return Recheck::Refused(Refusal::under_operation(what, &mark));
    }
    if now.info.volume != *what {
        return Recheck::Changed(format!("{what} is called {} now", now.info.volume));
    }
    if now.info.size != expected.size {
        return Recheck::Changed(format!(
            "{what} was {} and is {} now",
            expected.size, now.info.size
        ));
    }
    if now.info.shareable() != expected.shareable {
        let says = if expected.shareable { "" } else { "not " };
        return Recheck::Changed(format!("{what} was {says}marked shareable, which changed"));
    }
    match home_of(&now.info) {
        Ok(home) if home == expected.home => {}
        Ok(home) => {
            return Recheck::Changed(format!(
                "the home of {what} was {} and is {home} now",
                expected.home
            ));
        }
        Err(refusal) => return Recheck::Refused(refusal),
    }
    match now.lease {
        Some(lease) if lease.orphan => {
            return Recheck::Changed(format!("the lease of {what} became an orphan"));
        }
        Some(lease) if lease.mode >= expected.lease && now.info.active => {}
        // Asking again does not help: LVM left it so, whatever it returned.
        Some(lease) if lease.mode >= expected.lease => {
            return Recheck::Refused(Refusal::not_activated(what));
        }
        _ => return Recheck::Changed(format!("the lease of {what} is not held any more")),
    }
    if let (Some(saved), Some(lease)) = (&expected.saved, now.lease)
        && let Some(why) = saved.differs(lease.version, now.info.size)
    {
        return Recheck::Refused(Refusal::used_since(what, &why));
    }
    if let Some(nonce) = expected.called
        && !now.is_shared_with_us(nonce)
    {
        return Recheck::Refused(Refusal::migration_over(what));
    }
    if expected.writes && now.info.read_only {
        return Recheck::Refused(Refusal::activated_read_only(what));
    }
    let mut others: Vec<_> = now.settled_elsewhere().map(|f| &f.attachment).collect();
    let mut before: Vec<_> = expected.others.iter().collect();
    others.sort_by_key(|a| (a.node.clone(), a.key()));
    before.sort_by_key(|a| (a.node.clone(), a.key()));
    if others != before {
        return Recheck::Contended(format!(
            "other nodes attach or detach {what} at the same time"
        ));
    }
    match precedence(expected.own_host_id, [now]) {
        Precedence::GoOn => Recheck::Same,
        Precedence::Yield(contender) => Recheck::Contended(contender.to_string()),
    }
}
