//! Where an outcome is not as a scenario expects.

use std::fmt;

use serde::Serialize;

use super::{
    Expected, ExpectedAnswer, ExpectedDenial, ExpectedDisk, ExpectedFault, ExpectedVerdict,
    Scenario,
};
use crate::answer::{Answer, CopyPlan, Denial, DiskAnswer};
use crate::decision::{Combined, Fault, PluginVerdict, Verdict};
use crate::facts::Facts;

/// One place where an outcome is not as expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where: `combined.disks[0].access`.
    pub place: String,
    /// What the scenario says.
    pub expected: String,
    /// What came out.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            place,
            expected,
            found,
        } = self;
        write!(f, "{place}: expected {expected}, found {found}")
    }
}

/// Differences found so far, and where the next ones are.
struct Found<'a> {
    all: &'a mut Vec<Difference>,
    place: String,
}

impl Found<'_> {
    fn at(&mut self, place: impl fmt::Display) -> Found<'_> {
        Found {
            place: format!("{}.{place}", self.place),
            all: self.all,
        }
    }

    fn push(&mut self, expected: impl fmt::Display, found: impl fmt::Display) {
        self.all.push(Difference {
            place: self.place.clone(),
            expected: expected.to_string(),
            found: found.to_string(),
        });
    }

    fn same<T: PartialEq + fmt::Display>(&mut self, place: &str, expected: &T, found: &T) {
        if expected != found {
            self.at(place).push(expected, found);
        }
    }
}

impl Scenario {
    /// Where an outcome is not what this scenario expects; empty: all is as expected.
    #[must_use]
    pub fn differences(
        &self,
        facts: &Facts,
        plugins: &[PluginVerdict],
        combined: &Combined,
    ) -> Vec<Difference> {
        let mut all = Vec::new();
        for (plugin, expected) in self
            .plugins
            .iter()
            .filter_map(|p| Some((&p.plugin, p.verdict.as_ref()?)))
        {
            let place = format!("plugins.{plugin}");
            let mut found = Found {
                all: &mut all,
                place,
            };
            match plugins.iter().find(|p| p.plugin == *plugin) {
                Some(said) => expected.compare(facts, &said.verdict, &mut found),
                None => found.push("an answer", "no such policy in the chain"),
            }
        }
        if let Some(expected) = &self.combined {
            let place = "combined".to_owned();
            let mut found = Found {
                all: &mut all,
                place,
            };
            expected.compare(facts, combined, &mut found);
        }
        all
    }
}

impl Expected {
    fn compare(&self, facts: &Facts, is: &Combined, found: &mut Found<'_>) {
        match (self, is) {
            (Self::Granted(expected), Combined::Granted(answer)) => {
                expected.compare(facts, answer, found);
            }
            (Self::Advised(expected), Combined::Advised(fates)) => {
                if expected != fates {
                    found.push(Shown(expected), Shown(fates));
                }
            }
            (Self::Denied(expected), Combined::Denied(denials)) => {
                compare_all(expected, denials, found, ExpectedDenial::compare);
            }
            (Self::Faulted(expected), Combined::Faulted(faults)) => {
                compare_all(expected, faults, found, ExpectedFault::compare);
            }
            _ => found.push(self, Said(is)),
        }
    }
}

