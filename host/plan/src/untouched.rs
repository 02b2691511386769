//! What a write-back need not move: regions of which nothing is in the copy.
//!
//! A region that is not in the forward clone's destination is read from its source, which is the shared volume itself.
//! Nobody has written to it through the clone, or it would be in the destination; so the reverse clone would read it from the
//! shared volume and write it there again. A region that is in the destination is always written back: that it was only
//! hydrated, and never written, is nothing the clone knows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use volward_model::{CloneMode, CloneStatus, RegionMap, Sectors};

/// So many runs of regions are passed over at most, the longest: each is a call, and a small one saves little.
pub const MOST_RUNS: usize = 65_536;

/// Why nothing is passed over: the metadata does not say beyond doubt what is in the copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untold {
    /// Its metadata failed once, or cannot be written.
    #[error("its metadata is not writable")]
    Broken,
    /// What is there may change at any moment.
    #[error("it still copies")]
    Copying,
    /// The metadata is another clone's.
    #[error("its metadata is of {of} regions of {region} sectors, and it has {total} of {expected}", region = .region.0, expected = .expected.0)]
    Another {
        /// Regions, as the metadata says.
        of: u64,
        /// Their size, as the metadata says.
        region: Sectors,
        /// Regions, as the kernel says.
        total: u64,
        /// Their size, as the kernel says.
        expected: Sectors,
    },
    /// The metadata is not the latest.
    #[error("its metadata has {metadata} regions in the copy, and the kernel {kernel}")]
    Behind {
        /// Regions in the copy, as the metadata says.
        metadata: u64,
        /// The same, as the kernel says.
        kernel: u64,
    },
}

/// The regions that are not in the copy, in runs; the last one is left out where it is shorter than the others, for
/// discards of less than a region do nothing.
///
/// The kernel only ever adds regions, in memory first and in the metadata afterwards. So the metadata has no region that the
/// kernel has not, and where both count the same, they have the same.
///
/// # Errors
/// [`Untold`] where the forward clone's status and the map do not prove each other.
pub fn untouched(status: &CloneStatus, map: &RegionMap) -> Result<Vec<Range<u64>>, Untold> {
    if status.mode != CloneMode::ReadWrite {
        return Err(Untold::Broken);
    }
    if status.hydrating || status.in_flight != 0 {
        return Err(Untold::Copying);
    }
    if (map.total(), map.region()) != (status.total, status.region) {
        return Err(Untold::Another {
            of: map.total(),
            region: map.region(),
            total: status.total,
            expected: status.region,
        });
    }
    if map.hydrated() != status.hydrated {
        return Err(Untold::Behind {
            metadata: map.hydrated(),
            kernel: status.hydrated,
        });
    }
    let mut longest = Longest::default();
    for region in (0..map.full()).filter(|region| !map.has(*region)) {
        longest.add(region);
    }
    Ok(longest.into_runs())
}

/// The longest runs so far. A clone of some hundred GiB may have tens of millions.
#[derive(Default)]
struct Longest {
    /// The one that goes on.
    last: Option<Range<u64>>,
    /// The shortest first.
    kept: BinaryHeap<Reverse<(u64, u64)>>,
}

impl Longest {
    fn add(&mut self, region: u64) {
        match &mut self.last {
            Some(run) if run.end == region => run.end += 1,
            last => {
                let ended = last.replace(region..region + 1);
                self.keep(ended);
            }
        }
    }

    fn keep(&mut self, ended: Option<Range<u64>>) {
        if let Some(run) = ended {
            self.kept.push(Reverse((run.end - run.start, run.start)));
        }
        if self.kept.len() > MOST_RUNS {
            self.kept.pop();
        }
    }

