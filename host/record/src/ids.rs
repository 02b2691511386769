//! Identifiers. Identity is a UUID; names are for people and change (I12).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not an identifier; the sentence names what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not {expected}")]
pub struct ParseIdError {
    /// The text that was given.
    pub value: String,
    /// What it should have been.
    pub expected: &'static str,
}

fn not(value: &str, expected: &'static str) -> ParseIdError {
    ParseIdError {
        value: value.chars().take(80).collect(),
        expected,
    }
}

/// An LVM UUID: 32 characters of `[0-9A-Za-z!#]`, shown in groups of 6-4-4-4-4-4-6.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LvmUuid([u8; 32]);

impl LvmUuid {
    const GROUPS: [usize; 7] = [6, 4, 4, 4, 4, 4, 6];

    /// The 32 characters without dashes, as device-mapper UUIDs hold them.
    #[must_use]
    pub fn compact(&self) -> &str {
        // Checked to be ASCII when made.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// A made-up one for a scenario's disk or pool: the word, zeros, the number.
    pub(crate) fn numbered(word: &str, n: usize) -> Self {
        let mut out = [b'0'; 32];
        let number = n.to_string();
        // A word of ours is a few letters, a number 20 digits at most.
        for (place, byte) in out.iter_mut().zip(word.bytes()) {
            *place = byte;
        }
        for (place, byte) in out.iter_mut().rev().zip(number.bytes().rev()) {
            *place = byte;
        }
        Self(out)
    }
}

impl FromStr for LvmUuid {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let expected = "an LVM UUID (32 letters and digits, with or without dashes)";
        let mut out = [0u8; 32];
        let mut len = 0;
        for byte in text.bytes().filter(|b| *b != b'-') {
            let legal = byte.is_ascii_alphanumeric() || byte == b'!' || byte == b'#';
            if !legal || len == out.len() {
                return Err(not(text, expected));
            }
            out[len] = byte;
            len += 1;
        }
        if len == out.len() {
            Ok(Self(out))
        } else {
            Err(not(text, expected))
        }
    }
}

impl fmt::Display for LvmUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.compact();
        for (n, len) in Self::GROUPS.into_iter().enumerate() {
            let (group, tail) = rest.split_at(len);
            if n > 0 {
                f.write_str("-")?;
            }
            f.write_str(group)?;
            rest = tail;
        }
        Ok(())
    }
}

impl fmt::Debug for LvmUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Serde by way of `Display` and `FromStr`; the pattern is for the published schema.
macro_rules! serde_as_text {
    ($name:ty, $pattern:literal) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
        #[cfg(test)]
        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

serde_as_text!(LvmUuid, "^(-*[0-9A-Za-z!#]){32}-*$");

/// The UUID of a volume group.
pub type VgUuid = LvmUuid;
/// The UUID of a logical volume.
pub type LvUuid = LvmUuid;

/// A volume's identity: volume group and logical volume, written `VG:LV`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeId {
    /// The pool's volume group.
    pub vg: VgUuid,
    /// The logical volume.
    pub lv: LvUuid,
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.vg, self.lv)
    }
}

impl FromStr for VolumeId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let (vg, lv) = text
            .split_once(':')
            .ok_or_else(|| not(text, "a volume id (VG uuid:LV uuid)"))?;
        Ok(Self {
            vg: vg.parse()?,
            lv: lv.parse()?,
        })
    }
}
serde_as_text!(
    VolumeId,
    "^(-*[0-9A-Za-z!#]){32}-*:(-*[0-9A-Za-z!#]){32}-*$"
);

/// A virtual machine: its libvirt domain UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct InstanceId(pub Uuid);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl FromStr for InstanceId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        Uuid::parse_str(text)
            .map(Self)
            .map_err(|_| not(text, "an instance UUID"))
    }
}

/// One request to the daemon, from the client's call to the decision record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct RequestId(pub Uuid);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl FromStr for RequestId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        Uuid::parse_str(text)
            .map(Self)
            .map_err(|_| not(text, "a request id (UUID)"))
    }
}

/// A name that LVM accepts (`lvm(8)`, VALID NAMES): `[A-Za-z0-9+_.-]`, not starting with `-`.
fn lvm_name(text: &str, expected: &'static str) -> Result<String, ParseIdError> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"+_.-".contains(&b);
    let fine = !text.is_empty()
        && text.len() <= 127
        && !text.starts_with('-')
        && text != "."
        && text != ".."
        && text.bytes().all(legal);
    if fine {
        Ok(text.to_owned())
    } else {
        Err(not(text, expected))
    }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// One of our own making, whose letters are known to be right.
            #[allow(dead_code, reason = "not every kind of name has a default")]
            pub(crate) fn fixed(text: &str) -> Self {
                debug_assert!(text.parse::<Self>().is_ok(), "{text}");
                Self(text.to_owned())
            }
        }
        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                lvm_name(text, $expected).map(Self)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
        serde_as_text!($name, "^[0-9A-Za-z+_.][0-9A-Za-z+_.-]{0,126}$");
    };
}

name_type!(
    /// A pool's name: the name of its volume group.
    PoolName,
    "a pool name (letters, digits and +_.- as LVM allows)"
);
name_type!(
    /// A volume's name within its pool: the name of its logical volume.
    VolumeName,
    "a volume name (letters, digits and +_.- as LVM allows)"
);
name_type!(
    /// A node's name; it stands in LVM tags, so it keeps to LVM's letters.
    NodeName,
    "a node name (letters, digits and +_.-)"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lvm_uuid_reads_both_forms_and_shows_dashes() {
        let text = "Vh1Vvv-0ZJ1-3vW2-D1hu-jmXc-kG4d-yW9fXK";
        let a: LvmUuid = text.parse().unwrap();
        let b: LvmUuid = text.replace('-', "").parse().unwrap();
        assert_eq!(a, b);
        assert_eq!(a.to_string(), text);
        assert_eq!(a.compact().len(), 32);
    }

    #[test]
    fn lvm_uuid_refuses_what_is_not_one() {
        for bad in ["", "abc", &"a".repeat(33), &format!("{}/", "a".repeat(31))] {
            assert!(bad.parse::<LvmUuid>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_refuse_paths_and_options() {
        for bad in ["", "..", "a/b", "-y", "a b", "ä", &"x".repeat(128)] {
            let error = bad.parse::<VolumeName>().unwrap_err();
            assert!(error.to_string().contains("volume name"), "{error}");
        }
        assert!("vm-100_disk.0+a".parse::<VolumeName>().is_ok());
    }

    #[test]
    fn volume_id_round_trips_through_json() {
        let id = VolumeId {
            vg: "a".repeat(32).parse().unwrap(),
            lv: "b".repeat(32).parse().unwrap(),
        };
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<VolumeId>(&json).unwrap(), id);
    }
}
