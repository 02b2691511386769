//! Refusals of operations on volumes, and of attaches that meet one.

use volward_model::{
    Bytes, Mark, NodeName, OperationId, PoolName, VolumeName, VolumeRef, VolumeTask,
};

use super::{Refusal, RefusalCode};

fn volume_of(task: &VolumeTask) -> String {
    format!("{}/{}", task.pool(), task.name())
}

fn source_of(task: &VolumeTask) -> String {
    let source = task.source();
    source.map_or_else(|| volume_of(task), |(pool, name)| format!("{pool}/{name}"))
}

/// To whoever meets another operation's mark: nobody ends what a dead node has begun until he is asked to.
const WAIT_OR_GO_ON: &str = "wait for that, then ask again; where the node that does it is dead, ask for that \
                             operation under its id on a control node, which ends it";

/// What a mark says is going on, its code, and by which operation.
fn going_on(mark: Option<&Mark>) -> (RefusalCode, String) {
    let (code, what) = match mark {
        Some(Mark::New { .. }) => (RefusalCode::BeingMade, "being made"),
        Some(Mark::Dying { .. }) => (RefusalCode::BeingDeleted, "being deleted"),
        Some(Mark::Growing { .. }) => (RefusalCode::BeingGrown, "being grown"),
        Some(Mark::Copying { .. }) => (RefusalCode::BeingCopied, "being copied"),
        Some(Mark::Unknown { tags }) => {
            let what = format!("marked by an operation that this version does not know ({tags})");
            return (RefusalCode::BeingGrown, what);
        }
        None => (RefusalCode::BeingGrown, "being changed"),
    };
    match mark.and_then(Mark::by) {
        Some(by) => (code, format!("{what} by the operation {by}")),
        None => (code, what.to_owned()),
    }
}

impl Refusal {
    /// A volume that an operation has marked is asked for. It may be another's the moment after.
    #[must_use]
    pub fn under_operation(volume: &VolumeRef, mark: &Mark) -> Self {
        let (code, what) = going_on(Some(mark));
        // The tag does not say which node it is, and that one may be dead.
        let again = match mark.by() {
            Some(by) => format!(
                "where that node is dead, ask for the same operation with `--id {by}` on another control node, \
                 which goes on with it"
            ),
            None => "where that node is dead, ask for the same operation under the same id on another control \
                     node, which goes on with it"
                .to_owned(),
        };
        let else_ = match mark {
            // What is copied is not what may be deleted.
            Mark::Copying { .. } => ", and cancel it there if the copy is not wanted",
            Mark::New { .. } => ", or delete the volume",
            Mark::Dying { .. } | Mark::Growing { .. } | Mark::Unknown { .. } => "",
        };
        let message = format!(
            "{volume} is {what}; `volward op ls` on the node that does it shows how far it is; {again}{else_}"
        );
        let passes = matches!(mark, Mark::Growing { .. } | Mark::Copying { .. });
        let again = passes.then_some(5_000);
        Self::of(code, volume, message).retry_after(again)
    }

    /// An operation meets another one's mark.
    pub(crate) fn marked(task: &VolumeTask, mark: Option<&Mark>) -> Self {
        let (code, what) = going_on(mark);
        let volume = volume_of(task);
        let message = format!("{volume} is {what}; {WAIT_OR_GO_ON}");
        Self::general(code, message).retry_after(Some(5_000))
    }

    /// A copy meets another operation's mark on its source.
    pub(crate) fn source_marked(task: &VolumeTask, mark: Option<&Mark>) -> Self {
        let (code, what) = going_on(mark);
        let source = source_of(task);
        let message = format!("{source} is {what}; {WAIT_OR_GO_ON}");
        Self::general(code, message).retry_after(Some(5_000))
    }

    /// The volume to be copied was removed after it was asked for.
    pub(crate) fn source_gone(task: &VolumeTask) -> Self {
        let message = format!(
            "{} was removed meanwhile, so it is not copied; name another volume",
            source_of(task)
        );
        Self::general(RefusalCode::SourceGone, message)
    }

    /// The instance that wrote to it is gone, and with it the mirror.
    pub(crate) fn source_detached(task: &VolumeTask) -> Self {
        let message = format!(
            "{} was detached before its {} was whole, and nothing of it is kept; ask again",
            source_of(task),
            task.word()
        );
        Self::general(RefusalCode::SourceDetached, message)
    }

