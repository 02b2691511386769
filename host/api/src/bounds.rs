//! How much an attach may bring. Its texts become facts: every policy reads them, and every
//! decision keeps them in the log, a denied one as well. So they are bounded before a policy is
//! asked, by one function: the client has it before it sends, the hook also before a migration, and
//! the daemon for whoever uses another client.

use std::collections::BTreeSet;

use volward_model::{PoolName, Purpose, VolumeName};

use crate::attach::AttachRequest;
use crate::problem::{Problem, ProblemCode};

/// Hints of an attach.
pub const HINTS: usize = 64;
/// Bytes of a hint's key.
pub const HINT_KEY: usize = 64;
/// Bytes of a hint's value.
pub const HINT_VALUE: usize = 1_024;
/// Bytes of all keys and values of an attach together.
pub const HINT_BYTES: usize = 16 << 10;
/// Bytes of the instance's name.
pub const INSTANCE_NAME: usize = 256;
/// Bytes of a purpose in the caller's own words.
pub const PURPOSE: usize = 64;
/// Disks of an attach.
pub const DISKS: usize = 512;

/// Which bound a request does not keep, in a sentence for whoever made it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfBounds {
    /// More hints than a decision keeps.
    #[error("{0} hints are given, and at most {HINTS} are allowed; leave some out")]
    Hints(usize),
    /// A hint's key is too long; it is not repeated, for it may be megabytes.
    #[error("the key of hint {at} has {bytes} bytes, and at most {HINT_KEY} are allowed")]
    HintKey {
        /// Which hint, counted from 1.
        at: usize,
        /// Its key's length.
        bytes: usize,
    },
    /// A hint's value is too long.
    #[error("the value of hint {at} has {bytes} bytes, and at most {HINT_VALUE} are allowed")]
    HintValue {
        /// Which hint, counted from 1.
        at: usize,
        /// Its value's length.
        bytes: usize,
    },
    /// Two hints have one key, and policies in different languages would take different ones.
    #[error("hint {at} has the key of an earlier one; give each key once")]
    HintTwice {
        /// Which hint, counted from 1.
        at: usize,
    },
    /// Each hint is short enough, and all of them are not.
    #[error("the hints have {0} bytes together, and at most {HINT_BYTES} are allowed")]
    HintBytes(usize),
    /// The instance's name is too long.
    #[error("the instance's name has {0} bytes, and at most {INSTANCE_NAME} are allowed")]
    InstanceName(usize),
    /// A purpose in the caller's own words is too long.
    #[error("the purpose has {0} bytes, and at most {PURPOSE} are allowed")]
    Purpose(usize),
    /// Nothing is asked for.
    #[error("no disk is named, so there is nothing to attach; name at least one")]
    NoDisks,
    /// More disks than a guest can have.
    #[error("{0} disks are asked for, and at most {DISKS} are allowed in one request")]
    Disks(usize),
    /// One volume stands in the request more than once.
    #[error("{pool}/{volume} is asked for twice in one request; name each volume once")]
    Twice {
        /// The pool's name.
        pool: PoolName,
        /// The volume's name in it.
        volume: VolumeName,
    },
}

impl OutOfBounds {
    /// The code that programs match on, in kebab case. `twice` is also a refusal of the daemon's:
    /// of a volume that two names lead to.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::HintTwice { .. } => "hint-twice",
            Self::Hints(_) | Self::HintKey { .. } | Self::HintValue { .. } | Self::HintBytes(_) => {
                "hints-too-large"
            }
            Self::InstanceName(_) => "name-too-long",
            Self::Purpose(_) => "purpose-too-long",
            Self::NoDisks => "no-disks",
            Self::Disks(_) => "too-many-disks",
            Self::Twice { .. } => "twice",
        }
    }
}

impl From<OutOfBounds> for Problem {
    fn from(bound: OutOfBounds) -> Self {
        let kind = match bound {
            // As before there were bounds: a refusal with this code.
            OutOfBounds::Twice { .. } => ProblemCode::Refused,
            _ => ProblemCode::BadRequest,
        };
        Self {
            kind: kind.into(),
            code: bound.code().to_owned(),
            message: bound.to_string(),
            details: Vec::new(),
            retry_after_ms: None,
            request: None,
        }
    }
}

impl AttachRequest {
    /// Whether the request keeps all bounds.
    ///
    /// # Errors
    /// [`OutOfBounds`]: the first that it does not keep.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        hints(&self.hints)?;
        if self.instance_name.len() > INSTANCE_NAME {
            return Err(OutOfBounds::InstanceName(self.instance_name.len()));
        }
        if let Purpose::Other(word) = &self.purpose
            && word.len() > PURPOSE
        {
            return Err(OutOfBounds::Purpose(word.len()));
        }
        match self.disks.len() {
            0 => return Err(OutOfBounds::NoDisks),
            n if n > DISKS => return Err(OutOfBounds::Disks(n)),
            _ => {}
        }
        let mut named = BTreeSet::new();
        for disk in &self.disks {
            if !named.insert((&disk.pool, &disk.volume)) {
                return Err(OutOfBounds::Twice {
                    pool: disk.pool.clone(),
                    volume: disk.volume.clone(),
                });
            }
        }
        Ok(())
    }
}

