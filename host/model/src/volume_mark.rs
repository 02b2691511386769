//! The mark that a volume has while an operation is about it: a tag, which every node reads.

use crate::operation_id::OperationId;
use crate::units::Bytes;

/// Starts each tag of a volume that an operation has marked.
const MARKS: [&str; 4] = [
    "volward.new=",
    "volward.dying=",
    "volward.growing=",
    "volward.copying=",
];

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
    /// Its content is being copied, and must not change meanwhile: `volward.copying=BYTES:ID`. Who reads it
    /// keeps it.
    Copying {
        /// The operation that copies it.
        by: OperationId,
        /// Its size in bytes when that began: so much is copied.
        size: Bytes,
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
            Self::Copying { by, size } => format!("{}{}:{by}", MARKS[3], size.0),
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
        let of_bytes = |text: &str| {
            let (bytes, by) = text.split_once(':')?;
            Some((Bytes(bytes.parse().ok()?), by.parse().ok()?))
        };
        if let Some(text) = after(MARKS[2]) {
            let (from, by) = of_bytes(text)?;
            return Some(Self::Growing { by, from });
        }
        let (size, by) = of_bytes(after(MARKS[3])?)?;
        Some(Self::Copying { by, size })
    }

    /// The operation that made it; `None` where it is not understood.
    #[must_use]
    pub fn by(&self) -> Option<&OperationId> {
        match self {
            Self::New { by }
            | Self::Dying { by }
            | Self::Growing { by, .. }
            | Self::Copying { by, .. } => Some(by),
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
    fn a_mark_is_read_as_it_is_written() {
        let by: OperationId = "cinder:1:x".parse().unwrap();
        for mark in [
            Mark::New { by: by.clone() },
            Mark::Dying { by: by.clone() },
            Mark::Growing {
                by: by.clone(),
                from: Bytes::mib(5),
            },
            Mark::Copying {
                by,
                size: Bytes::mib(5),
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
            vec!["volward.copying=a:1"],
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
