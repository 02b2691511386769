//! What is measured on a node of the lab, by its own clock.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use volward_system::volward::Volward;

use super::figure::{Figure, Pairs, Unit};

/// The ratio an attach may have to the same by hand.
const ATTACH_GOAL: f64 = 0.15;
/// The node that is measured; the other one idles.
pub(super) const NODE: u8 = 1;
/// Guests that start at once, and how often: 256 take a quarter of an hour with what they are compared with.
pub(crate) const STORMS: [(usize, usize); 2] = [(64, 3), (256, 1)];
/// How often 256 volumes come and go.
const MANY_ROUNDS: usize = 2;
/// The ratio a storm may have to as many `lvchange` one by one.
const STORM_GOAL: f64 = 0.2;
/// For one measurement: minutes, in emulation.
pub(super) const DEADLINE: Duration = Duration::from_secs(2400);
/// Enough that the start does not count.
const COPY_MIB: u64 = 512;
/// Each is a hydration, a dd and a write-back.
const COPY_ROUNDS: usize = 5;
const BENCH: &str = "/host/release/volward-bench";

/// From debug programs, which the tests use, to those that are shipped.
pub(crate) fn use_release(volward: &Volward<'_>) -> Result<()> {
    volward.stop(NODE)?;
    volward.node(NODE).run_ok(
        // Files of the node's own, as a package's are: each start of a program would be read over 9p.
        "for name in volward volwardd volward-hook volward-policy; do \
             install -m 755 -t /usr/sbin /host/release/$name; \
         done",
    )?;
    // Debug lines would be part of the times.
    volward.start(NODE, &["VOLWARD_LOG=info".to_owned()])?;
    // The policies are compiled anew, at the lowest priority: a first request waits for that, and a dry run is one.
    volward.volume("first", 4)?;
    volward
        .node(NODE)
        .run_ok_within(
            DEADLINE,
            "until volward attach 11111111-1111-1111-1111-111111111111 vg0/first --dry-run; do sleep 1; done",
        )
        .map(drop)?;
    Ok(())
}

pub(crate) fn attach(volward: &Volward<'_>) -> Result<Figure> {
    volward.volume("bench", 64)?;
    let pairs: Pairs = bench(volward, "attach vg0/bench")?;
    Ok(Figure::pairs(
        "attach through the daemon, request to answer",
        "lvchange -aey, lvs, dmsetup create by hand",
        Unit::Milliseconds,
        &pairs,
        Some(ATTACH_GOAL),
    ))
}

#[derive(Deserialize)]
struct Storms {
    storm: Pairs,
    slowest: Vec<f64>,
    granted: Vec<usize>,
    told: Vec<usize>,
    failed: Vec<String>,
    released: Pairs,
}

/// So many guests, and how often; each is granted, or told early to come again.
pub(crate) fn storm(
    volward: &Volward<'_>,
    (guests, rounds): (usize, usize),
) -> Result<Vec<Figure>> {
    storm_volumes(volward)?;
    let words = format!("storm vg0 --guests {guests} --rounds {rounds}");
    let storms: Storms = bench(volward, &words)?;
    if let Some(failed) = storms.failed.first() {
        anyhow::bail!("in a storm of {guests} a guest was neither granted nor told: {failed}");
    }
    let (granted, told) = (&storms.granted, &storms.told);
    eprintln!("  storms of {guests}: granted {granted:?}, told to come again {told:?}");
    let all = granted.iter().all(|granted| *granted == guests);
    let which = if all {
        "all granted"
    } else {
        "granted or told"
    };
    Ok(vec![
        Figure::pairs(
            format!("{guests} guests' hooks at once, {which}"),
            "as many lvchange -aey one by one",
            Unit::Milliseconds,
            &storms.storm,
            Some(STORM_GOAL),
        ),
        Figure::alone(
            format!("the slowest of the {guests}"),
            Unit::Milliseconds,
            &storms.slowest,
        ),
        Figure::pairs(
            format!("release of the {guests}, one by one"),
            "their start",
            Unit::Milliseconds,
            &storms.released,
            None,
        ),
    ])
}

/// Makes the volumes that storms and `many` attach, unless they are there.
fn storm_volumes(volward: &Volward<'_>) -> Result<()> {
    let most = STORMS
        .map(|(guests, _)| guests)
        .into_iter()
        .max()
        .unwrap_or_default();
    let volumes = format!(
        "lvs vg0/storm-{last} > /dev/null 2>&1 && exit
         for n in $(seq 0 {last}); do lvcreate -qq -an -Zn -Wn -L 4M -n storm-$n vg0; done",
        last = most - 1
    );
    volward
        .node(NODE)
        .run_ok_within(DEADLINE, &volumes)
        .map(drop)?;
    Ok(())
}

#[derive(Deserialize)]
struct Many {
    attach: Vec<f64>,
    fence: Vec<f64>,
    unfence: Vec<f64>,
    restart: Vec<f64>,
    detach: Pairs,
}

/// 256 attachments of four instances.
pub(crate) fn many(volward: &Volward<'_>) -> Result<Vec<Figure>> {
    storm_volumes(volward)?;
    let many: Many = bench(volward, &format!("many vg0 --rounds {MANY_ROUNDS}"))?;
    let alone = |what, samples: &[f64]| Figure::alone(what, Unit::Milliseconds, samples);
    let within_a_second = |what, samples: &[f64]| Figure {
        most: Some(1.0),
        ..alone(what, samples)
    };
    Ok(vec![
        alone("attach of 256 volumes, 64 in a request", &many.attach),
        within_a_second("fence of 256 attachments", &many.fence),
        alone("unfence of the 256", &many.unfence),
        within_a_second("daemon, start to ready with 256 attachments", &many.restart),
        Figure::pairs(
            "detach of the 256",
            "their attach",
            Unit::Milliseconds,
            &many.detach,
            Some(1.0),
        ),
    ])
}

