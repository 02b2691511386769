//! A figure: what was measured, against what, and whether that is as it should be.

use serde::{Deserialize, Serialize};

/// Pairs of samples in seconds, as `volward-bench` answers them.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Pairs {
    pub(crate) ours: Vec<f64>,
    pub(crate) base: Vec<f64>,
}

/// How samples are spread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
}

/// In what samples are shown; they are kept in the basic unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unit {
    /// Seconds, shown in microseconds.
    Microseconds,
    /// Seconds, shown in milliseconds.
    Milliseconds,
    /// A part of one, shown in percent.
    Percent,
    /// Bytes, shown in MiB.
    Mebibytes,
    /// Bytes a second, shown in MiB a second.
    MebibytesPerSecond,
}

impl Unit {
    /// The number to show, and what follows it.
    pub(crate) fn show(self, value: f64) -> String {
        let mebi = 1024.0 * 1024.0;
        match self {
            Self::Microseconds => format!("{:.1} µs", value * 1e6),
            Self::Milliseconds => format!("{:.1} ms", value * 1e3),
            Self::Percent => format!("{:.1} %", value * 100.0),
            Self::Mebibytes => format!("{:.1} MiB", value / mebi),
            Self::MebibytesPerSecond => format!("{:.1} MiB/s", value / mebi),
        }
    }
}

/// One line of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) what: String,
    /// What it was compared with; empty where it stands alone.
    pub(crate) against: &'static str,
    /// Samples, or pairs of them.
    pub(crate) n: usize,
    pub(crate) unit: Unit,
    pub(crate) ours: Spread,
    pub(crate) base: Option<Spread>,
    /// Median of the pairs' ratios.
    pub(crate) ratio: Option<f64>,
    /// Ours to the other's, each at its 90th percentile.
    pub(crate) ratio_p90: Option<f64>,
    /// The ratio is to be this or less.
    pub(crate) goal: Option<f64>,
    /// The median is to be this or less, in the basic unit; where there is no ratio.
    pub(crate) most: Option<f64>,
}

impl Figure {
    /// A figure of pairs measured in turn: its ratio is the median of the pairs' own ratios.
    pub(crate) fn pairs(
        what: impl Into<String>,
        against: &'static str,
        unit: Unit,
        pairs: &Pairs,
        goal: Option<f64>,
    ) -> Self {
        let (ours, base) = (Spread::of(&pairs.ours), Spread::of(&pairs.base));
        let ratios: Vec<f64> = pairs
            .ours
            .iter()
            .zip(&pairs.base)
            .map(|(ours, base)| ours / base)
            .collect();
        Self {
            what: what.into(),
            against,
            n: ratios.len(),
            unit,
            ours,
            base: Some(base),
            ratio: Some(Spread::of(&ratios).median),
            ratio_p90: Some(ours.p90 / base.p90),
            goal,
            most: None,
        }
    }

    /// Of samples that are compared with nothing.
    pub(crate) fn alone(what: impl Into<String>, unit: Unit, samples: &[f64]) -> Self {
        Self {
            what: what.into(),
            against: "",
            n: samples.len(),
            unit,
            ours: Spread::of(samples),
            base: None,
            ratio: None,
            ratio_p90: None,
            goal: None,
            most: None,
        }
    }

    /// Of one value that is to be `most` or less.
    pub(crate) fn bounded(what: impl Into<String>, unit: Unit, value: f64, most: f64) -> Self {
        Self {
            most: Some(most),
            ..Self::alone(what, unit, &[value])
        }
    }

    /// Whether the goal was reached; `None` where there is none.
    pub(crate) fn met(&self) -> Option<bool> {
        let ratio = self.ratio.zip(self.goal);
        let (value, limit) = ratio.or(Some(self.ours.median).zip(self.most))?;
        Some(value <= limit)
    }
}

impl Spread {
    pub(crate) fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self {
            median: percentile(&sorted, 50),
            p90: percentile(&sorted, 90),
            p99: percentile(&sorted, 99),
        }
    }
}

/// Nearest rank in sorted figures.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let ten: Vec<f64> = (1..=10).map(f64::from).collect();
        assert_eq!(percentile(&ten, 50), 5.0);
        assert_eq!(percentile(&ten, 90), 9.0);
        assert_eq!(percentile(&[7.0], 90), 7.0);
    }

    #[test]
    fn a_ratio_is_the_median_of_the_pairs_ratios() {
        // One slow moment of the machine hits both of a pair, or one.
        let pairs = Pairs {
            ours: vec![1.2, 12.0, 1.2, 9.0, 1.2],
            base: vec![1.0, 10.0, 1.0, 1.0, 1.0],
        };
        let figure = Figure::pairs("a", "b", Unit::Milliseconds, &pairs, Some(1.2));
        assert_eq!((figure.ratio, figure.n), (Some(1.2), 5));
        assert_eq!(figure.met(), Some(true));
        let strict = Figure {
            goal: Some(1.1),
            ..figure
        };
        assert_eq!(strict.met(), Some(false));
        let alone = Figure::alone("a", Unit::Mebibytes, &[1.0]);
        assert_eq!(alone.met(), None);
        for (value, met) in [(2.0, true), (-1.0, true), (2.5, false)] {
            let bounded = Figure::bounded("a", Unit::Mebibytes, value, 2.0);
            assert_eq!(bounded.met(), Some(met));
        }
    }
}
