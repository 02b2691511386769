//! Operations on volumes: what was asked for under an id of the caller's own, how far it is, and the
//! mark that its volume has while it is neither made nor gone.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{ParseIdError, PoolName, RequestId, VolumeName};
use crate::units::Bytes;
use crate::volume::VolumeRef;

/// What a caller calls an operation, so that a retry finds it: 1 to 100 letters, digits and `_.:+-`. It
/// stands in an LVM tag and in a URL's path, and needs no escaping in either.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OperationId(String);

impl OperationId {
    /// A UUID and a word before it are some fifty.
    pub const LONGEST: usize = 100;

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OperationId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:+-".contains(&byte);
        let fine = (1..=Self::LONGEST).contains(&text.len()) && text.bytes().all(legal);
        // A path's `.` and `..` name something else, and `/v1/operations/cancel` is a call.
        let reserved = text == "cancel" || text.bytes().all(|byte| byte == b'.');
        if fine && !reserved {
            return Ok(Self(text.to_owned()));
        }
        Err(ParseIdError {
            value: text.chars().take(80).collect(),
            expected: "an operation's id (1 to 100 letters, digits and _.:+-)",
        })
    }
}

impl TryFrom<String> for OperationId {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, ParseIdError> {
        text.parse()
    }
}

impl From<OperationId> for String {
    fn from(id: OperationId) -> Self {
        id.0
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What is asked for. Names are as the caller gave them: the volume need not exist yet, or any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum VolumeTask {
    /// A volume is made, and reads as zeroes unless the pool's setting says otherwise.
    Create {
        /// The pool it is made in.
        pool: PoolName,
        /// Its name; free now.
        name: VolumeName,
        /// At least this size in bytes; the volume group rounds up to its extent.
        size: Bytes,
    },
    /// A volume is deleted. One that is gone is done.
    Delete {
        /// The pool it is in.
        pool: PoolName,
        /// The name it has when it is asked for.
        name: VolumeName,
    },
    /// A volume gets at least this size; one that has it is done.
    Extend {
        /// The pool it is in.
        pool: PoolName,
        /// The name it has when it is asked for.
        name: VolumeName,
        /// Its size afterwards in bytes; the volume group rounds up to its extent.
        size: Bytes,
    },
}

impl VolumeTask {
    /// The pool it is about.
    #[must_use]
    pub fn pool(&self) -> &PoolName {
        let (Self::Create { pool, .. } | Self::Delete { pool, .. } | Self::Extend { pool, .. }) =
            self;
        pool
    }

    /// The name that the volume has, or is to have.
    #[must_use]
    pub fn name(&self) -> &VolumeName {
        let (Self::Create { name, .. } | Self::Delete { name, .. } | Self::Extend { name, .. }) =
            self;
        name
    }

    /// The size in bytes that is asked for; a delete asks for none.
    #[must_use]
    pub fn size(&self) -> Option<Bytes> {
        match self {
            Self::Create { size, .. } | Self::Extend { size, .. } => Some(*size),
            Self::Delete { .. } => None,
        }
    }

    /// What it is called: `create`, `delete`, `extend`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Delete { .. } => "delete",
            Self::Extend { .. } => "extend",
        }
    }
}

impl fmt::Display for VolumeTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.word(), self.pool(), self.name())?;
        match self.size() {
            Some(size) => write!(f, " ({size})"),
            None => Ok(()),
        }
    }
}

/// Where an operation is going.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Course {
    /// It is being carried out.
    Forward,
    /// What was begun is being taken back, and it ends so; past its commit point it goes on instead.
    Back(End),
    /// It has ended.
    Ended(End),
}

/// How an operation ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum End {
    /// All of it was done.
    Done,
    /// Somebody cancelled it before its commit point: nothing of it is left.
    Cancelled,
    /// It was refused or failed before its commit point: nothing of it is left.
    Failed {
        /// A refusal's code, or `storage`.
        code: String,
        /// The reason, a sentence.
        message: String,
    },
}

/// An operation on a volume: what is asked for, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeOperation {
    /// What the caller calls it.
    pub id: OperationId,
    /// What is to be done.
    pub task: VolumeTask,
    /// What the daemon calls the request that began it.
    pub request: RequestId,
    /// The user id of the caller.
    pub uid: u32,
    /// The volume, once it is known which one: of a create after it was made.
    pub volume: Option<VolumeRef>,
    /// Where it is going.
    pub course: Course,
    /// Bytes of what is to be zeroed that are zero on the disks, from its beginning.
    pub zeroed: Bytes,
    /// When it was asked for, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// When it last got on, or changed its course.
    pub changed_ms: u64,
}

impl VolumeOperation {
    /// One that has just been asked for.
    #[must_use]
    pub fn new(
        id: OperationId,
        task: VolumeTask,
        (request, uid): (RequestId, u32),
        now_ms: u64,
    ) -> Self {
        Self {
            id,
            task,
            request,
            uid,
            volume: None,
            course: Course::Forward,
            zeroed: Bytes(0),
            started_ms: now_ms,
            changed_ms: now_ms,
        }
    }