    fn into_runs(mut self) -> Vec<Range<u64>> {
        let last = self.last.take();
        self.keep(last);
        let mut runs: Vec<Range<u64>> = self
            .kept
            .into_iter()
            .map(|Reverse((length, start))| start..start + length)
            .collect();
        runs.sort_by_key(|run| run.start);
        runs
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn status(map: &RegionMap) -> CloneStatus {
        CloneStatus {
            region: map.region(),
            hydrated: map.hydrated(),
            total: map.total(),
            in_flight: 0,
            hydrating: false,
            mode: CloneMode::ReadWrite,
        }
    }

    fn map(size: u64, hydrated: &BTreeSet<u64>) -> RegionMap {
        let total = size.div_ceil(128);
        let mut words = vec![0u64; usize::try_from(total.div_ceil(64)).unwrap()];
        for region in hydrated.iter().filter(|region| **region < total) {
            words[usize::try_from(region / 64).unwrap()] |= 1 << (region % 64);
        }
        RegionMap::new(Sectors(128), Sectors(size), words).unwrap()
    }

    proptest! {
        #[test]
        fn i24_no_region_that_was_written_is_passed_over(
            size in 1u64..128 * 700,
            written in proptest::collection::btree_set(0u64..700, 0..400),
        ) {
            let map = map(size, &written);
            let runs = untouched(&status(&map), &map).unwrap();
            let passed: Vec<u64> = runs.into_iter().flatten().collect();
            let is_full = |region: &u64| (region + 1) * 128 <= size;
            for region in 0..size.div_ceil(128) {
                let expected = !written.contains(&region) && is_full(&region);
                prop_assert_eq!(passed.contains(&region), expected, "{}", region);
            }
            // Each once, and none behind the end.
            prop_assert_eq!(passed.iter().collect::<BTreeSet<_>>().len(), passed.len());
            prop_assert!(passed.iter().all(is_full));
        }

        #[test]
        fn i24_metadata_that_lacks_any_region_passes_nothing_over(
            written in proptest::collection::btree_set(0u64..700, 1..400),
            lost in any::<prop::sample::Index>(),
        ) {
            let kernel = status(&map(128 * 700, &written));
            let mut behind = written.clone();
            let lost = *lost.get(&written.iter().copied().collect::<Vec<_>>());
            behind.remove(&lost);
            let told = untouched(&kernel, &map(128 * 700, &behind));
            prop_assert!(matches!(told, Err(Untold::Behind { .. })), "{told:?}");
        }
    }

    #[test]
    fn i24_what_may_change_or_is_anothers_passes_nothing_over() {
        let map = map(128 * 100, &BTreeSet::from([3, 7]));
        let good = status(&map);
        assert!(untouched(&good, &map).is_ok());
        for (bad, why) in [
            (
                CloneStatus {
                    hydrating: true,
                    ..good
                },
                Untold::Copying,
            ),
            (
                CloneStatus {
                    in_flight: 1,
                    ..good
                },
                Untold::Copying,
            ),
            (
                CloneStatus {
                    mode: CloneMode::ReadOnly,
                    ..good
                },
                Untold::Broken,
            ),
            (
                CloneStatus {
                    mode: CloneMode::Fail,
                    ..good
                },
                Untold::Broken,
            ),
        ] {
            assert_eq!(untouched(&bad, &map), Err(why));
        }
        for bad in [
            CloneStatus { total: 101, ..good },
            CloneStatus {
                region: Sectors(256),
                ..good
            },
        ] {
            let told = untouched(&bad, &map);
            assert!(matches!(told, Err(Untold::Another { .. })), "{told:?}");
        }
    }

    #[test]
    fn of_very_many_runs_the_longest_count() {
        let regions = 4 * (MOST_RUNS as u64 + 100);
        // Every fourth is written, and in the first half every second.
        let written = (0..regions).filter(|r| r % 4 == 0 || (r % 2 == 0 && *r < regions / 2));
        let map = map(128 * regions, &written.collect());
        let runs = untouched(&status(&map), &map).unwrap();
        assert_eq!(runs.len(), MOST_RUNS);
        let long = runs.iter().filter(|run| run.end - run.start == 3).count() as u64;
        assert_eq!(long, regions / 8);
    }
}