/// Policy by policy: who is missing, who is too many, who says something else.
fn compare_all<E, T>(
    expected: &[(String, E)],
    is: &[(String, T)],
    found: &mut Found<'_>,
    compare: impl Fn(&E, &T, &mut Found<'_>),
) {
    let names = |all: &mut dyn Iterator<Item = &String>| {
        all.map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    let wanted = names(&mut expected.iter().map(|(who, _)| who));
    let said = names(&mut is.iter().map(|(who, _)| who));
    if wanted != said {
        found.push(format!("by {wanted}"), format!("by {said}"));
    }
    for (who, expected) in expected {
        if let Some((_, what)) = is.iter().find(|(name, _)| name == who) {
            compare(expected, what, &mut found.at(who));
        }
    }
}

impl ExpectedVerdict {
    fn compare(&self, facts: &Facts, is: &Verdict, found: &mut Found<'_>) {
        match (self, is) {
            (Self::Granted(expected), Verdict::Granted(answer)) => {
                expected.compare(facts, answer, found);
            }
            (Self::Advised(expected), Verdict::Advised(advice)) => {
                if expected != advice {
                    found.push(Shown(expected), Shown(advice));
                }
            }
            (Self::Denied(expected), Verdict::Denied(denial)) => expected.compare(denial, found),
            (Self::Faulted(expected), Verdict::Faulted(fault)) => expected.compare(fault, found),
            (Self::Absent, Verdict::Absent) => {}
            _ => found.push(self, is),
        }
    }
}

impl ExpectedAnswer {
    fn compare(&self, facts: &Facts, is: &Answer, found: &mut Found<'_>) {
        let asked = Answer::as_asked(facts);
        for (n, asked) in asked.disks.iter().enumerate() {
            let named = self.disks.iter().find(|d| d.volume == Some(asked.volume));
            let here = self.disks.get(n).filter(|d| d.volume.is_none());
            let expected = named.or(here).cloned().unwrap_or_default();
            let mut found = found.at(format!("disks[{n}]"));
            match is.disks.iter().find(|d| d.volume == asked.volume) {
                Some(is) => expected.compare(asked, is, &mut found),
                None => found.push("an answer", "none"),
            }
        }
        for (n, disk) in self.disks.iter().enumerate() {
            let stray = match disk.volume {
                Some(volume) => !asked.disks.iter().any(|d| d.volume == volume),
                None => n >= asked.disks.len(),
            };
            if stray {
                found
                    .at(format!("disks[{n}]"))
                    .push("a disk", "no such disk in the request");
            }
        }
        if let Some(notes) = self.notes.as_ref().filter(|notes| **notes != is.notes) {
            let text = |notes: &[crate::answer::Note]| {
                let each = notes.iter().map(|n| format!("{}: {}", n.key, n.value));
                format!("[{}]", each.collect::<Vec<_>>().join("; "))
            };
            found.at("notes").push(text(notes), text(&is.notes));
        }
    }
}

impl ExpectedDisk {
    fn compare(&self, asked: &DiskAnswer, is: &DiskAnswer, found: &mut Found<'_>) {
        found.same(
            "sharing",
            &self.sharing.unwrap_or(asked.sharing),
            &is.sharing,
        );
        found.same("access", &self.access.unwrap_or(asked.access), &is.access);
        found.same(
            "copy_at_most",
            &self.copy_at_most.unwrap_or(asked.copy_at_most),
            &is.copy_at_most,
        );
        if self.copy != is.copy {
            let text =
                |copy: Option<CopyPlan>| copy.map_or_else(|| "none".to_owned(), |c| c.to_string());
            found.at("copy").push(text(self.copy), text(is.copy));
        }
    }
}

impl ExpectedDenial {
    fn compare(&self, is: &Denial, found: &mut Found<'_>) {
        found.same("code", &self.code, &is.code);
        if let Some(message) = &self.message {
            found.same("message", message, &is.message);
        }
        if self.retry_after_ms.is_some() && self.retry_after_ms != is.retry_after_ms {
            let text = |ms: Option<u32>| ms.map_or_else(|| "none".to_owned(), |ms| ms.to_string());
            let place = &mut found.at("retry_after_ms");
            place.push(text(self.retry_after_ms), text(is.retry_after_ms));
        }
    }
}

impl ExpectedFault {
    fn compare(&self, is: &Fault, found: &mut Found<'_>) {
        found.same("kind", &self.kind, &is.kind);
        if let Some(message) = &self.message {
            found.same("message", message, &is.message);
        }
    }
}

/// A list of fates.
struct Shown<'a, T>(&'a [(crate::ids::VolumeId, T)]);

impl<T: fmt::Debug> fmt::Display for Shown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.iter().map(|(volume, fate)| (volume.lv, fate)))
            .finish()
    }
}

fn all<T>(f: &mut fmt::Formatter<'_>, word: &str, all: &[(String, T)]) -> fmt::Result
where
    T: fmt::Display,
{
    f.write_str(word)?;
    for (n, (who, what)) in all.iter().enumerate() {
        let comma = if n > 0 { ", " } else { " " };
        write!(f, "{comma}by {who}: {what}")?;
    }
    Ok(())
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granted(_) => f.write_str("granted"),
            Self::Advised(_) => f.write_str("advised"),
            Self::Denied(denials) => all(f, "denied", denials),
            Self::Faulted(faults) => all(f, "faulted", faults),
        }
    }
}

impl fmt::Display for ExpectedVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granted(_) => f.write_str("granted"),
            Self::Advised(_) => f.write_str("advised"),
            Self::Denied(denial) => write!(f, "denied: {denial}"),
            Self::Faulted(fault) => write!(f, "faulted: {fault}"),
            Self::Absent => f.write_str("no such hook"),
        }
    }
}

impl fmt::Display for ExpectedDenial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)
    }
}

impl fmt::Display for ExpectedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.kind, f)
    }
}

/// What a chain came to, in a sentence.
struct Said<'a>(&'a Combined);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Combined::Granted(_) => f.write_str("granted"),
            Combined::Advised(_) => f.write_str("advised"),
            Combined::Denied(denials) => all(f, "denied", denials),
            Combined::Faulted(faults) => all(f, "faulted", faults),
        }
    }
}
