//! Replaying a long log against a changed policy: how long it takes, and what it says.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, ensure};
use serde::Serialize;
use volward_model::scenario::Hook;
use volward_policy::{LogWriter, Outcome, Settings};
use volward_workbench::chain::{BASELINE_COMPONENT, Candidate, Candidates, ask};
use volward_workbench::replay::{self, Options};

use crate::decision;
use crate::samples::time;

/// What begins the names of guests: a tenth of them, in the log, is refused.
const NAMES: [&str; 10] = [
    "web", "db", "cache", "mail", "build", "desk", "node", "log", "store", "test",
];

/// What was measured.
#[derive(Serialize)]
pub(crate) struct Replayed {
    /// Seconds of each round.
    seconds: Vec<f64>,
    /// Decisions in the log.
    decisions: u64,
    /// Bytes of the log.
    bytes: u64,
    /// What the last round printed.
    text: String,
}

/// Makes a log of that many decisions up, and replays it against the same policy with other
/// settings.
pub(crate) fn measure(policy: &Path, decisions: u32, rounds: usize) -> anyhow::Result<Replayed> {
    let component =
        fs::read(policy).with_context(|| format!("{} (`cargo xtask guests`)", policy.display()))?;
    let then = chain(&component, "test-")?;
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("decisions.jsonl");
    write(&then, &log, decisions)?;

    let now = chain(&component, "web-")?;
    let files = [log];
    let (mut seconds, mut text) = (Vec::new(), String::new());
    for _ in 0..rounds {
        let took = time(|| {
            let report = replay::files(&now, &files, Options::default())?;
            ensure!(
                report.decisions() == u64::from(decisions),
                "some are missing"
            );
            // The names of a fifth are about what changed.
            ensure!(
                report.changed == u64::from(decisions) / 5,
                "{}",
                report.text()
            );
            text = report.text();
            Ok(())
        })?;
        seconds.push(took.as_secs_f64());
    }
    Ok(Replayed {
        seconds,
        decisions: decisions.into(),
        bytes: fs::metadata(&files[0])?.len(),
        text,
    })
}

/// The built-in policy and one that refuses a prefix.
fn chain(component: &[u8], prefix: &str) -> anyhow::Result<Candidates> {
    let settings = Settings::parse(&format!("[config]\nprefix = \"{prefix}\"\n"))
        .map_err(anyhow::Error::msg)?;
    let policy = |name: &str, component: &[u8], settings| Candidate {
        name: name.to_owned(),
        component: component.into(),
        settings,
    };
    let list = vec![
        policy("baseline", BASELINE_COMPONENT, Settings::default()),
        policy("deny-by-prefix", component, settings),
    ];
    Candidates::new(list, None)
}

fn write(chain: &Candidates, path: &Path, decisions: u32) -> anyhow::Result<()> {
    let chain = chain.chain();
    let mut log = LogWriter::new(BufWriter::new(File::create(path)?));
    for n in 0..decisions {
        let mut facts = decision::facts()?;
        let number = usize::try_from(n)?;
        // One to three disks, as most guests have.
        facts.disks.truncate(1 + number % 3);
        facts.request.id.0 = uuid::Uuid::from_u128(u128::from(n) + 1);
        facts.request.instance.0 = uuid::Uuid::from_u128(u128::from(n / 2) + 1);
        facts.request.instance_name = format!("{}-{}", NAMES[number % NAMES.len()], n / 2);
        facts.now_ms += u64::from(n) * 1_000;
        let record = ask(&chain, Hook::Attach, &facts, &[]);
        log.write(&record, &Outcome::Done)?;
    }
    log.into_inner().flush()?;
    Ok(())
}
