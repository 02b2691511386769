//! Steps with their times and their counts of tests.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

/// Tests that passed and failed; a step that counts no tests counts itself when it fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// A list of steps under one name; a failing step does not keep the next from running.
#[derive(Debug)]
pub(crate) struct Steps {
    name: &'static str,
    count: Count,
    failed: Vec<String>,
}

impl Steps {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            count: Count::default(),
            failed: Vec::new(),
        }
    }

    /// `fast 123 passed, 0 failed`
    pub(crate) fn summary(&self) -> String {
        let Count { passed, failed } = self.count;
        format!("{} {passed} passed, {failed} failed", self.name)
    }

    pub(crate) fn ok(&self) -> bool {
        self.count.failed == 0
    }

    /// The steps that failed: `fast: clippy`.
    pub(crate) fn failed(&self) -> impl Iterator<Item = String> + '_ {
        self.failed
            .iter()
            .map(|step| format!("{}: {step}", self.name))
    }

    /// Runs a program as a step; its output is shown as it comes.
    pub(crate) fn command(&mut self, step: &str, command: &mut Command) {
        self.work(step, || stream(command));
    }

    /// Runs a function as a step.
    pub(crate) fn work(&mut self, step: &str, work: impl FnOnce() -> Result<(bool, Count)>) {
        eprintln!("==== {}: {step}", self.name);
        let begun = Instant::now();
        let (ok, mut count) = work().unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            (false, Count::default())
        });
        if !ok && count.failed == 0 {
            count.failed = 1;
        }
        self.count.add(count);
        if !ok {
            self.failed.push(step.to_owned());
        }
        let verdict = if ok { "ok" } else { "FAILED" };
        let seconds = begun.elapsed().as_secs_f64();
        eprintln!("==== {}: {step}: {verdict} ({seconds:.1} s)", self.name);
    }
}

fn stream(command: &mut Command) -> Result<(bool, Count)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (mut count, said) = std::thread::scope(|scope| {
        let out = scope.spawn(|| out.map(|pipe| tee(pipe, std::io::stdout())));
        let err = err.map(|pipe| tee(pipe, std::io::stderr()));
        (out.join().ok().flatten(), err)
    });
    let count = count.get_or_insert_default();
    count.add(said.unwrap_or_default());
    Ok((child.wait()?.success(), *count))
}

/// Passes lines on and counts the tests they tell of. Output that cannot be shown is no reason
/// to stop counting.
fn tee(pipe: impl Read, mut screen: impl Write) -> Count {
    let mut count = Count::default();
    for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
        drop(
            screen
                .write_all(&line)
                .and_then(|()| screen.write_all(b"\n")),
        );
        if let Some(found) = count_in(&String::from_utf8_lossy(&line)) {
            count.add(found);
        }
    }
    count
}

/// Reads the summary line of nextest, of pytest, or one of libtest's (there is one per test binary). What
/// nextest shows of a failed test is indented, libtest's line in it too: that one is counted.
fn count_in(line: &str) -> Option<Count> {
    if let Some(count) = count_of_pytest(line) {
        return Some(count);
    }
    let is_summary =
        line.trim_start().starts_with("Summary [") || line.starts_with("test result: ");
    let before = |word| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words
            .windows(2)
            .find(|pair| pair[1].trim_end_matches([',', ';']) == word)
            .and_then(|pair| pair[0].parse::<u32>().ok())
    };
    is_summary.then(|| Count {
        passed: before("passed").unwrap_or(0),
        failed: before("failed").unwrap_or(0) + before("timed").unwrap_or(0),
    })
}

/// `1 failed, 2 passed, 3 skipped in 0.12s`, as pytest says it in few words.
fn count_of_pytest(line: &str) -> Option<Count> {
    let (counts, time) = line.split_once(" in ")?;
    let seconds = time.split(' ').next()?.strip_suffix('s')?;
    seconds.parse::<f64>().ok()?;
    let mut count = Count::default();
    for part in counts.split(", ") {
        let (number, word) = part.split_once(' ')?;
        let number = number.parse::<u32>().ok()?;
        match word {
            "passed" => count.passed += number,
            "failed" | "error" | "errors" => count.failed += number,
            "skipped" | "deselected" | "warning" | "warnings" => {}
            _ => return None,
        }
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(passed: u32, failed: u32) -> Option<Count> {
        Some(Count { passed, failed })
    }

    #[test]
    fn both_runners_summaries_are_read() {
        let nextest = "     Summary [  79.332s] 14 tests run: 13 passed, 1 failed, 0 skipped";
        assert_eq!(count_in(nextest), count(13, 1));
        let well = "     Summary [   0.010s] 7 tests run: 7 passed, 0 skipped";
        assert_eq!(count_in(well), count(7, 0));
        let libtest = "test result: FAILED. 6 passed; 2 failed; 0 ignored; 0 measured";
        assert_eq!(count_in(libtest), count(6, 2));
        assert_eq!(count_in(&format!("    {libtest}")), None);
        assert_eq!(count_in("test a_failed_thing ... ok"), None);
    }

    #[test]
    fn pytests_summary_is_read() {
        let well = "73 passed, 8 deselected in 5.01s";
        assert_eq!(count_in(well), count(73, 0));
        let ill = "1 failed, 2 passed, 1 skipped, 3 errors in 65.01s (0:01:05)";
        assert_eq!(count_in(ill), count(2, 4));
        for other in [
            "FAILED x.py::t - 1 passed in time",
            "12 monkeys in 3.0s",
            "passed in 1s",
        ] {
            assert_eq!(count_in(other), None, "{other}");
        }
    }

    #[test]
    fn a_step_that_fails_without_counting_counts_itself() {
        let mut steps = Steps::new("fast");
        steps.work("fmt", || Ok((false, Count::default())));
        steps.work("tests", || {
            Ok((
                true,
                Count {
                    passed: 3,
                    failed: 0,
                },
            ))
        });
        steps.work("broken", || anyhow::bail!("no such program"));
        assert_eq!(steps.summary(), "fast 3 passed, 2 failed");
        assert!(!steps.ok());
    }
}
