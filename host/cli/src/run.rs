//! From arguments to calls.

use std::time::Duration;

use clap::CommandFactory;
use serde_json::json;
use volward_api::{
    AttachRequest, Client, ClientError, DetachRequest, DiscardCopyRequest, ExplainQuery,
    FenceRequest, PolicyState, PolicyView, PoolInitRequest, RollbackRequest, SetHomeRequest,
    UnfenceRequest, VolumeSetRequest,
};

use crate::args::{
    AttachArgs, Cli, Command, DetachArgs, ExplainArgs, FenceArgs, PolicyCommand, PoolCommand,
    VolumeCommand, YesNo,
};
use crate::audit::AuditCommand;
use crate::exit::Exit;
use crate::instance::id_of;
use crate::output::{answer, complain, hint, print};
use crate::{
    audit, decisions, diff, hydration, manual, operations, plug, release, setup, show, workbench,
};

/// Runs the command; the exit code where that is not a matter of failure.
pub(crate) fn run(cli: Cli) -> anyhow::Result<Exit> {
    let json = cli.json;
    let client = Client::new(cli.socket, Duration::from_secs(cli.timeout));
    // JSON escapes by itself, and programs want what was sent.
    let client = if json { client } else { client.for_terminal() };
    match cli.command {
        Command::Pool(command) => return pool(&client, json, command),
        Command::Volume(VolumeCommand::Create(args)) => {
            return operations::create(&client, json, args);
        }
        Command::Volume(VolumeCommand::Rm(args)) => {
            return operations::remove(&client, json, args);
        }
        Command::Volume(VolumeCommand::Extend(args)) => {
            return operations::extend(&client, json, args);
        }
        Command::Volume(VolumeCommand::Cp(args)) => {
            return operations::copy(&client, json, args);
        }
        Command::Volume(VolumeCommand::Snap(args)) => {
            return operations::snapshot(&client, json, args);
        }
        Command::Volume(VolumeCommand::SnapGuest(args)) => {
            return operations::snapshot_guest(&client, json, args);
        }
        Command::Volume(VolumeCommand::Mv(args)) => {
            return operations::move_to(&client, json, args);
        }
        Command::Volume(VolumeCommand::Diff(args)) => {
            return diff::diff(&client, json, args);
        }
        Command::Volume(VolumeCommand::Relocate(args)) => {
            return operations::relocate(&client, json, args);
        }
        Command::Volume(VolumeCommand::Show { volume }) => {
            let found = client.volume(&volume.pool, &volume.volume)?;
            answer(json, &found, show::volume)?;
        }
        Command::Op(command) => return operations::operations(&client, json, command),
        Command::Volume(VolumeCommand::Set { volume, shareable }) => {
            let request = VolumeSetRequest {
                pool: volume.pool.to_string(),
                volume: volume.volume.to_string(),
                shareable: shareable == YesNo::Yes,
            };
            let set = client.volume_set(&request)?;
            answer(json, &set, |set| show::volume_set(&volume.pool, set))?;
        }
        Command::Attach(args) => attach(&client, json, args)?,
        Command::Detach(args) => detach(&client, json, args)?,
        Command::Plug(args) => return plug::plug(&client, json, args),
        Command::Unplug(args) => return plug::unplug(&client, json, args),
        Command::Release { within } => {
            return release::run(&client, json, Duration::from_secs(within));
        }
        Command::Fence(args) => fence(&client, json, args)?,
        Command::Unfence { instance } => {
            let instance = instance.id(&client)?;
            let reply = client.unfence(&UnfenceRequest { instance })?;
            answer(json, &reply, show::unfenced)?;
        }
        Command::Ls { all: false } => {
            answer(json, &client.attachments(false)?, |found| {
                show::attachments(found, "on this node")
            })?;
        }
        Command::Ls { all: true } => return cluster(&client, json),
        Command::Explain(args) => {
            let found = client.explain(&query(&client, args)?)?;
            answer(json, &found, show::explain)?;
        }
        Command::Recover {
            volume,
            set_home,
            instead_of,
            because,
            discard,
        } => {
            let named = format!("{}/{}", volume.pool, volume.volume);
            let heard = match (set_home.zip(instead_of), discard) {
                (None, None) => client.recover(&volume.pool, &volume.volume)?,
                (Some((home, instead_of)), _) => client.set_home(&SetHomeRequest {
                    volume: named,
                    home,
                    instead_of,
                    because,
                })?,
                (None, Some(copy)) => client.discard_copy(&DiscardCopyRequest {
                    volume: named,
                    copy,
                })?,
            };
            answer(json, &heard, show::recover)?;
        }
        Command::Decisions(command) => decisions::run(&client, json, command)?,
        Command::Hydration(command) => return hydration::run(&client, json, command),
        Command::Policy(PolicyCommand::Ls) => {
            answer(json, &client.policies()?, |found| show::policies(found))?;
        }
        Command::Policy(PolicyCommand::Load) => return load(&client, json),
        Command::Policy(PolicyCommand::Rollback { policy: name, undo }) => {
            let found = client.rollback_policy(&RollbackRequest { name, undo })?;
            answer(json, &found, |found| show::policies(found))?;
        }
        Command::Policy(PolicyCommand::Workbench(arguments)) => {
            return Err(workbench::exec(&arguments));
        }
        Command::Audit(AuditCommand::Openstack(args)) => return audit::run(&client, json, &args),
        Command::Doctor => return doctor(&client, json),
        Command::Status => answer(json, &client.status()?, show::status)?,
        Command::Completions { shell } => {
            let text = volward_manual::completions(&mut Cli::command(), shell);
            print(&String::from_utf8(text)?)?;
        }
        Command::Setup(args) => return setup::run(json, args),
        Command::Manual => print(&volward_manual::page(Cli::command(), manual::PAGE))?,
    }
    Ok(Exit::Ok)
}

