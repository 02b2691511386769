//! One instance writes a volume, any number read it. Keys of the configuration: `tag`, `pools`
//! and `second-writer` ([`Settings`]).
//!
//! Two nodes that ask at the same moment do not see each other here, and both may be granted.
//! The daemon settles that: under the lease it looks again at what everybody has, and whoever
//! comes second is decided anew, with the first one's attachment among its facts.

use volward_sdk::{
    Access, Answer, Attach, Attachment, AttachmentState, Denial, Disk, Lifecycle, Problem, Purpose,
    Request, config,
};

/// The policy.
pub struct ReadOnlyReplicas;

/// What becomes of an instance that wants to write too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondWriter {
    /// It is refused.
    Refuse,
    /// It gets the volume read-only; refused all the same, unless it accepts less than it asked for.
    ReadOnly,
}

/// What the configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Only volumes with this LV tag are looked at; all, where it is not configured.
    pub tag: Option<String>,
    /// Only volumes in these pools; all, where none is configured.
    pub pools: Vec<String>,
    /// `second-writer = "refuse"` (default) or `"read-only"`.
    pub second_writer: SecondWriter,
}

impl Settings {
    /// Reads the configuration, and what is wrong with it.
    #[must_use]
    pub fn read() -> (Self, Vec<Problem>) {
        let mut read = config::Reader::new(&["tag", "pools", "second-writer"]);
        let choices = [
            ("refuse", SecondWriter::Refuse),
            ("read-only", SecondWriter::ReadOnly),
        ];
        let settings = Self {
            tag: config::get("tag"),
            pools: read.words("pools"),
            second_writer: read
                .choice("second-writer", &choices)
                .unwrap_or(SecondWriter::Refuse),
        };
        if settings.tag.as_deref() == Some("") {
            read.problem(
                "tag",
                "is empty: give an LV tag, or leave the key out for all volumes",
            );
        }
        (settings, read.problems())
    }

    fn concerns(&self, disk: &Disk) -> bool {
        let tagged = self.tag.as_ref().is_none_or(|tag| disk.tags.contains(tag));
        tagged && (self.pools.is_empty() || self.pools.contains(&disk.pool))
    }
}

impl Attach for ReadOnlyReplicas {
    fn attach(request: &Request, answer: &mut Answer) -> Result<(), Denial> {
        let (settings, _) = Settings::read();
        for disk in request.disks.iter().filter(|disk| settings.concerns(disk)) {
            let Some(writer) = writer(request, disk) else {
                continue;
            };
            match settings.second_writer {
                SecondWriter::Refuse => return Err(refusal(disk, writer)),
                SecondWriter::ReadOnly => {
                    answer.read_only(disk);
                    answer.note(disk.full_name(), format!("read-only: {}", who(writer)));
                }
            }
        }
        Ok(())
    }
}

impl Lifecycle for ReadOnlyReplicas {
    fn check_config() -> Vec<Problem> {
        Settings::read().1
    }
}

volward_sdk::export!(ReadOnlyReplicas: attach, lifecycle);
volward_sdk::scenarios!(ReadOnlyReplicas: attach, lifecycle);

/// Who writes already what is asked for to write. An intent is nobody's yet, and an instance that
/// migrates here is no second writer: that it migrates is checked by the daemon.
fn writer<'a>(request: &Request, disk: &'a Disk) -> Option<&'a Attachment> {
    if disk.asked_access == Access::ReadOnly {
        return None;
    }
    let migrates =
        |a: &Attachment| request.purpose == Purpose::MigrationIn && a.instance == request.instance;
    disk.attachments.iter().find(|a| {
        a.access == Access::ReadWrite && a.state != AttachmentState::Intent && !migrates(a)
    })
}

fn who(writer: &Attachment) -> String {
    let quarantined = match writer.state {
        AttachmentState::Quarantined => " (quarantined: see `volward explain` there)",
        _ => "",
    };
    format!(
        "instance {} writes it on node {}{quarantined}",
        writer.instance, writer.node
    )
}

