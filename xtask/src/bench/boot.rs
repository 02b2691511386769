//! From a node's boot to its volumes, on a node that systemd boots with the package installed: until volwardd serves,
//! and until all that was attached before is attached again, all at once (libvirt's autostart asks for one guest after the other).

use std::time::Duration;

use anyhow::{Context, Result};
use volward_system::volward::{POOL, Volward};
use volward_system::{Cluster, ClusterSpec, Lab, Node, Progress};

use super::figure::{Figure, Pairs, Unit};
use super::on_node::{DEADLINE, NODE};

/// Attachments, where nobody says how many.
const NUMBERS: [usize; 2] = [3, 100];
/// Boots with each number.
const ROUNDS: usize = 3;
/// Units' timeouts are 90 s, and none is to be reached.
const DOWN: Duration = Duration::from_secs(120);

/// Each pair is of one boot: what is compared is done in it one after the other.
pub(crate) fn measure(lab: &Lab, numbers: &[usize]) -> Result<Vec<Figure>> {
    let numbers = match numbers {
        [] => &NUMBERS[..],
        given => given,
    };
    let spec = ClusterSpec {
        nodes: 1,
        ..ClusterSpec::default()
    };
    let cluster = Cluster::packaged(lab, &spec, Progress::shown())?;
    let volward = Volward::on(&cluster);
    let node = cluster.node(NODE);
    let mut figures = Vec::new();
    let mut made = 0;
    for &number in numbers {
        let missing: String = (made..number)
            .map(|volume| format!("lvcreate -qq -an -n v{volume} -L 4M {POOL} || exit\n"))
            .collect();
        node.run_ok_within(DEADLINE, &missing)?;
        made = made.max(number);
        let [mut ready, mut whole, mut attached] =
            [Pairs::default(), Pairs::default(), Pairs::default()];
        for round in 0..ROUNDS {
            eprintln!(
                "  measuring: boot with {number} volumes, {} of {ROUNDS}",
                round + 1
            );
            node.run_ok_within(DEADLINE, &attach_all(number))?;
            node.run_ok("sync; systemctl poweroff --no-block")?;
            node.wait_ended(DOWN)?;
            cluster.reboot(NODE)?;
            let joined = started(node, "lvmlocks")?;
            let serves = started(node, "volwardd")?;
            let ours = seconds(node, &attach_all(number))?;
            detach_all(&volward, number)?;
            let by_hand = seconds(node, &activate_all(number, "-aey"))?;
            node.run_ok_within(DEADLINE, &activate_all(number, "-an"))?;
            ready.ours.push(serves);
            ready.base.push(joined);
            attached.ours.push(ours);
            attached.base.push(by_hand);
            whole.ours.push(serves + ours);
            whole.base.push(joined + by_hand);
        }
        let figure = |what: String, against, pairs| {
            Figure::pairs(what, against, Unit::Milliseconds, pairs, None)
        };
        figures.extend([
            figure(
                format!("boot to volwardd ready, {number} attached before"),
                "boot to the lockspace joined",
                &ready,
            ),
            figure(
                format!("boot to {number} volumes attached again"),
                "boot to as many active by one lvchange -aey",
                &whole,
            ),
            figure(
                format!("of that, {number} attaches at once"),
                "one lvchange -aey of as many",
                &attached,
            ),
        ]);
    }
    Ok(figures)
}

fn instance(number: usize) -> String {
    format!("b0070000-0000-4000-8000-{number:012x}")
}

/// A script that attaches a volume to each of so many instances, all at once.
fn attach_all(number: usize) -> String {
    let one = |volume| {
        let instance = instance(volume);
        format!(
            "volward attach {instance} {POOL}/v{volume} > /dev/null || touch /run/lab/failed &\n"
        )
    };
    let script: String = (0..number).map(one).collect();
    format!("rm -f /run/lab/failed\n{script}wait\n[ ! -e /run/lab/failed ]")
}

fn detach_all(volward: &Volward<'_>, number: usize) -> Result<()> {
    for volume in 0..number {
        volward.cli_ok(NODE, &format!("detach {}", instance(volume)))?;
    }
    Ok(())
}

fn activate_all(number: usize, how: &str) -> String {
    let names: String = (0..number)
        .map(|volume| format!(" {POOL}/v{volume}"))
        .collect();
    format!("lvchange -qq {how}{names}")
}

/// Seconds after the boot at which a unit was started.
fn started(node: &Node, unit: &str) -> Result<f64> {
    let script = format!("systemctl show --value -p ActiveEnterTimestampMonotonic {unit}");
    let microseconds: f64 = node.run_ok(&script)?.trim().parse().context(script)?;
    Ok(microseconds / 1e6)
}

/// What a script takes, by the node's clock.
fn seconds(node: &Node, script: &str) -> Result<f64> {
    let timed = format!("begun=$(date +%s.%N)\n{script} || exit\necho $begun $(date +%s.%N)");
    let said = node.run_ok_within(DEADLINE, &timed)?;
    let mut times = said.split_whitespace().map(str::parse::<f64>);
    match (times.next(), times.next()) {
        (Some(begun), Some(ended)) => Ok(ended? - begun?),
        _ => anyhow::bail!("no times in {said:?}"),
    }
}
