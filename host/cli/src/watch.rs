//! `hydration watch` and `hydration home --wait`: a bar for each copy, until it is done.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::thread;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use volward_api::model::CopyState;
use volward_api::{Client, HydrationView, Open};

use crate::exit::Exit;
use crate::output::{answer, print};
use crate::show;
use crate::volume_path::VolumePath;

/// The daemon reads a status line for each copy when asked; nothing changes faster for the eye.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// Watches all of them; ends when nothing moves or should move any more.
pub(crate) fn watch(client: &Client, json: bool) -> anyhow::Result<Exit> {
    let mut watch = Watch::new(client, json);
    loop {
        let found = client.hydrations()?;
        let is_done = !found.iter().any(moves);
        let exit = watch.show(found)?;
        if is_done {
            return Ok(exit);
        }
        thread::sleep(PAUSE);
    }
}

/// What has been seen, and shown.
pub(crate) struct Watch<'a> {
    client: &'a Client,
    json: bool,
    screen: Screen,
    last: Option<Vec<HydrationView>>,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(client: &'a Client, json: bool) -> Self {
        Self {
            client,
            json,
            screen: Screen::default(),
            last: None,
        }
    }

    /// Watches one volume's copy for as long as it is in one of these states; answers the one in which it is then.
    pub(crate) fn while_in(
        &mut self,
        volume: &VolumePath,
        states: &[CopyState],
    ) -> anyhow::Result<Option<Open<CopyState>>> {
        loop {
            let mut found = self.client.hydrations()?;
            found.retain(|h| h.pool == volume.pool.as_str() && h.volume == volume.volume.as_str());
            let state = found.first().map(|h| h.state.clone());
            // Who waits for one is told of its end by another sentence.
            if found.is_empty() {
                self.screen.update(&found)?;
            } else {
                self.show(found)?;
            }
            let known = state.as_ref().and_then(Open::known);
            if known.is_none_or(|known| !states.contains(&known)) {
                return Ok(state);
            }
            thread::sleep(PAUSE);
        }
    }

    /// Shows how far they are, as bars, or where they are not as they were.
    fn show(&mut self, found: Vec<HydrationView>) -> anyhow::Result<Exit> {
        let changed = self.last.as_ref() != Some(&found);
        if self.json {
            print(&serde_json::to_string(&found)?)?;
        } else if std::io::stderr().is_terminal() {
            self.screen.update(&found)?;
        } else if changed {
            answer(false, &found, |found| show::hydrations(found))?;
        }
        let failed = found.iter().any(|h| h.state == CopyState::Failed);
        self.last = Some(found);
        Ok(if failed { Exit::Storage } else { Exit::Ok })
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
