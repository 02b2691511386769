//! The configuration, read and checked.

use volward_sdk::{CopyMode, Problem, config};

/// Every key there is.
const KEYS: [&str; 7] = [
    "mode",
    "min-size",
    "max-size",
    "reserve",
    "hours",
    "in-flight",
    "batch",
];

/// What the configuration says.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How copies are made: `mode = "background"` (default), `"writes-only"` or `"before-start"`.
    pub mode: CopyMode,
    /// Smaller volumes are left in the pool: `min-size = "1GiB"`, none by default.
    pub min_size: u64,
    /// Bigger volumes too: `max-size = "500GiB"`, unlimited by default.
    pub max_size: u64,
    /// What stays free in the local pool, dm-clone's metadata included: `reserve = "20GiB"`, 1 GiB
    /// by default.
    pub reserve: u64,
    /// The node's local hours in which copies are proposed: `hours = "22-6"`, the last one not
    /// included; always by default.
    pub hours: Hours,
    /// `in-flight = "16MiB"`: at most this much being copied at once.
    pub in_flight: Option<u64>,
    /// `batch = "1MiB"`: at most this much in one batch.
    pub batch: Option<u64>,
}

/// A part of the day, perhaps over midnight. From and to the same hour is the whole day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hours {
    from: u8,
    to: u8,
}

impl Hours {
    /// The whole day.
    pub const ALWAYS: Self = Self { from: 0, to: 0 };

    /// Whether an hour of the day is among them.
    #[must_use]
    pub fn contain(self, hour: u8) -> bool {
        if self.from < self.to {
            (self.from..self.to).contains(&hour)
        } else {
            hour >= self.from || hour < self.to
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let hour = |text: &str, most: u8| text.trim().parse().ok().filter(|h: &u8| *h <= most);
        Some(Self {
            from: hour(from, 23)?,
            to: hour(to, 24)? % 24,
        })
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: CopyMode::Background,
            min_size: 0,
            max_size: u64::MAX,
            reserve: 1 << 30,
            hours: Hours::ALWAYS,
            in_flight: None,
            batch: None,
        }
    }
}

impl Settings {
    /// Reads the configuration. What is wrong keeps its default and is among the problems.
    #[must_use]
    pub fn read() -> (Self, Vec<Problem>) {
        let mut read = config::Reader::new(&KEYS);
        let default = Self::default();
        let modes = [
            ("background", CopyMode::Background),
            ("writes-only", CopyMode::WritesOnly),
            ("before-start", CopyMode::BeforeStart),
        ];
        let hours = read.parsed("hours", "hours of the day such as \"22-6\"", Hours::parse);
        let settings = Self {
            mode: read.choice("mode", &modes).unwrap_or(default.mode),
            min_size: read.size("min-size").unwrap_or(default.min_size),
            max_size: read.size("max-size").unwrap_or(default.max_size),
            reserve: read.size("reserve").unwrap_or(default.reserve),
            hours: hours.unwrap_or(default.hours),
            in_flight: read.size("in-flight"),
            batch: read.size("batch"),
        };
        if settings.min_size > settings.max_size {
            let message = "is more than max-size: no volume would ever be copied";
            read.problem("min-size", message);
        }
        (settings, read.problems())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_go_over_midnight() {
        let night = Hours::parse("22-6").unwrap();
        let day = Hours::parse("6-22").unwrap();
        for hour in 0..24 {
            assert_ne!(night.contain(hour), day.contain(hour), "{hour}");
            assert!(Hours::parse("0-24").unwrap().contain(hour));
        }
        assert!(night.contain(22) && night.contain(5) && !night.contain(6));
        assert_eq!(Hours::parse("24-6"), None);
    }

    #[test]
    fn problems_name_the_key_and_what_was_expected() {
        config::set_for_test(&[
            ("reserv", "1GiB"),
            ("mode", "all"),
            ("min-size", "2"),
            ("max-size", "1"),
        ]);
        let (_, problems) = Settings::read();
        let said: Vec<String> = problems
            .iter()
            .map(|p| format!("{}: {}", p.key, p.message))
            .collect();
        assert_eq!(
            said,
            [
                "reserv: unknown key; did you mean \"reserve\"?",
                "mode: \"all\" is not \"background\", \"writes-only\" or \"before-start\"",
                "min-size: is more than max-size: no volume would ever be copied",
            ]
        );
    }

    #[test]
    fn nothing_needs_to_be_configured() {
        assert_eq!(Settings::read(), (Settings::default(), Vec::new()));
    }
}
