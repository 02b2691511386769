//! What somebody who writes to a local copy feels while it comes home beneath him.

use anyhow::Result;
use volward_system::volward::Volward;

use super::figure::{Figure, Pairs, Unit};
use super::on_node::{DEADLINE, NODE};
use super::writer::{self, Writes};

const INSTANCE: &str = "11111111-1111-1111-1111-111111111111";
const DEVICE: &str = "/dev/volward/11111111-1111-1111-1111-111111111111/vg0/kept";
const MIB: u64 = 512;
const ROUNDS: usize = 4;
/// Until every region is in the copy.
const WHOLE: &str =
    "set -- $(dmsetup status --target clone); [ \"${8%/*}\" = \"${8#*/}\" ] || dmsetup wait ${1%:}";
/// Until it is home.
const HOME: &str = "sh -c 'volward hydration home vg0/kept && \
                    while volward hydration ls | grep -q vg0/kept; do sleep 0.5; done'";

pub(crate) fn measure(volward: &Volward<'_>) -> Result<Vec<Figure>> {
    volward.volume("kept", MIB)?;
    writer::install(volward)?;
    volward.add_policy(NODE, "hydrate-local", "min-size = \"400MiB\"")?;
    let [mut on_copy, mut coming, mut at_home] = [const { Vec::<Writes>::new() }; 3];
    for _ in 0..ROUNDS {
        eprintln!("  measuring: writes while a copy comes home");
        volward.cli_ok(NODE, &format!("attach {INSTANCE} vg0/kept"))?;
        volward.node(NODE).run_ok_within(DEADLINE, WHOLE)?;
        on_copy.push(writer::during(volward, DEVICE, "sleep 5")?);
        coming.push(writer::during(volward, DEVICE, HOME)?);
        at_home.push(writer::during(volward, DEVICE, "sleep 5")?);
        volward.cli_ok(NODE, &format!("detach {INSTANCE}"))?;
    }
    let against = |what: &str, against, of: fn(&Writes) -> f64, base: &[Writes]| {
        let pairs = Pairs {
            ours: coming.iter().map(of).collect(),
            base: base.iter().map(of).collect(),
        };
        Figure::pairs(what, against, Unit::Milliseconds, &pairs, None)
    };
    let p99 = |writes: &Writes| writes.p99.as_secs_f64();
    let longest = |writes: &Writes| writes.longest.as_secs_f64();
    let median = |writes: &Writes| writes.median.as_secs_f64();
    let (copy, home) = ("on the whole copy", "on the shared volume, afterwards");
    Ok(vec![
        against(
            "a write while its copy comes home, 99th percentile",
            copy,
            p99,
            &on_copy,
        ),
        against("the same, 99th percentile", home, p99, &at_home),
        against("the same, median", copy, median, &on_copy),
        against("the same, the longest", copy, longest, &on_copy),
    ])
}
