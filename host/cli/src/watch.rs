//! `hydration watch`: a bar for each copy, until all are done.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::thread;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use volward_api::model::CopyState;
use volward_api::{Client, HydrationView};

use crate::exit::Exit;
use crate::output::{answer, print};
use crate::show;

/// The daemon reads a status line for each copy when asked; nothing changes faster for the eye.
const PAUSE: Duration = Duration::from_secs(1);

/// Watches; ends when nothing moves or should move any more.
pub(crate) fn watch(client: &Client, json: bool) -> anyhow::Result<Exit> {
    let mut screen = Screen::default();
    let mut last = None;
    loop {
        let found = client.hydrations()?;
        let changed = last.as_ref() != Some(&found);
        if json {
            print(&serde_json::to_string(&found)?)?;
        } else if std::io::stderr().is_terminal() {
            screen.update(&found)?;
        } else if changed {
            answer(false, &found, |found| show::hydrations(found))?;
        }
        if !found.iter().any(moves) {
            return Ok(if found.iter().any(|h| h.state == CopyState::Failed) {
                Exit::Storage
            } else {
                Exit::Ok
            });
        }
        last = Some(found);
        thread::sleep(PAUSE);
    }
}

/// Writes-only copies never end by themselves.
fn moves(hydration: &HydrationView) -> bool {
    matches!(
        hydration.state.known(),
        Some(CopyState::Hydrating | CopyState::Returning | CopyState::Stalled)
    )
}

#[derive(Default)]
struct Screen {
    all: MultiProgress,
    bars: BTreeMap<String, ProgressBar>,
}

impl Screen {
    fn update(&mut self, found: &[HydrationView]) -> anyhow::Result<()> {
        let style = ProgressStyle::with_template(
            "{prefix:24} {bar:32} {percent:>3} % {bytes}/{total_bytes} {msg}",
        )?;
        for hydration in found {
            let name = format!("{}/{}", hydration.pool, hydration.volume);
            let bar = self.bars.entry(name.clone()).or_insert_with(|| {
                let bar = ProgressBar::new(hydration.total).with_style(style.clone());
                self.all.add(bar.with_prefix(name))
            });
            bar.set_length(hydration.total);
            bar.set_position(hydration.done);
            bar.set_message(show::hydration_remark(hydration));
        }
        // A copy that is no longer listed is gone: written back, or linear.
        for (name, bar) in &self.bars {
            let listed = found
                .iter()
                .any(|h| *name == format!("{}/{}", h.pool, h.volume));
            if !listed && !bar.is_finished() {
                bar.finish_with_message("done");
            }
        }
        Ok(())
    }
}
