//! `cargo xtask lab`: a cluster for a person to use.

use std::io::{self, IsTerminal, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use volward_system::guest::{Guest, Wish};
use volward_system::volward::{POOL, Volward};
use volward_system::{Cluster, ClusterSpec, Cut, Lab, Node, Progress, System};

use crate::{build, package, setup};

/// On a node; eight nodes' numbers fit into a byte.
const GUESTS: u8 = 28;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Build what nodes boot from (again only when something changed)
    Build,
    /// Start nodes: lvmlockd and sanlock joined in vg0 on the shared LUN, vg local, libvirtd, and
    /// this workspace's Volward, with both as pools; the target folder is /host there
    Up {
        /// How many
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
        nodes: u8,
        /// Arm sanlock's watchdog (and its slower timing)
        #[arg(long)]
        watchdog: bool,
        /// Without Volward: nothing is built
        #[arg(long)]
        bare: bool,
        /// Nodes that systemd boots, set up from the package as an operator would do it: watchdog, sanlock's own
        /// timeouts, and a root file system that stays when they boot again
        #[arg(long, conflicts_with_all = ["bare", "watchdog"])]
        systemd: bool,
    },
    /// A login shell on a node
    Ssh {
        /// Its number
        node: u8,
    },
    /// Run a command on a node, as root under sh; exits as the command did
    Run {
        /// Its number
        node: u8,
        /// Seconds until it is killed
        #[arg(long, default_value_t = 300)]
        deadline: u64,
        /// The command; none: a script from stdin
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Define a guest on a node, with a volume of its own in vg0, for `virsh start` there
    Guest {
        /// Its name, and the volume's
        name: String,
        /// On which node
        #[arg(long, default_value_t = 1)]
        node: u8,
    },
    /// Power-cut a node
    Kill {
        /// Its number
        node: u8,
    },
    /// Boot a killed node; it comes up bare, as after a power cut
    Start {
        /// Its number
        node: u8,
    },
    /// Cut a node's path to the LUN
    Cut {
        /// Its number
        node: u8,
        /// Requests fail at once instead of hanging
        #[arg(long)]
        errors: bool,
    },
    /// Heal a node's path to the LUN
    Heal {
        /// Its number
        node: u8,
    },
    /// What a node's kernel said
    Console {
        /// Its number
        node: u8,
    },
    /// End the nodes and remove their disks
    Down,
}

pub(crate) fn run(root: &Path, verb: Verb) -> Result<()> {
    let lab = Lab::open()?;
    let on = |number, work: &dyn Fn(&Cluster, &Node) -> Result<()>| {
        let cluster = Cluster::by_hand(&lab)?;
        let found = cluster.nodes().iter().find(|node| node.number() == number);
        work(
            &cluster,
            found.with_context(|| format!("there is no node {number}"))?,
        )
    };
    match verb {
        Verb::Build => {
            setup::run()?;
            lab.image(System::Quick, Progress::shown())?;
            Ok(())
        }
        Verb::Up {
            nodes,
            watchdog,
            bare,
            systemd,
        } => {
            let spec = ClusterSpec {
                nodes,
                watchdog,
                ..ClusterSpec::default()
            };
            if systemd {
                return packaged(root, &lab, &spec);
            }
            up(root, &lab, &spec, bare)
        }
        Verb::Ssh { node } => on(node, &|_, node| shell(node)),
        Verb::Run {
            node,
            deadline,
            command,
        } => {
            let script = script(&command)?;
            on(node, &|_, node| execute(node, &script, deadline))
        }
        Verb::Guest { name, node } => on(node, &|cluster, node| guest(cluster, node, &name)),
        Verb::Kill { node } => on(node, &|cluster, node| {
            node.kill()?;
            Ok(cluster.remember()?)
        }),
        Verb::Start { node } => on(node, &|cluster, node| {
            Progress::shown().during(format!("boot node {}", node.number()), || node.start())?;
            Ok(cluster.remember()?)
        }),
        Verb::Cut { node, errors } => {
            let how = if errors { Cut::Errors } else { Cut::Hang };
            on(node, &|_, node| Ok(node.cut_lun(how)?))
        }
        Verb::Heal { node } => on(node, &|_, node| Ok(node.restore_lun()?)),
        Verb::Console { node } => on(node, &|_, node| {
            print!("{}", node.console());
            Ok(())
        }),
        Verb::Down => Ok(Cluster::down(&lab)?),
    }
}

fn up(root: &Path, lab: &Lab, spec: &ClusterSpec, bare: bool) -> Result<()> {
    setup::run()?;
    if bare {
        Cluster::up(lab, spec, Progress::shown())?;
    } else {
        build::all(root)?;
        Cluster::up_with_volward(lab, spec, Progress::shown())?;
    }
    eprintln!("  `cargo xtask lab ssh 1` for a shell, `cargo xtask lab down` to end it");
    Ok(())
}

fn packaged(root: &Path, lab: &Lab, spec: &ClusterSpec) -> Result<()> {
    setup::run()?;
    package::made(root)?;
    Cluster::up_packaged(lab, spec, Progress::shown())?;
    eprintln!("  `cargo xtask lab ssh 1` for a shell, `cargo xtask lab down` to end it");
    Ok(())
}

/// Guests have no operating system: what matters is what their start is told.
fn guest(cluster: &Cluster, node: &Node, name: &str) -> Result<()> {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        bail!("{name:?} names no guest: letters, digits and `-`");
    }
    let volumes = node.run_ok(&format!("lvs --noheadings -o lv_name {POOL}"))?;
    if !volumes.lines().any(|line| line.trim() == name) {
        Volward::on(cluster).volume(name, 32)?;
    }
    let guests = node.run_ok("virsh list --all --name")?;
    let number = guests.lines().filter(|line| !line.is_empty()).count();
    // It makes the UUID, which no two guests of the cluster may share.
    let number = node.number() * GUESTS + u8::try_from(number)?;
    if number >= (node.number() + 1) * GUESTS {
        bail!(
            "node {} has {GUESTS} guests: that are enough",
            node.number()
        );
    }
    let guest = Guest::new(name, number).disk(name, Wish::Plain);
    guest.define(node)?;
    let (node, device) = (node.number(), guest.device(name));
    println!(
        "guest {name} ({}) is defined on node {node}, its disk {device}",
        guest.uuid
    );
    println!("  `cargo xtask lab run {node} virsh start {name}` starts it");
    Ok(())
}

