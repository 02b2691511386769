//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use volward_api::model::{PoolName, Purpose, RequestId};
use volward_api::{DiskRequest, Said, Words};

use crate::audit::AuditCommand;
use crate::diff::DiffArgs;
use crate::disk;
use crate::exit;
use crate::hydration::HydrationCommand;
use crate::instance::Instance;
use crate::operations::{
    CopyArgs, GuestArgs, MoveArgs, NameArgs, OperationCommand, RelocateArgs, RemoveArgs, SizedArgs,
};
use crate::plug::{PlugArgs, UnplugArgs};
use crate::setup::{self, SetupArgs};
use crate::volume_path::VolumePath;

/// Volumes on a shared LUN for virtual machines: who has which, since when, and why not.
#[derive(Debug, Parser)]
#[command(name = "volward", version, after_help = exit::HELP, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Where the daemon listens
    #[arg(long, global = true, default_value = volward_api::SOCKET, value_name = "PATH")]
    pub(crate) socket: PathBuf,
    /// Answer in JSON, for programs; a failure is JSON on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How long to wait for the daemon
    #[arg(long, global = true, default_value_t = 120, value_name = "SECONDS")]
    pub(crate) timeout: u64,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Pools: the volume groups Volward manages
    #[command(subcommand)]
    Pool(PoolCommand),
    /// Volumes: made, deleted, grown, copied, renamed, shown; what is allowed with one
    #[command(subcommand)]
    Volume(VolumeCommand),
    /// Operations on volumes of this node, which go on whoever waits for them
    #[command(subcommand)]
    Op(OperationCommand),
    /// Attach volumes to an instance on this node: all or none
    #[command(after_help = disk::help())]
    Attach(AttachArgs),
    /// Detach an instance's volumes from this node: those named, or all
    Detach(DetachArgs),
    /// Attach a volume to a guest that runs, and plug it in
    Plug(PlugArgs),
    /// Unplug a volume from a guest that runs, wait until it has let go, and detach it
    Unplug(UnplugArgs),
    /// Let go of all that nobody has open, before this node goes down: detach it, and put write-backs down
    #[command(after_help = RELEASE_HELP)]
    Release {
        /// How long to try again while something is left
        #[arg(long, default_value_t = 45, value_name = "SECONDS")]
        within: u64,
    },
    /// Cut off the I/O of an instance on this node: of all its volumes, or those named
    Fence(FenceArgs),
    /// Give an instance its I/O back, if nobody can have had its volumes meanwhile
    Unfence {
        /// The instance's libvirt domain UUID
        instance: Instance,
    },
    /// What is attached on this node
    Ls {
        /// On every node of the cluster
        #[arg(long)]
        all: bool,
    },
    /// Why a request was granted or refused, and where it is stuck
    Explain(ExplainArgs),
    /// Where a volume's data is, told by home tag, records, devices and copy, and the ways out
    Recover {
        /// The volume to hear about
        #[arg(value_name = "POOL/VOLUME")]
        volume: VolumePath,
        /// The home that is right: one that a way out names; without this nothing is changed
        #[arg(long, value_name = "HOME", requires = "instead_of")]
        set_home: Option<String>,
        /// What the home tag said when the way out was printed
        #[arg(long, value_name = "HOME", requires = "set_home")]
        instead_of: Option<String>,
        /// Why; needed where the copy of a node that is gone is given up
        #[arg(long, value_name = "REASON", requires = "set_home")]
        because: Option<String>,
        /// Remove a copy on this node that was given up while the node was away
        #[arg(long, value_name = "COPY", conflicts_with = "set_home")]
        discard: Option<String>,
    },
    /// The decisions this node made
    #[command(subcommand)]
    Decisions(DecisionsCommand),
    /// Local copies on this node
    #[command(subcommand)]
    Hydration(HydrationCommand),
    /// Policies; everything but `ls`, `load` and `rollback` is handed to volward-policy
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Compare what is attached with what others believe is
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Look whether this node can serve, and say what to mend
    Doctor,
    /// The daemon in a few lines
    Status,
    /// Set this node up for Volward: sanlock, its watchdog, LVM, lvmlockd, and the configuration
    #[command(after_help = setup::HELP)]
    Setup(SetupArgs),
    /// Print completions for a shell
    Completions {
        /// The shell to print them for
        shell: Shell,
    },
    /// Print the man page: what is packaged is made with it
    #[command(hide = true)]
    Manual,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PoolCommand {
    /// Turn a shared volume group into a pool
    Init {
        /// The volume group, by its name in the configuration
        #[arg(value_name = "VG")]
        name: PoolName,
        /// Use its disks as they are, although this node has written more to them: the LUN is an earlier snapshot of itself
        #[arg(long)]
        accept_older: bool,
    },
    /// Pools with their space, nodes and volumes
    Ls,
    /// Show a pool: its disks and what is on each, every lease, and what is under way
    Show {
        /// The pool to show
        #[arg(value_name = "POOL")]
        name: PoolName,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum VolumeCommand {
    /// Make a volume; it reads as zeroes
    Create(SizedArgs),
    /// Delete a volume that nobody has; one that is gone is no error
    Rm(RemoveArgs),
    /// Give a volume at least this size, also while one node has it attached
    Extend(SizedArgs),
    /// Make a volume with the content of another one
    Cp(CopyArgs),
    /// Keep what a volume holds now in a volume of its own
    Snap(NameArgs),
    /// Keep what all disks that a guest writes to hold at one moment, each in a volume of its own
    SnapGuest(GuestArgs),
    /// Give a volume that nobody has another name, or have it go to another shared pool
    Mv(MoveArgs),
    /// Have all of a volume go to one disk of its pool, beneath the guest that has it
    Relocate(RelocateArgs),
    /// List which parts of a volume are not as they are in another one: what has changed since a snapshot, say
    Diff(DiffArgs),
    /// Show a volume: its size, who has it, what is done with it
    Show {
        /// The volume to show
        #[arg(value_name = "POOL/VOLUME")]
        volume: VolumePath,
    },
    /// Change what is allowed with a volume
    Set {
        /// The volume to change
        #[arg(value_name = "POOL/VOLUME")]
        volume: VolumePath,
        /// Whether several guests may write to it at once
        #[arg(long)]
        shareable: YesNo,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DecisionsCommand {
    /// List the latest decisions, the newest last
    Ls {
        /// List at most so many
        #[arg(short = 'n', long, default_value_t = 20, value_name = "COUNT")]
        limit: u32,
        #[command(flatten)]
        which: WhichDecisions,
    },
    /// Show every decision of a request, with facts and answers; with --json: scenarios
    Show {
        /// The request's id, as other commands print it
        request: RequestId,
        /// Put stand-ins for names, UUIDs, hints, labels and settings, and leave out the words of
        /// sentences that may be names: for whoever is not to know them
        #[arg(long)]
        mask: bool,
    },
    /// Print them as they are made, until interrupted
    Follow {
        #[command(flatten)]
        which: WhichDecisions,
    },
}

#[derive(Debug, Args)]
pub(crate) struct WhichDecisions {
    /// Decisions of this instance only
    #[arg(long, value_name = "UUID")]
    pub(crate) instance: Option<Instance>,
    /// Those about a volume of this name
    #[arg(long, value_name = "POOL/VOLUME")]
    pub(crate) volume: Option<VolumePath>,
    /// Those the policies came to this with
    #[arg(long, value_parser = word::<Said>())]
    pub(crate) said: Option<Said>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// The policies the daemon asks, with what they answered
    Ls,
    /// Load what is in the policies folder now, and say what became of each
    Load,
    /// Let the version of a policy that was good before serve again; it stays, over restarts too,
    /// until the policy's files change
    Rollback {
        /// Its name in `policy ls`
        policy: String,
        /// Let what is in the folder serve again
        #[arg(long)]
        undo: bool,
    },
    #[command(external_subcommand)]
    Workbench(Vec<OsString>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum YesNo {
    Yes,
    No,
}

#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// The instance's libvirt domain UUID
    pub(crate) instance: Instance,
    /// The disks: volumes, each with its options
    #[arg(required = true, value_name = "POOL/VOLUME[:OPTION[,OPTION...]]", value_parser = disk::request)]
    pub(crate) disks: Vec<DiskRequest>,
    /// The instance's name, for people
    #[arg(long, default_value = "")]
    pub(crate) name: String,
    /// What for: boot, hot-plug, migration-in, restore, or a word of your own
    #[arg(long, default_value = "hot-plug", value_parser = purpose)]
    pub(crate) purpose: Purpose,
    /// A hint for policies; may be given several times
    #[arg(long = "hint", value_name = "KEY=VALUE", value_parser = hint)]
    pub(crate) hints: Vec<(String, String)>,
    /// Only print what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

const RELEASE_HELP: &str = "\
systemd runs it when the node goes down, after the guests have ended (volward-release.service).
Not while guests start: what they are about to open is nobody's yet. Write-backs are taken up
again when volwardd is started. It fails when something is left, and names it.";

#[derive(Debug, Args)]
pub(crate) struct DetachArgs {
    /// The instance's libvirt domain UUID
    pub(crate) instance: Instance,
    /// These only; none: everything the instance has on this node
    #[arg(value_name = "POOL/VOLUME")]
    pub(crate) volumes: Vec<VolumePath>,
    /// Only print what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FenceArgs {
    /// The instance's libvirt domain UUID
    #[arg(required_unless_present = "all")]
    pub(crate) instance: Option<Instance>,
    /// These only; none: everything the instance has on this node
    #[arg(value_name = "POOL/VOLUME")]
    pub(crate) volumes: Vec<VolumePath>,
    /// Everything that is attached on this node
    #[arg(long, conflicts_with_all = ["instance", "volumes"])]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ExplainArgs {
    /// The request's id, as other commands print it
    pub(crate) request: Option<RequestId>,
    /// The latest request of this instance
    #[arg(long, value_name = "UUID")]
    pub(crate) instance: Option<Instance>,
    /// The latest request about this volume
    #[arg(long, value_name = "POOL/VOLUME")]
    pub(crate) volume: Option<VolumePath>,
}

#[expect(clippy::unnecessary_wraps, reason = "clap wants a Result")]
fn purpose(text: &str) -> Result<Purpose, String> {
    Ok(match text {
        "boot" => Purpose::Boot,
        "hot-plug" => Purpose::HotPlug,
        "migration-in" => Purpose::MigrationIn,
        "restore" => Purpose::Restore,
        other => Purpose::Other(other.to_owned()),
    })
}

/// One of the protocol's words; `--help` and the shells' completions list them.
fn word<T: Words + Send + Sync>() -> impl TypedValueParser<Value = T> {
    let words = T::ALL.iter().map(|value| value.word());
    PossibleValuesParser::new(words).try_map(|word| {
        T::of_word(&word).ok_or_else(|| format!("{word:?} is none of {}", T::listed()))
    })
}

pub(crate) fn hint(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "write it as KEY=VALUE".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
