//! `volward setup`: the node's own files, shown and written. The one command that asks no daemon.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::json;
use volward_api::model::{NodeName, PoolName};
use volward_folder::Folder;
use volward_setup::{Plan, Wanted, Written, look, plan, write};

use crate::exit::Exit;
use crate::output::{complain, print};

pub(crate) const HELP: &str = "\
Each change is shown before it is written, and what a file said before is kept beside it as
FILE.before-volward. What is set already stays, by whoever it was set; two settings that cannot
both be meant end it before anything is written. It starts nothing and makes no volume group: it
prints the commands for that.";

#[derive(Debug, Args)]
pub(crate) struct SetupArgs {
    /// Only show what would be changed
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The node's name, for sanlock and Volward [default: the one they have, else the host name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<NodeName>,
    /// sanlock's number of this node, 1 to 512, another one on each [default: the one LVM has]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) host_id: Option<u16>,
    /// A volume group on the LUN; may be given several times
    #[arg(long = "pool", value_name = "VG")]
    pub(crate) pools: Vec<PoolName>,
    /// The volume group on this node's own disks, for local copies
    #[arg(long, value_name = "VG")]
    pub(crate) local_pool: Option<PoolName>,
    /// The watchdog's kernel module [default: softdog where the machine has no watchdog]
    #[arg(long, value_name = "MODULE")]
    pub(crate) watchdog: Option<String>,
    /// The folder in which the node's files are: of an image, for example
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    pub(crate) root: PathBuf,
}

/// Shows what is to be changed, and writes it unless it is only to be shown.
pub(crate) fn run(json: bool, args: SetupArgs) -> anyhow::Result<Exit> {
    let root = Folder::open(&args.root).with_context(|| args.root.display().to_string())?;
    let wanted = Wanted {
        name: args.name,
        host_id: args.host_id,
        shared: args.pools,
        local: args.local_pool,
        watchdog: args.watchdog,
    };
    let seen = look(&root)?;
    let plan = match plan(&wanted, &seen) {
        Ok(plan) => plan,
        Err(contradiction) => {
            complain(&contradiction.into(), json);
            return Ok(Exit::Refused);
        }
    };
    if !json {
        print(&changes(&plan))?;
    }
    // What was shown first: whoever watches can still stop it there.
    let written = match args.dry_run {
        true => Vec::new(),
        false => write(&root, &plan)?,
    };
    if json {
        print(&serde_json::to_string_pretty(&as_json(&plan, &written))?)?;
    } else {
        print(&rest(&plan, &written, args.dry_run))?;
    }
    Ok(Exit::Ok)
}

fn changes(plan: &Plan) -> String {
    let mut text = String::new();
    for change in &plan.changes {
        text += &format!("# {}\n{}\n", change.why, change.diff());
    }
    if plan.policies {
        text += "# the folder for policies\n+ /etc/volward/policies.d/\n\n";
    }
    if plan.is_done() {
        text += "nothing to change\n\n";
    }
    text
}

fn rest(plan: &Plan, written: &[Written], dry_run: bool) -> String {
    let mut text = "\n".to_owned();
    if dry_run && !plan.is_done() {
        text += "only shown: nothing was written\n";
    }
    for file in written {
        text += &match &file.backup {
            Some(backup) => format!(
                "written: {} (as it was: {})\n",
                file.path.display(),
                backup.display()
            ),
            None => format!("written: {}\n", file.path.display()),
        };
    }
    for kept in &plan.kept {
        text += &format!("kept: {kept}\n");
    }
    for cannot in &plan.cannot {
        text += &format!("not done: {cannot}\n");
    }
    text += "next:\n";
    for (n, next) in (1..).zip(&plan.next) {
        text += &format!("{n:>3}. {next}\n");
    }
    text
}

fn as_json(plan: &Plan, written: &[Written]) -> serde_json::Value {
    let changes = plan.changes.iter().map(|change| {
        json!({"path": format!("/{}", change.path), "why": change.why, "new": change.before.is_none(),
               "diff": change.diff()})
    });
    let written = written
        .iter()
        .map(|file| json!({"path": file.path, "backup": file.backup}));
    json!({
        "changes": changes.collect::<Vec<_>>(),
        "written": written.collect::<Vec<_>>(),
        "kept": plan.kept,
        "not_done": plan.cannot,
        "next": plan.next,
    })
}