/// The words as a script, or stdin's text.
fn script(command: &[String]) -> Result<String> {
    if !command.is_empty() {
        return Ok(command.join(" "));
    }
    let mut text = String::new();
    io::stdin()
        .read_to_string(&mut text)
        .context("cannot read the script from stdin")?;
    Ok(text)
}

fn execute(node: &Node, script: &str, deadline: u64) -> Result<()> {
    let output = node.run_within(Duration::from_secs(deadline), script)?;
    io::stdout().write_all(output.stdout.as_bytes())?;
    io::stderr().write_all(output.stderr.as_bytes())?;
    if output.ok() {
        return Ok(());
    }
    std::process::exit(output.status)
}

/// Joins this terminal with the node's. The terminal is raw meanwhile, so that Ctrl-C and
/// arrow keys reach the node.
fn shell(node: &Node) -> Result<()> {
    if !io::stdin().is_terminal() {
        bail!("a shell wants a terminal; `cargo xtask lab run N command` does not");
    }
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, node.shell_port()?))
        .context("cannot reach the node's shell")?;
    let mut keys = stream.try_clone()?;
    let before = stty(&["-g"])?;
    stty(&["raw", "-echo"])?;
    std::thread::spawn(move || io::copy(&mut io::stdin(), &mut keys));
    let mut screen = io::stdout();
    let mut buffer = [0; 4096];
    let ended = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(count) => {
                screen.write_all(&buffer[..count])?;
                screen.flush()?;
            }
            Err(error) => break Err(error.into()),
        }
    };
    stty(&[before.trim()])?;
    ended
}

fn stty(words: &[&str]) -> Result<String> {
    let output = Command::new("stty")
        .args(words)
        .stdin(Stdio::inherit())
        .output()
        .context("cannot run stty")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