/// Whether hints keep their bounds: for the hook, which has them before it has a request.
///
/// # Errors
/// [`OutOfBounds`]: the first bound that they do not keep.
pub fn hints(hints: &[(String, String)]) -> Result<(), OutOfBounds> {
    if hints.len() > HINTS {
        return Err(OutOfBounds::Hints(hints.len()));
    }
    let mut keys = BTreeSet::new();
    for (at, (key, value)) in (1..).zip(hints) {
        if key.len() > HINT_KEY {
            let bytes = key.len();
            return Err(OutOfBounds::HintKey { at, bytes });
        }
        if value.len() > HINT_VALUE {
            let bytes = value.len();
            return Err(OutOfBounds::HintValue { at, bytes });
        }
        if !keys.insert(key) {
            return Err(OutOfBounds::HintTwice { at });
        }
    }
    let together = hints.iter().map(|(key, value)| key.len() + value.len());
    match together.sum() {
        bytes if bytes > HINT_BYTES => Err(OutOfBounds::HintBytes(bytes)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use volward_model::Access;

    use super::*;
    use crate::attach::{DiskPath, DiskRequest};

    fn request(disks: usize) -> AttachRequest {
        let disks = (0..disks).map(|n| DiskRequest {
            pool: "vg0".parse().unwrap(),
            volume: format!("d{n}").parse().unwrap(),
            path: DiskPath::Own,
            access: Access::ReadWrite,
            sharing: None,
            accept_narrowing: false,
        });
        AttachRequest {
            instance: "11111111-2222-3333-4444-555555555555".parse().unwrap(),
            instance_name: "w".repeat(INSTANCE_NAME),
            purpose: Purpose::Other("p".repeat(PURPOSE)),
            hints: Vec::new(),
            disks: disks.collect(),
            dry_run: false,
            only_while_waiting: false,
        }
    }

    /// So many hints of these lengths, each with another key.
    fn given(count: usize, key: usize, value: usize) -> Vec<(String, String)> {
        let hint = |n| (format!("{n:0key$}"), "v".repeat(value));
        (0..count).map(hint).collect()
    }

    #[test]
    fn what_reaches_a_bound_is_in_it_and_one_more_is_not() {
        assert_eq!(request(DISKS).check(), Ok(()));
        assert_eq!(request(DISKS + 1).check(), Err(OutOfBounds::Disks(513)));
        assert_eq!(request(0).check(), Err(OutOfBounds::NoDisks));
        let mut longer = request(1);
        longer.instance_name.push('w');
        assert_eq!(longer.check(), Err(OutOfBounds::InstanceName(257)));
        let mut longer = request(1);
        longer.purpose = Purpose::Other("p".repeat(PURPOSE + 1));
        assert_eq!(longer.check(), Err(OutOfBounds::Purpose(65)));
        let mut twice = request(2);
        twice.disks[1].volume = twice.disks[0].volume.clone();
        // Another access does not make it another volume.
        twice.disks[1].access = Access::ReadOnly;
        let said = twice.check().unwrap_err();
        assert_eq!(
            said.to_string(),
            "vg0/d0 is asked for twice in one request; name each volume once"
        );
        assert_eq!(Problem::from(said).http_status(), 409);
    }

    #[test]
    fn a_key_is_given_once() {
        let twice = [given(2, 3, 1), given(1, 3, 2)].concat();
        let said = hints(&twice).unwrap_err();
        assert_eq!(
            (said.clone(), said.code()),
            (OutOfBounds::HintTwice { at: 3 }, "hint-twice")
        );
    }

    #[test]
    fn hints_are_bounded_each_and_together() {
        assert_eq!(hints(&given(64, 64, 192)), Ok(()));
        for (given, said) in [
            (given(65, 2, 1), OutOfBounds::Hints(65)),
            (
                [given(1, 1, 1), given(1, 65, 1)].concat(),
                OutOfBounds::HintKey { at: 2, bytes: 65 },
            ),
            (
                given(1, 1, 1_025),
                OutOfBounds::HintValue {
                    at: 1,
                    bytes: 1_025,
                },
            ),
            (given(16, 64, 1_024), OutOfBounds::HintBytes(16 * 1_088)),
        ] {
            assert_eq!(hints(&given), Err(said.clone()));
            let problem = Problem::from(said);
            assert_eq!(
                (problem.code.as_str(), problem.http_status()),
                ("hints-too-large", 400)
            );
            assert!(problem.message.len() < 120, "{problem}");
        }
    }
}
