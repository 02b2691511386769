//! A node in memory, as far as `doctor` looks at it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Probes;

/// Has what it was given, and nothing else.
#[derive(Clone, Debug, Default)]
pub struct FakeSystem {
    /// Content, and whether it can be run.
    files: BTreeMap<PathBuf, (Vec<u8>, bool)>,
    links: BTreeMap<PathBuf, PathBuf>,
    /// With their arguments and when they were started, in that order.
    running: Vec<(String, Vec<String>, Duration)>,
    confined: BTreeMap<String, String>,
}

impl FakeSystem {
    /// With a file that cannot be run.
    #[must_use]
    pub fn with_file(mut self, path: impl Into<PathBuf>, content: impl AsRef<[u8]>) -> Self {
        let content = content.as_ref().to_vec();
        self.files.insert(path.into(), (content, false));
        self
    }

    /// With a program.
    #[must_use]
    pub fn with_program(mut self, path: impl Into<PathBuf>, content: impl AsRef<[u8]>) -> Self {
        let content = content.as_ref().to_vec();
        self.files.insert(path.into(), (content, true));
        self
    }

    /// With a link to a file that it has.
    #[must_use]
    pub fn with_link(mut self, path: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        self.links.insert(path.into(), target.into());
        self
    }

    /// With a running program that is confined so.
    #[must_use]
    pub fn confined(mut self, program: &str, by: &str) -> Self {
        self.confined.insert(program.to_owned(), by.to_owned());
        self
    }

    fn file(&self, path: &Path) -> Option<&(Vec<u8>, bool)> {
        let path = self.links.get(path).map_or(path, PathBuf::as_path);
        self.files.get(path)
    }

    /// With a running program, given as its command line: the first word is its name. It was started long after those that
    /// run already; one of its name is gone.
    #[must_use]
    pub fn running(self, line: &str) -> Self {
        self.running_after(Duration::from_secs(600), line)
    }

    /// The same, started so long after the last one.
    #[must_use]
    pub fn running_after(mut self, pause: Duration, line: &str) -> Self {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let name = words.first().cloned().unwrap_or_default();
        let at = self
            .running
            .last()
            .map_or(pause, |(_, _, last)| *last + pause);
        self.running.retain(|(other, ..)| *other != name);
        self.running.push((name, words, at));
        self
    }
}

impl Probes for FakeSystem {
    fn is_program(&self, path: &Path) -> bool {
        self.file(path).is_some_and(|(_, runs)| *runs)
    }

    fn is_there(&self, path: &Path) -> bool {
        self.files.keys().any(|file| file.starts_with(path))
    }

    fn content(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.file(path);
        let file = file.ok_or(io::ErrorKind::NotFound)?;
        Ok(file.0.clone())
    }

    fn files_in(&self, folder: &Path) -> Vec<PathBuf> {
        let inside = |path: &&PathBuf| path.parent() == Some(folder);
        self.files.keys().filter(inside).cloned().collect()
    }

    fn behind_links(&self, path: &Path) -> Option<PathBuf> {
        let target = self.links.get(path).map_or(path, PathBuf::as_path);
        self.files.contains_key(target).then(|| target.to_owned())
    }

    fn confinement_of(&self, program: &str) -> Option<String> {
        self.confined.get(program).cloned()
    }

    fn arguments_of(&self, program: &str) -> Option<Vec<String>> {
        let mut running = self.running.iter();
        let found = running.find(|(name, ..)| name == program);
        found.map(|(_, words, _)| words.clone())
    }

    fn started(&self, program: &str) -> Option<Duration> {
        let mut running = self.running.iter();
        running
            .find(|(name, ..)| name == program)
            .map(|(_, _, at)| *at)
    }
}
