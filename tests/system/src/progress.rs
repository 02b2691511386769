//! Progress for people: one line per stage, with the time it took.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

/// Where stages are shown.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    visible: bool,
}

impl Progress {
    /// Shows stages on stderr: with a spinner on a terminal, as lines elsewhere.
    pub fn shown() -> Self {
        Self { visible: true }
    }

    /// Shows nothing: for tests, whose output is the runner's.
    pub fn silent() -> Self {
        Self { visible: false }
    }

    /// Begins a stage. It is counted as failed unless [`Stage::done`] is called.
    pub fn stage(&self, name: impl Into<String>) -> Stage {
        let name = name.into();
        let bar = (self.visible && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("  {spinner} {msg} ({elapsed})")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = ProgressBar::new_spinner().with_style(style);
            bar.set_message(name.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Stage {
            name,
            bar,
            visible: self.visible,
            begun: Instant::now(),
            finished: false,
        }
    }

    /// Runs `work` as a stage.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn during<T, E>(
        &self,
        name: impl Into<String>,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let stage = self.stage(name);
        let answer = work()?;
        stage.done();
        Ok(answer)
    }
}

/// A stage that is under way.
#[derive(Debug)]
pub struct Stage {
    name: String,
    bar: Option<ProgressBar>,
    visible: bool,
    begun: Instant,
    finished: bool,
}

impl Stage {
    /// Ends the stage well; says how long it took.
    pub fn done(mut self) -> Duration {
        let took = self.begun.elapsed();
        self.finish("ok", took);
        took
    }

    fn finish(&mut self, verdict: &str, took: Duration) {
        self.finished = true;
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if self.visible {
            let time = if took < Duration::from_secs(100) {
                format!("{:.1} s", took.as_secs_f64())
            } else {
                HumanDuration(took).to_string()
            };
            eprintln!("  {verdict:<6} {:<56} {time:>10}", self.name);
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.finished {
            self.finish("FAILED", self.begun.elapsed());
        }
    }
}
