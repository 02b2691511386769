//! A hostile component at its work, and whether it did what it is there for.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::{Context, bail, ensure};
use volward_corpus::End;
use volward_model::{Facts, Verdict};
use volward_policy::{ArtefactError, Chain, LoadError, PluginState, Runtime, Settings};

use super::components::Component;

/// One that gets as far as to run in this process, or to be linked in it.
pub(super) struct Harm {
    what: String,
    end: End,
    way: Way,
    calls: AtomicU64,
}

enum Way {
    /// It was loaded, and is asked.
    Asked(Chain),
    /// It is refused when it is loaded, and is loaded again and again, from the cache.
    Loaded(Vec<u8>),
}

/// Loads each and calls it once. Those that the compiler refuses are left out: it is another
/// process, and nothing of them is ever in this one.
///
/// # Errors
/// If one of them does not do what the corpus says.
pub(super) fn load(
    runtime: &Runtime,
    components: impl Iterator<Item = anyhow::Result<Component>>,
    facts: &Facts,
) -> anyhow::Result<Vec<Harm>> {
    let mut harms = Vec::new();
    for component in components {
        let Component { what, bytes, end } = component?;
        let way = match (runtime.check(&what, &bytes, &Settings::default()), &end) {
            (Err(LoadError::Artefact(ArtefactError::Compile(_))), End::Refused(_)) => continue,
            (Ok(_), End::Fault(..) | End::Serves) => Way::Asked(asked(runtime, &what, &bytes)?),
            (Err(_), End::Refused(_)) => Way::Loaded(bytes),
            (loaded, _) => bail!("{what}: {end:?} was to be, not {loaded:?}"),
        };
        let harm = Harm {
            what,
            end,
            way,
            calls: AtomicU64::new(0),
        };
        harm.work(runtime, facts)?;
        harms.push(harm);
    }
    Ok(harms)
}

fn asked(runtime: &Runtime, what: &str, bytes: &[u8]) -> anyhow::Result<Chain> {
    let chain = runtime.assemble([(what, bytes, &Settings::default())]);
    let status = chain.status();
    ensure!(
        status.iter().all(|one| one.state == PluginState::Serving),
        "{what} was loaded once, and not again: {status:?}"
    );
    Ok(chain)
}

/// Calls of all of them.
///
/// # Errors
/// If one was never called.
pub(super) fn calls(harms: &[Harm]) -> anyhow::Result<u64> {
    let mut all = 0;
    for harm in harms {
        let calls = harm.calls.load(Relaxed);
        ensure!(
            calls > 0,
            "{} was never called: the phases are too short",
            harm.what
        );
        all += calls;
    }
    Ok(all)
}

impl Harm {
    /// Lets it do its harm, and counts.
    ///
    /// # Errors
    /// If it ended otherwise than the corpus says.
    pub(super) fn call(&self, runtime: &Runtime, facts: &Facts) -> anyhow::Result<()> {
        self.work(runtime, facts)?;
        self.calls.fetch_add(1, Relaxed);
        Ok(())
    }

    fn work(&self, runtime: &Runtime, facts: &Facts) -> anyhow::Result<()> {
        match &self.way {
            Way::Asked(chain) => {
                let record = chain.attach(facts);
                let said = record.plugins.first().context("nobody was asked")?;
                let as_it_should = match (&self.end, &said.verdict) {
                    (End::Fault(kind, words), Verdict::Faulted(fault)) => {
                        fault.kind == *kind && fault.message.contains(&**words)
                    }
                    (End::Serves, Verdict::Granted(_)) => true,
                    _ => false,
                };
                ensure!(as_it_should, "{}: {}", self.what, said.verdict);
            }
            Way::Loaded(bytes) => {
                let Err(error) = runtime.check(&self.what, bytes, &Settings::default()) else {
                    bail!("{} was loaded", self.what);
                };
                let reason = format!("{:#}", anyhow::Error::from(error));
                let as_it_should =
                    matches!(&self.end, End::Refused(words) if reason.contains(&**words));
                ensure!(as_it_should, "{}: {reason}", self.what);
            }
        }
        Ok(())
    }
}