    /// The instance beneath which it was moved is gone, and with it its lease.
    pub(crate) fn relocation_detached(task: &VolumeTask) -> Self {
        let message = format!(
            "{} was detached before all of it was on the other disk, and stays where it was; ask again",
            volume_of(task)
        );
        Self::general(RefusalCode::SourceDetached, message)
    }

    /// What was copied beneath the volume was halted with its I/O.
    pub(crate) fn relocation_halted(task: &VolumeTask) -> Self {
        let message = format!(
            "the I/O of {} was cut off before all of it was on the other disk, and it stays where it was; ask again once it is \
             given back",
            volume_of(task)
        );
        Self::general(RefusalCode::MoveHalted, message)
    }

    /// Snapshots of one moment whose volumes are at several places. `node`: one of those that have some of them.
    #[must_use]
    pub fn moment_of_many(task: &VolumeTask, node: &NodeName) -> Self {
        let message = format!(
            "{} and others are to be kept as of one moment, and node {node} has some of them: a moment is of one node, and where \
             another one is asked, of one pool; ask on node {node}, or for the volumes of each node and pool by themselves",
            task.source()
                .map_or_else(String::new, |(pool, name)| format!("{pool}/{name}"))
        );
        Self::general(RefusalCode::HeldElsewhere, message)
    }

    /// Of a group of snapshots: nobody writes to it alone, here.
    pub(crate) fn no_writer(task: &VolumeTask, volume: &VolumeRef) -> Self {
        let message = format!(
            "no instance on this node writes to {volume}, alone and with a device of its own, so its {} has no moment in common \
             with others; ask for it by itself",
            task.word()
        );
        Self::of(RefusalCode::SourceDetached, volume, message)
    }

    /// A group names one volume, or one new name, for two of its snapshots.
    #[must_use]
    pub fn named_twice(pool: &PoolName, name: &VolumeName) -> Self {
        let message =
            format!("{pool}/{name} is named twice; name each volume and each snapshot once");
        Self::general(RefusalCode::NameTaken, message)
    }

    /// The id was given to other snapshots before.
    #[must_use]
    pub fn group_differs(id: &OperationId) -> Self {
        let message = format!(
            "{id} was asked for before, for other snapshots (`volward op ls` lists them); take another id for these"
        );
        Self::general(RefusalCode::OperationDiffers, message)
    }

    /// A leg of the mirror failed, or its device is not what it was.
    #[must_use]
    pub fn copy_broken(task: &VolumeTask) -> Self {
        let message = format!(
            "the {} of {} failed while its guest wrote to it, and nothing of it is kept (the guest goes on): the disks of \
             the pool gave an error, or its I/O was cut off; see `volward doctor`, then ask again",
            task.word(),
            source_of(task)
        );
        Self::general(RefusalCode::CopyBroken, message)
    }

    /// What is asked for is smaller than the source.
    pub(crate) fn copy_too_small(task: &VolumeTask, has: Bytes, asked: Bytes) -> Self {
        let message = format!(
            "{} has {has}, and its copy would have {asked}, which cuts off its end; ask for at least its size",
            source_of(task)
        );
        Self::general(RefusalCode::WouldShrink, message)
    }

    /// A volume has the name that another one is to get.
    pub(crate) fn new_name_taken(task: &VolumeTask, to: &VolumeName) -> Self {
        let pool = task.pool();
        let message =
            format!("there is a volume {pool}/{to} already; take another name, or delete it first");
        Self::general(RefusalCode::NameTaken, message)
    }

    /// Another operation on the volume has not ended on this node.
    #[must_use]
    pub fn operation_open(task: &VolumeTask, other: &OperationId) -> Self {
        let volume = volume_of(task);
        let message = format!(
            "the operation {other} on {volume} has not ended; `volward op wait {other}` waits for it"
        );
        Self::general(RefusalCode::OperationOpen, message).retry_after(Some(5_000))
    }

    /// Its instance is to leave while the volume is copied.
    #[must_use]
    pub fn copied_under_guest(volume: &VolumeRef, by: &OperationId) -> Self {
        let message = format!(
            "{volume} is being copied under its guest by the operation {by}; wait for it on that node \
             (`volward op wait {by}`), or cancel it, then migrate"
        );
        Self::of(RefusalCode::OperationOpen, volume, message).retry_after(Some(5_000))
    }