/// Fails when something in the folder does not serve.
fn load(client: &Client, json: bool) -> anyhow::Result<Exit> {
    let found = client.load_policies()?;
    answer(json, &found, |found| show::policies(found))?;
    let fine = |policy: &PolicyView| {
        policy.state == PolicyState::Serving || policy.state == PolicyState::Off
    };
    Ok(match found.iter().all(fine) {
        true => Exit::Ok,
        false => Exit::Failure,
    })
}

fn doctor(client: &Client, json: bool) -> anyhow::Result<Exit> {
    match client.doctor() {
        Ok(reply) => {
            answer(json, &reply, show::doctor)?;
            Ok(show::verdict(&reply))
        }
        Err(error @ ClientError::NoDaemon { .. }) if !json => {
            let exit = complain(&error.into(), json);
            hint(show::WITHOUT_DAEMON);
            Ok(exit)
        }
        Err(error) => Err(error.into()),
    }
}

/// What cannot be read is said on stderr, so that stdout stays the list it was for programs, and by
/// the exit code: "nothing is attached" is no answer while a pool is silent.
fn cluster(client: &Client, json: bool) -> anyhow::Result<Exit> {
    let found = client.cluster()?;
    let place = if found.unreadable.is_empty() {
        "in the cluster"
    } else {
        "in what can be read of the cluster"
    };
    answer(json, &found.attachments, |all| {
        show::attachments(all, place)
    })?;
    if json && !found.silent.is_empty() {
        hint(&json!({ "silent": found.silent }).to_string());
    } else {
        found.silent.iter().for_each(|sentence| hint(sentence));
    }
    if found.unreadable.is_empty() {
        return Ok(Exit::Ok);
    }
    hint(&if json {
        json!({ "unreadable": found.unreadable }).to_string()
    } else {
        show::unreadable(&found.unreadable)
    });
    Ok(Exit::Partial)
}

fn pool(client: &Client, json: bool, command: PoolCommand) -> anyhow::Result<Exit> {
    match command {
        PoolCommand::Init { name, accept_older } => {
            let request = PoolInitRequest {
                name: name.to_string(),
                accept_older,
            };
            let pool = client.pool_init(&request)?;
            answer(json, &pool, |pool| show::pools(std::slice::from_ref(pool)))?;
        }
        PoolCommand::Ls => answer(json, &client.pools()?, |found| show::pools(found))?,
        PoolCommand::Show { name } => {
            let found = client.pool(&name)?;
            answer(json, &found, show::pool)?;
            // In JSON the reply has them.
            if !found.unreadable.is_empty() && !json {
                hint(&show::unreadable(&found.unreadable));
            }
            if !found.unreadable.is_empty() {
                return Ok(Exit::Partial);
            }
        }
    }
    Ok(Exit::Ok)
}

fn attach(client: &Client, json: bool, args: AttachArgs) -> anyhow::Result<()> {
    let request = AttachRequest {
        only_while_waiting: false,
        instance: args.instance.id(client)?,
        instance_name: args.name,
        purpose: args.purpose,
        hints: args.hints,
        disks: args.disks,
        dry_run: args.dry_run,
    };
    answer(json, &client.attach(&request)?, |reply| {
        show::attached(reply, request.dry_run)
    })
}

fn detach(client: &Client, json: bool, args: DetachArgs) -> anyhow::Result<()> {
    let volumes = args.volumes.into_iter();
    let request = DetachRequest {
        instance: args.instance.id(client)?,
        volumes: volumes.map(|v| (v.pool, v.volume)).collect(),
        not_after: None,
        only_unused: false,
        dry_run: args.dry_run,
    };
    answer(json, &client.detach(&request)?, |reply| {
        show::detached(reply, request.dry_run)
    })
}

fn fence(client: &Client, json: bool, args: FenceArgs) -> anyhow::Result<()> {
    let volumes = args.volumes.into_iter();
    let request = FenceRequest {
        instance: id_of(args.instance, client)?,
        volumes: volumes.map(|v| (v.pool, v.volume)).collect(),
    };
    answer(json, &client.fence(&request)?, show::fenced)
}

/// clap has seen to it that there is exactly one.
fn query(client: &Client, args: ExplainArgs) -> anyhow::Result<ExplainQuery> {
    Ok(match (args.request, args.instance, args.volume) {
        (Some(request), _, _) => ExplainQuery::Request(request),
        (_, Some(instance), _) => ExplainQuery::Instance(instance.id(client)?),
        (_, _, Some(volume)) => ExplainQuery::Volume(volume.pool, volume.volume),
        (None, None, None) => unreachable!("the argument group is required"),
    })
}
