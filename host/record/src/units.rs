//! Amounts of storage. A number without a unit has cost others their data.

use std::fmt;
use std::ops::Add;

use serde::{Deserialize, Serialize};

/// An amount of storage in bytes; serialised as a plain number.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// Device-mapper's unit: 512 bytes, whatever the device's own block size is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Sectors(pub u64);

impl Bytes {
    /// `n` KiB.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// `n` MiB.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// Whole sectors; `None` if the amount is not a multiple of 512.
    #[must_use]
    pub fn sectors(self) -> Option<Sectors> {
        self.0.is_multiple_of(512).then_some(Sectors(self.0 / 512))
    }
}

impl Sectors {
    /// The same amount in bytes.
    #[must_use]
    pub fn bytes(self) -> Bytes {
        Bytes(self.0 * 512)
    }
}

impl Add for Bytes {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl fmt::Display for Bytes {
    /// For people: binary units with one decimal where it is not a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return f.pad(&format!("{} B", self.0));
        }
        let exponent = (self.0.ilog2() / 10) as usize;
        let unit = 1u64 << (exponent * 10);
        let text = if self.0.is_multiple_of(unit) {
            format!("{} {}", self.0 / unit, UNITS[exponent - 1])
        } else {
            // Tenths by integer arithmetic: u64 does not fit f64 without loss.
            let tenths = u128::from(self.0) * 10 / u128::from(unit);
            format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[exponent - 1])
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_binary_units() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1 << 10, "1 KiB"),
            (1536, "1.5 KiB"),
            (5 << 30, "5 GiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn sectors_are_whole_or_none() {
        assert_eq!(Bytes(1024).sectors(), Some(Sectors(2)));
        assert_eq!(Bytes(1025).sectors(), None);
        assert_eq!(Sectors(2).bytes(), Bytes(1024));
    }
}
