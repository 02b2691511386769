//! Which regions of a clone are in its destination.

use crate::units::Sectors;

/// A clone's regions, a bit each, as its metadata has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionMap {
    region: Sectors,
    size: Sectors,
    words: Vec<u64>,
}

impl RegionMap {
    /// Of a clone of that size, in sectors of 512 bytes, with regions of that size: region `n` is bit `n % 64` of word
    /// `n / 64`, set where the region is in the destination. `None` where the words are not as many as the regions
    /// need, or have bits behind the last one.
    #[must_use]
    pub fn new(region: Sectors, size: Sectors, words: Vec<u64>) -> Option<Self> {
        let total = (region.0 > 0).then(|| size.0.div_ceil(region.0))?;
        let last = match total % 64 {
            0 => u64::MAX,
            bits => (1 << bits) - 1,
        };
        let fits = words.len() as u64 == total.div_ceil(64);
        let ends = words.last().is_some_and(|word| word & !last == 0);
        (fits && ends).then_some(Self {
            region,
            size,
            words,
        })
    }

    /// Size of a region.
    #[must_use]
    pub fn region(&self) -> Sectors {
        self.region
    }

    /// How many regions there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.size.0.div_ceil(self.region.0)
    }

    /// How many of them have the full size: all, or all but the last.
    #[must_use]
    pub fn full(&self) -> u64 {
        self.size.0 / self.region.0
    }

    /// How many regions are in the destination.
    #[must_use]
    pub fn hydrated(&self) -> u64 {
        self.words.iter().map(|w| u64::from(w.count_ones())).sum()
    }

    /// Whether a region is in the destination; one that there is none of is not.
    #[must_use]
    pub fn has(&self, region: u64) -> bool {
        let word = usize::try_from(region / 64).ok();
        let word = word.and_then(|at| self.words.get(at));
        word.is_some_and(|word| (word >> (region % 64)) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_has_a_bit_for_each_region_and_none_more() {
        let map = |size, words: &[u64]| RegionMap::new(Sectors(128), Sectors(size), words.to_vec());
        // 65 regions, of which the last is a single sector.
        let odd = map(64 * 128 + 1, &[1 << 63 | 1, 1]).unwrap();
        assert_eq!((odd.total(), odd.full(), odd.hydrated()), (65, 64, 3));
        let has: Vec<u64> = (0..200).filter(|region| odd.has(*region)).collect();
        assert_eq!(has, [0, 63, 64]);
        assert_eq!(
            map(64 * 128 + 1, &[0, 2]),
            None,
            "a region that there is none of"
        );
        assert_eq!(map(64 * 128 + 1, &[0]), None);
        assert_eq!(map(64 * 128, &[0, 0]), None);
        assert_eq!(map(0, &[]), None);
        assert_eq!(RegionMap::new(Sectors(0), Sectors(8), vec![0]), None);
        assert!(map(64 * 128, &[u64::MAX]).is_some());
    }
}