    /// How it ended; `None` while it has not.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        match &self.course {
            Course::Ended(end) => Some(end),
            Course::Forward | Course::Back(_) => None,
        }
    }

    /// Whether it is about a volume of that name, or about that volume.
    #[must_use]
    pub fn is_about(&self, volume: &VolumeRef) -> bool {
        match &self.volume {
            Some(known) => known.id == volume.id,
            None => *self.task.pool() == volume.pool && *self.task.name() == volume.name,
        }
    }
}

/// Starts each tag of a volume that an operation has marked.
const MARKS: [&str; 3] = ["volward.new=", "volward.dying=", "volward.growing="];

/// What an operation has written into a volume's tags: nobody attaches a volume that has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It is being made: `volward.new=ID`.
    New {
        /// The operation that makes it.
        by: OperationId,
    },
    /// It is being deleted: `volward.dying=ID`.
    Dying {
        /// The operation that deletes it.
        by: OperationId,
    },
    /// It is being grown: `volward.growing=BYTES:ID`.
    Growing {
        /// The operation that grows it.
        by: OperationId,
        /// Its size before, in bytes: what is behind that may be old content.
        from: Bytes,
    },
    /// A mark that this version does not understand, or more than one.
    Unknown {
        /// The tags, joined by commas.
        tags: String,
    },
}

impl Mark {
    /// The tag that says so.
    #[must_use]
    pub fn tag(&self) -> String {
        match self {
            Self::New { by } => format!("{}{by}", MARKS[0]),
            Self::Dying { by } => format!("{}{by}", MARKS[1]),
            Self::Growing { by, from } => format!("{}{}:{by}", MARKS[2], from.0),
            Self::Unknown { tags } => tags.clone(),
        }
    }

    /// The mark among a volume's tags; `None` if there is none.
    pub fn from_tags<'a>(tags: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let marks = tags.into_iter().filter(|tag| is_mark(tag));
        let marks: Vec<&str> = marks.collect();
        let known = match marks.as_slice() {
            [] => return None,
            [one] => Self::read(one),
            _ => None,
        };
        Some(known.unwrap_or_else(|| Self::Unknown {
            tags: marks.join(","),
        }))
    }

    fn read(tag: &str) -> Option<Self> {
        let after = |prefix| tag.strip_prefix(prefix);
        if let Some(by) = after(MARKS[0]) {
            return Some(Self::New {
                by: by.parse().ok()?,
            });
        }
        if let Some(by) = after(MARKS[1]) {
            return Some(Self::Dying {
                by: by.parse().ok()?,
            });
        }
        let (from, by) = after(MARKS[2])?.split_once(':')?;
        Some(Self::Growing {
            by: by.parse().ok()?,
            from: Bytes(from.parse().ok()?),
        })
    }

    /// The operation that made it; `None` where it is not understood.
    #[must_use]
    pub fn by(&self) -> Option<&OperationId> {
        match self {
            Self::New { by } | Self::Dying { by } | Self::Growing { by, .. } => Some(by),
            Self::Unknown { .. } => None,
        }
    }
}

/// Whether a tag is the mark of an operation, understood or not.
#[must_use]
pub fn is_mark(tag: &str) -> bool {
    MARKS.iter().any(|prefix| tag.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_what_a_tag_and_a_path_can_hold() {
        for fine in [
            "a",
            "cinder:create:11111111-2222-3333-4444-555555555555",
            "a.b",
        ] {
            assert_eq!(fine.parse::<OperationId>().unwrap().as_str(), fine);
        }
        for bad in [
            "",
            ".",
            "..",
            "cancel",
            "a/b",
            "a b",
            "a=b",
            "ä",
            &"x".repeat(101),
        ] {
            assert!(bad.parse::<OperationId>().is_err(), "{bad:?}");
            let json = format!("{bad:?}");
            assert!(
                serde_json::from_str::<OperationId>(&json).is_err(),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_mark_is_read_as_it_is_written() {
        let by: OperationId = "cinder:1:x".parse().unwrap();
        for mark in [
            Mark::New { by: by.clone() },
            Mark::Dying { by: by.clone() },
            Mark::Growing {
                by,
                from: Bytes::mib(5),
            },
        ] {
            let tags = ["volward.shareable".to_owned(), mark.tag()];
            let read = Mark::from_tags(tags.iter().map(String::as_str));
            assert_eq!(read, Some(mark));
        }
        assert_eq!(Mark::from_tags(["volward.shareable", "new"]), None);
    }

    /// What a later version writes, or somebody by hand, keeps guests away all the same.
    #[test]
    fn a_mark_that_is_not_understood_is_one() {
        for tags in [
            vec!["volward.new=a/b"],
            vec!["volward.growing=many:a"],
            vec!["volward.growing=1"],
            vec!["volward.new=a", "volward.dying=b"],
        ] {
            let read = Mark::from_tags(tags.iter().copied());
            assert!(
                matches!(&read, Some(Mark::Unknown { .. })),
                "{tags:?}: {read:?}"
            );
            assert_eq!(read.unwrap().tag(), tags.join(","));
        }
    }
}