fn refusal(disk: &Disk, writer: &Attachment) -> Denial {
    let name = disk.full_name();
    let message = format!(
        "{name} has one writer, and {}: ask for it read-only, or stop that instance first",
        who(writer)
    );
    Denial::new("second-writer", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use volward_sdk::{Narrowing, Sharing};

    const READS: Access = Access::ReadOnly;
    const WRITES: Access = Access::ReadWrite;

    fn held(access: Access, state: AttachmentState) -> Attachment {
        Attachment {
            node: "n2".into(),
            instance: "b".into(),
            sharing: Sharing::Shared,
            access,
            since_ms: 0,
            state,
        }
    }

    /// A request for one volume that others have with these accesses.
    fn request(asked_access: Access, others: &[Access]) -> Request {
        let attachments = others
            .iter()
            .map(|access| held(*access, AttachmentState::Attached));
        Request {
            instance: "a".into(),
            disks: vec![Disk {
                pool: "vg0".into(),
                name: "db".into(),
                asked_sharing: Sharing::Shared.into(),
                shareable: true.into(),
                asked_access: asked_access.into(),
                attachments: attachments.collect(),
                ..Disk::default()
            }]
            .into(),
            ..Request::default()
        }
    }

    fn ask(request: &Request) -> Result<Answer, Denial> {
        let mut answer = Answer::default();
        ReadOnlyReplicas::attach(request, &mut answer).map(|()| answer)
    }

    #[test]
    fn readers_are_many_and_the_writer_is_one() {
        assert!(ask(&request(WRITES, &[READS, READS])).is_ok());
        assert!(ask(&request(READS, &[READS, WRITES])).is_ok());
        let denial = ask(&request(WRITES, &[READS, WRITES])).unwrap_err();
        assert_eq!(
            (denial.code.as_str(), denial.message.as_str()),
            (
                "second-writer",
                "vg0/db has one writer, and instance b writes it on node n2: ask for it read-only, or stop that instance first"
            )
        );
    }

    #[test]
    fn an_intent_does_not_count_and_a_quarantine_does() {
        let mut asked = request(WRITES, &[WRITES]);
        asked.disks[0].attachments[0].state = AttachmentState::Intent;
        assert!(ask(&asked).is_ok());
        asked.disks[0].attachments[0].state = AttachmentState::Quarantined;
        assert!(ask(&asked).unwrap_err().message.contains("quarantined"));
    }

    #[test]
    fn a_migrating_writer_is_no_second_one() {
        let mut asked = request(WRITES, &[WRITES]);
        asked.disks[0].attachments[0].instance = "a".into();
        assert!(ask(&asked).is_err());
        asked.purpose = Purpose::MigrationIn.into();
        assert!(ask(&asked).is_ok());
        asked.disks[0]
            .attachments
            .push(held(WRITES, AttachmentState::Attached));
        assert!(ask(&asked).is_err());
    }

    #[test]
    fn the_second_writer_may_be_made_a_reader() {
        config::set_for_test(&[("second-writer", "read-only")]);
        let answer = ask(&request(WRITES, &[WRITES])).unwrap();
        assert_eq!(
            answer.narrowings()[0],
            Narrowing::ReadOnly(String::new().into())
        );
        assert!(matches!(&answer.narrowings()[1], Narrowing::Note(disk, _) if disk == "vg0/db"));
    }

    #[test]
    fn tag_and_pools_say_what_it_looks_at() {
        let mut asked = request(WRITES, &[WRITES]);
        asked.disks[0].tags = vec!["replicated".into()].into();
        for (config, refused) in [
            (("tag", "replicated"), true),
            (("tag", "other"), false),
            (("pools", "vg1 vg0"), true),
            (("pools", "vg1"), false),
        ] {
            config::set_for_test(&[config]);
            assert_eq!(ask(&asked).is_err(), refused, "{config:?}");
        }
    }

    #[test]
    fn a_wrong_configuration_is_named() {
        config::set_for_test(&[("second-writer", "kill"), ("tag", "")]);
        let keys: Vec<_> = Settings::read().1.into_iter().map(|p| p.key).collect();
        assert_eq!(keys, ["second-writer", "tag"]);
        config::set_for_test(&[]);
        assert!(Settings::read().1.is_empty());
    }
}