#[derive(Deserialize)]
struct Started {
    ready: Vec<f64>,
    resident: f64,
    private: f64,
}

pub(crate) fn start(volward: &Volward<'_>) -> Result<Vec<Figure>> {
    let words = "start /host/release/volwardd --workbench /host/release/volward-policy";
    let started: Started = bench(volward, words)?;
    Ok(vec![
        Figure::alone(
            "daemon, start to ready without pools",
            Unit::Milliseconds,
            &started.ready,
        ),
        Figure::alone(
            "daemon idle, resident memory",
            Unit::Mebibytes,
            &[started.resident],
        ),
        Figure::alone(
            "daemon idle, memory of its own",
            Unit::Mebibytes,
            &[started.private],
        ),
    ])
}

/// Hydrates, copies and has the kernel hydrate by hand, in turn. The share that was hydrated before the attach was answered is
/// not counted, and the wait is for the kernel's event: nothing polls.
pub(crate) fn hydration(volward: &Volward<'_>) -> Result<Vec<Figure>> {
    volward.volume("copied", COPY_MIB)?;
    volward.add_policy(NODE, "hydrate-local", "")?;
    let [mut copied, mut by_hand] = [(); 2].map(|()| Pairs::default());
    for _ in 0..COPY_ROUNDS {
        eprintln!("  measuring: hydration");
        let text = volward.node(NODE).run_ok_within(DEADLINE, ROUND)?;
        let line = text.lines().last().context("the node measured nothing")?;
        let numbers: Vec<f64> = line
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()
            .with_context(|| format!("the node answered {line:?}"))?;
        let &[hydrated, took, dd, kernel] = &numbers[..] else {
            anyhow::bail!("the node answered {line:?}");
        };
        let whole = (COPY_MIB << 20) as f64;
        for (pairs, base) in [(&mut copied, dd), (&mut by_hand, kernel)] {
            pairs.ours.push(hydrated / (took / 1e9));
            pairs.base.push(whole / (base / 1e9));
        }
    }
    let figure = |against, pairs: &Pairs| {
        let what = "hydration, background, idle guest";
        Figure::pairs(what, against, Unit::MebibytesPerSecond, pairs, None)
    };
    Ok(vec![
        figure("dd of the same volume to a local one, direct", &copied),
        figure(
            "dm-clone by hand, 64 MiB on their way in pieces of 1 MiB",
            &by_hand,
        ),
    ])
}

/// Answers bytes hydrated, nanoseconds that took, nanoseconds dd took, and dm-clone by hand for the whole volume.
const ROUND: &str = "set -e
now() { date +%s%N; }
instance=11111111-1111-1111-1111-111111111111
lvcreate -qq -an -Wn -Zn -L 512M -n dd local
lvchange -ay local/dd; lvchange -aey vg0/copied
a=$(now)
dd if=/dev/vg0/copied of=/dev/local/dd bs=1M iflag=direct oflag=direct conv=fsync status=none
copied=$(( $(now) - a ))
lvchange -an vg0/copied; lvremove -qq -y local/dd
volward attach $instance vg0/copied > /dev/null
a=$(now)
set -- $(dmsetup status --target clone)
name=${1%:}
# name: start length clone block used/total region hydrated/total ...
begun=${8%/*}; total=${8#*/}; region=$7
[ \"$begun\" = \"$total\" ] || dmsetup wait $name
took=$(( $(now) - a ))
volward detach $instance > /dev/null
# The tag stays: home again it says pool, and counts how often it changed.
while lvs --noheadings -o lv_tags vg0/copied | grep -q -e home=split -e home=returning; do
    sleep 0.5
done
lvcreate -qq -ay -Wn -Zn -y -L 512M -n dd local; lvcreate -qq -ay -Wn -Zn -y -L 16M -n meta local
dd if=/dev/zero of=/dev/local/meta bs=1M count=4 oflag=direct status=none
lvchange -aey vg0/copied
length=$(blockdev --getsz /dev/vg0/copied)
a=$(now)
dmsetup create hand --table \"0 $length clone /dev/local/meta /dev/local/dd /dev/vg0/copied $region 1 no_discard_passdown 4 hydration_threshold $(( 131072 / region )) hydration_batch_size $(( region < 2048 ? 2048 / region : 1 ))\"
set -- $(dmsetup status hand)
[ \"${7%/*}\" = \"${7#*/}\" ] || dmsetup wait hand
kernel=$(( $(now) - a ))
dmsetup remove --retry hand
lvchange -an vg0/copied; lvremove -qq -y local/dd local/meta
echo $(( (total - begun) * region * 512 )) $took $copied $kernel
";

pub(super) fn bench<T: for<'a> Deserialize<'a>>(volward: &Volward<'_>, words: &str) -> Result<T> {
    eprintln!("  measuring on node {NODE}: {words}");
    let script = format!("{BENCH} {words}");
    let text = volward.node(NODE).run_ok_within(DEADLINE, &script)?;
    serde_json::from_str(&text).with_context(|| format!("{BENCH} answered {text:?}"))
}
