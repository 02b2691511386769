//! From a node's death to the start of its volume on another one, beside what sanlock takes of that by itself: until it
//! counts the node dead, nobody may have what it had.

use anyhow::Result;
use volward_system::volward::Volward;
use volward_system::{Cluster, ClusterSpec, power};

use super::figure::{Figure, Pairs, Unit};
use super::on_node::{DEADLINE, NODE};

/// The node that dies.
const OTHER: u8 = 2;
/// Each waits for production's timeouts, some 140 s.
const ROUNDS: usize = 3;
/// What may come on top of sanlock's own time, in seconds.
const MOST: f64 = 2.0;
const THERE: &str = "22222222-2222-2222-2222-222222222222";
const HERE: &str = "11111111-1111-1111-1111-111111111111";

/// Answers the ns after which sanlock counts the host with this number dead, and after which an attach that is tried each
/// half second is granted.
const STARTS_HERE: &str = "
begun=$(date +%s%N)
{
    until sanlock client gets -h 1 | grep -q '^h NUMBER .*DEAD'; do sleep 0.1; done
    date +%s%N > /run/lab/dead
} &
until volward attach INSTANCE vg0/orphaned > /dev/null 2>&1; do sleep 0.5; done
granted=$(date +%s%N)
wait
echo $(( granted - begun )) $(( $(cat /run/lab/dead) - begun ))
";

pub(crate) fn measure(
    cluster: &Cluster,
    spec: &ClusterSpec,
    volward: &Volward<'_>,
) -> Result<Vec<Figure>> {
    volward.volume("orphaned", 32)?;
    power::makes_room(volward.node(OTHER))?;
    let mut times = Pairs::default();
    let script = STARTS_HERE
        .replace("NUMBER", &OTHER.to_string())
        .replace("INSTANCE", HERE);
    for _ in 0..ROUNDS {
        eprintln!("  measuring: a node dies, and its volume is attached on the other one");
        volward.cli_ok(OTHER, &format!("attach {THERE} vg0/orphaned"))?;
        power::cut(volward.node(OTHER))?;
        let text = volward.node(NODE).run_ok_within(DEADLINE, &script)?;
        let numbers = text.split_whitespace().map(str::parse::<f64>);
        let numbers: Vec<f64> = numbers.collect::<Result<_, _>>()?;
        let &[granted, dead] = &numbers[..] else {
            anyhow::bail!("the node answered {text:?}");
        };
        times.ours.push(granted / 1e9);
        times.base.push(dead / 1e9);
        volward.cli_ok(NODE, &format!("detach {HERE}"))?;
        power::boot(cluster, spec, volward, OTHER)?;
    }
    let late = times.ours.iter().zip(&times.base);
    let late: Vec<f64> = late.map(|(ours, base)| ours - base).collect();
    Ok(vec![
        Figure::pairs(
            "a node's death to the attach of its volume elsewhere",
            "until sanlock counts it dead",
            Unit::Milliseconds,
            &times,
            None,
        ),
        Figure {
            most: Some(MOST),
            ..Figure::alone(
                "the same, what comes on top of sanlock's",
                Unit::Milliseconds,
                &late,
            )
        },
    ])
}