    /// The id was given to something else before.
    #[must_use]
    pub fn operation_differs(id: &OperationId, before: &VolumeTask) -> Self {
        let message = format!(
            "the operation {id} was asked for before, as {before}; take another id for another operation"
        );
        Self::general(RefusalCode::OperationDiffers, message)
    }

    /// Nothing can be taken back any more.
    #[must_use]
    pub fn too_late(id: &OperationId, how: &str) -> Self {
        let message = format!(
            "the operation {id} is not cancelled, because it {how}; `volward op show {id}` tells more"
        );
        Self::general(RefusalCode::TooLate, message)
    }

    /// An instance on this node got it between the asking and the doing.
    pub(crate) fn attached_here(task: &VolumeTask) -> Self {
        let message = format!(
            "{} was attached on this node meanwhile; detach it, then ask again",
            volume_of(task)
        );
        Self::general(RefusalCode::HeldHere, message)
    }

    /// A volume of that name is there.
    pub(crate) fn name_taken(task: &VolumeTask) -> Self {
        let message = format!(
            "there is a volume {} already; take another name, or delete it first",
            volume_of(task)
        );
        Self::general(RefusalCode::NameTaken, message)
    }

    /// `whose`: who keeps such names for itself.
    pub(crate) fn name_reserved(name: &VolumeName, whose: &str) -> Self {
        let message = format!("{whose} keeps names like {name} for itself; take another name");
        Self::general(RefusalCode::NameReserved, message)
    }

    /// No volume can have such a size.
    pub(crate) fn no_size(task: &VolumeTask) -> Self {
        let size = task.size().unwrap_or_default();
        let message = format!(
            "{} cannot have {} bytes; ask for a multiple of 512 that is not 0",
            volume_of(task),
            size.0
        );
        Self::general(RefusalCode::SizeUnsupported, message)
    }

    /// It has more than what is asked for.
    pub(crate) fn would_shrink(volume: &VolumeRef, has: Bytes, asked: Bytes) -> Self {
        let message = format!(
            "{volume} has {has}, and {asked} were asked for, which would cut off its end; make a smaller \
             volume and copy what is needed"
        );
        Self::of(RefusalCode::WouldShrink, volume, message)
    }

    /// The volume group has less than that.
    pub(crate) fn no_space(task: &VolumeTask, free: Bytes, wanted: Bytes) -> Self {
        let pool = task.pool();
        let message = format!(
            "pool {pool} has {free} free, and {} needs {wanted}; delete volumes, or add a disk to the volume \
             group",
            volume_of(task)
        );
        Self::general(RefusalCode::NoSpace, message)
    }

    /// What of a volume is elsewhere does not fit on the disk that it is to go to.
    #[must_use]
    pub fn disk_full(task: &VolumeTask, path: &str, free: Bytes, wanted: Bytes) -> Self {
        let message = format!(
            "{path} has {free} free, and {wanted} of {} are on other disks; move other volumes off it, or name another disk",
            volume_of(task)
        );
        Self::general(RefusalCode::NoSpace, message)
    }

    /// The node that has the volume, and was to do something with it (`word`), said nothing for so many seconds.
    #[must_use]
    pub fn order_unanswered(volume: &VolumeRef, word: &str, node: &NodeName, seconds: u64) -> Self {
        let message = format!(
            "node {node}, where {volume} is attached, has not begun with the {word} within {seconds} s; see that volwardd \
             runs there, in this version or a later one, and ask again under another id"
        );
        Self::of(RefusalCode::OrderUnanswered, volume, message)
    }

    /// Nothing would reset this node when it loses the lease under which it zeroes (I26).
    #[must_use]
    pub fn operation_without_watchdog(task: &VolumeTask, node: &NodeName) -> Self {
        let message = format!(
            "the {} of {} is not begun, because sanlock on node {node} runs without a watchdog, which would \
             reset the node when it loses its leases; arm it as the operator guide says",
            task.word(),
            volume_of(task)
        );
        Self::general(RefusalCode::NoWatchdog, message)
    }

    /// Its data is not in the pool alone. `node`: the one that has the copy.
    pub(crate) fn copied(task: &VolumeTask, volume: &VolumeRef, node: &NodeName) -> Self {
        let word = task.word();
        let message = format!(
            "the data of {volume} is, or was, in a local copy on node {node} that is not gone, so the {word} is \
             refused; have the copy written back (`volward hydration ls` on node {node} shows how far that is), \
             then ask for the {word} again"
        );
        Self::of(RefusalCode::HomeElsewhere, volume, message)
    }
}
