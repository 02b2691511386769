//! What is different between two outcomes, in words that many decisions have in common.

use std::collections::BTreeSet;

use serde::Serialize;
use volward_model::{Answer, Combined, CopyPlan, Denial, DiskAnswer, Fault};

/// How much a change means to those concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// It was granted, and would be refused.
    Refused,
    /// It was answered, and would break.
    Broken,
    /// It was refused or broke, and would be granted.
    Granted,
    /// It would be granted, but other things.
    Otherwise,
    /// It would be refused for another reason, or break in another way.
    Reason,
    /// Copies would have another fate at detach.
    Fate,
    /// The same for machines: a message or a note reads differently.
    Words,
}

impl Class {
    /// For people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Refused => "now refused",
            Self::Broken => "now broken",
            Self::Granted => "now granted",
            Self::Otherwise => "granted otherwise",
            Self::Reason => "refused for another reason",
            Self::Fate => "another fate of copies",
            Self::Words => "other words only",
        }
    }
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// What it means.
    pub class: Class,
    /// The kind: `granted -> denied by quota (too-many)`.
    pub kind: String,
    /// What the policies say now of this one, where they say something.
    pub said: String,
}

impl Change {
    /// What is different; `None` if nothing is.
    #[must_use]
    pub fn between(was: &Combined, is: &Combined) -> Option<Self> {
        if was == is {
            return None;
        }
        let kinds = || format!("{} -> {}", short(was), short(is));
        let (class, kind) = match (was, is) {
            (Combined::Granted(was), Combined::Granted(is)) => match fields(was, is) {
                fields if fields.is_empty() => (Class::Words, "other notes".to_owned()),
                fields => (
                    Class::Otherwise,
                    fields.into_iter().collect::<Vec<_>>().join(", "),
                ),
            },
            (Combined::Advised(was), Combined::Advised(is)) => {
                let fates: BTreeSet<String> = was
                    .iter()
                    .zip(is)
                    .filter(|(was, is)| was != is)
                    .map(|((_, was), (_, is))| format!("{was} -> {is}"))
                    .collect();
                (
                    Class::Fate,
                    fates.into_iter().collect::<Vec<_>>().join(", "),
                )
            }
            (Combined::Denied(_), Combined::Denied(_))
            | (Combined::Faulted(_), Combined::Faulted(_))
                if short(was) == short(is) =>
            {
                (Class::Words, format!("{}, in other words", short(is)))
            }
            (Combined::Denied(_), Combined::Denied(_)) => (Class::Reason, kinds()),
            (_, Combined::Faulted(_)) => match was {
                Combined::Faulted(_) => (Class::Reason, kinds()),
                _ => (Class::Broken, kinds()),
            },
            (Combined::Faulted(_), Combined::Denied(_)) => (Class::Reason, kinds()),
            (_, Combined::Denied(_)) => (Class::Refused, kinds()),
            (_, Combined::Granted(_) | Combined::Advised(_)) => (Class::Granted, kinds()),
        };
        Some(Self {
            class,
            kind,
            said: said(is),
        })
    }
}

/// Who and which code, all of them: what makes two refusals the same for programs.
fn short(combined: &Combined) -> String {
    match combined {
        Combined::Granted(_) => "granted".to_owned(),
        Combined::Advised(_) => "advised".to_owned(),
        Combined::Denied(all) => listed("denied", all, |denial: &Denial| denial.code.clone()),
        Combined::Faulted(all) => listed("faulted", all, |fault: &Fault| fault.kind.to_string()),
    }
}

fn listed<T>(word: &str, all: &[(String, T)], code: impl Fn(&T) -> String) -> String {
    let each = all
        .iter()
        .map(|(who, what)| format!("{who} ({})", code(what)));
    format!("{word} by {}", each.collect::<Vec<_>>().join(", "))
}

fn said(combined: &Combined) -> String {
    match combined {
        Combined::Granted(_) | Combined::Advised(_) => String::new(),
        Combined::Denied(all) => all
            .first()
            .map_or(String::new(), |(_, d)| d.message.clone()),
        Combined::Faulted(all) => all
            .first()
            .map_or(String::new(), |(_, f)| f.message.clone()),
    }
}

/// What is granted differently, over all disks.
fn fields(was: &Answer, is: &Answer) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut field = |name: &str, was: &str, is: &str| {
        if was != is {
            found.insert(format!("{name} {was} -> {is}"));
        }
    };
    for disk in &was.disks {
        let Some(now) = is.disks.iter().find(|d| d.volume == disk.volume) else {
            field("disk", "answered", "missing");
            continue;
        };
        let text = |disk: &DiskAnswer| {
            [
                disk.sharing.to_string(),
                disk.access.to_string(),
                disk.copy_at_most.to_string(),
                copy(disk.copy),
            ]
        };
        let names = ["sharing", "access", "copies at most", "copy"];
        for (name, (was, is)) in names.into_iter().zip(text(disk).iter().zip(text(now))) {
            field(name, was, &is);
        }
    }
    if is.disks.len() > was.disks.len() {
        field("disk", "missing", "answered");
    }
    found
}

fn copy(plan: Option<CopyPlan>) -> String {
    plan.map_or_else(|| "none".to_owned(), |plan| plan.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use volward_model::{Access, Note, Scenario};

    fn granted() -> Answer {
        let two = r#"{"facts": {"disks": [{}, {}]}}"#;
        let scenario: Scenario = serde_json::from_str(two).unwrap();
        Answer::as_asked(&scenario.facts())
    }

    fn denied(who: &str, code: &str, message: &str) -> Combined {
        let denial = Denial {
            code: code.into(),
            message: message.into(),
            retry_after_ms: None,
        };
        Combined::Denied(vec![(who.into(), denial)])
    }

    fn kind(was: &Combined, is: &Combined) -> Option<(Class, String)> {
        Change::between(was, is).map(|change| (change.class, change.kind))
    }

    #[test]
    fn kinds_are_what_many_have_in_common() {
        let grant = Combined::Granted(granted());
        let mut narrowed = granted();
        for disk in &mut narrowed.disks {
            disk.access = Access::ReadOnly;
        }
        let mut noted = granted();
        noted.notes.push(Note {
            key: "k".into(),
            value: "v".into(),
        });
        let deny = denied("quota", "too-many", "8 of 8");
        for (was, is, class, said) in [
            (
                &grant,
                &deny,
                Class::Refused,
                "granted -> denied by quota (too-many)",
            ),
            (
                &deny,
                &grant,
                Class::Granted,
                "denied by quota (too-many) -> granted",
            ),
            (
                &deny,
                &denied("a", "b", ""),
                Class::Reason,
                "denied by quota (too-many) -> denied by a (b)",
            ),
            (
                &deny,
                &denied("quota", "too-many", "9 of 8"),
                Class::Words,
                "denied by quota (too-many), in other words",
            ),
            (
                &grant,
                &Combined::Granted(narrowed),
                Class::Otherwise,
                "access read-write -> read-only",
            ),
            (
                &grant,
                &Combined::Granted(noted),
                Class::Words,
                "other notes",
            ),
        ] {
            assert_eq!(kind(was, is), Some((class, said.to_owned())));
            assert_eq!(kind(is, is), None);
        }
    }
}
