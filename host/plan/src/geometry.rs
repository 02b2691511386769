//! dm-clone's numbers: region size, metadata size, knobs.

use volward_model::{Bytes, CopyPlan, Sectors, VolumeInfo};

use crate::refusal::{Refusal, RefusalCode};

/// Region and knobs of one clone, in the kernel's units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloneGeometry {
    /// Copied as one piece; a power of two.
    pub region: Sectors,
    /// Regions being copied at once, at most; at least 1: with 0 nothing ever hydrates.
    pub threshold: u32,
    /// Regions in one copy; at least 1.
    pub batch: u32,
}

impl CloneGeometry {
    /// The same amounts for regions of that size: those of a clone that an earlier version made.
    #[must_use]
    pub fn with_region(self, region: Sectors) -> Self {
        let scaled = |regions: u32| {
            let bytes = u64::from(regions) * self.region.bytes().0;
            let regions = (bytes / region.bytes().0.max(1)).max(1);
            u32::try_from(regions).unwrap_or(u32::MAX)
        };
        Self {
            region,
            threshold: scaled(self.threshold),
            batch: scaled(self.batch),
        }
    }

    /// Regions in flight at least, where these are the most.
    pub(crate) fn least(&self) -> u32 {
        let least = LEAST_IN_FLIGHT.0 / self.region.bytes().0.max(1);
        u32::try_from(least)
            .unwrap_or(u32::MAX)
            .clamp(1, self.threshold)
    }
}

/// 4 KiB, which file systems write at least: a write of a whole region copies nothing first. With 64 KiB each first write to a
/// region waited for the LUN, and the slowest in a hundred took six times as long as on a volume without a copy.
const SMALLEST_REGION: Bytes = Bytes::kib(4);
/// Up to this size a region grows, so that the kernel, which reads the bit of each when it loads a clone, does so in a moment: then
/// the number of regions does. Hydration is as quick with it as with larger ones.
const USUAL_REGION: Bytes = Bytes::kib(64);
/// So many regions a clone has, until they are [`USUAL_REGION`] large: 8 MiB of bits, and 256 GiB in regions of 4 KiB.
const USUAL_REGIONS: u64 = 1 << 26;
/// The kernel's own upper limit (`MAX_REGION_SIZE`, dm-clone-target.c): 2^21 sectors.
const LARGEST_REGION: Bytes = Bytes::mib(1024);
/// The kernel's limit on the number of regions (I21).
const MOST_REGIONS: u64 = 1 << 31;
/// In flight unless a grant says otherwise. That is the most: while the guest's own I/O suffers it is
/// less ([`Pace`](crate::Pace)). 256 regions; each of many copies at once may take so much memory.
const DEFAULT_IN_FLIGHT: Bytes = Bytes::mib(16);
/// In flight when a clone is loaded, unless less is granted, and at least from then on. Beside a guest that always has
/// I/O in flight dm-clone begins to copy once a second, and copies so much: less, and a large volume takes days.
pub(crate) const LEAST_IN_FLIGHT: Bytes = Bytes::mib(1);
/// As many pieces are on their way at once; with one only, each disk waits for the other.
const PIECES_AT_ONCE: u32 = 4;
/// In one piece unless a grant says otherwise: large enough for a disk to read it in one go.
const DEFAULT_BATCH: Bytes = Bytes::mib(4);
/// Most that is in flight or in a batch, whatever a grant says: every region in flight costs the
/// kernel memory, and a threshold of all regions of a large volume could take the node's.
const LARGEST_AMOUNT: Bytes = Bytes::mib(256);
/// dm-persistent-data's block.
const METADATA_BLOCK: u64 = 4096;
/// 64-bit words of bitmap in one block of a dm array: (4096 - 24) / 8.
const WORDS_PER_BLOCK: u64 = 509;

/// The geometry for a volume of that size under that grant.
///
/// # Errors
/// With a sentence if the volume is larger than dm-clone can handle (2^31 regions of 1 GiB).
pub fn geometry(size: Bytes, grant: &CopyPlan) -> Result<CloneGeometry, String> {
    let mut region = SMALLEST_REGION;
    while region < USUAL_REGION && size.0.div_ceil(region.0) > USUAL_REGIONS {
        region = Bytes(region.0 * 2);
    }
    while size.0.div_ceil(region.0) > MOST_REGIONS {
        region = Bytes(region.0 * 2);
    }
    if region > LARGEST_REGION {
        return Err(format!("{size} is more than dm-clone can copy"));
    }
    let most = amounts(Sectors(region.0 / 512), grant);
    // More only as the disks turn out to be quick: what waits in front of a slow LUN keeps sanlock's renewals back.
    let threshold = most.least();
    Ok(CloneGeometry {
        threshold,
        batch: batch(threshold, most.batch),
        ..most
    })
}

/// Regions in one piece where so many are on their way, and so many are granted: several pieces at once, so that the
/// one disk reads while the other writes.
pub(crate) fn batch(threshold: u32, granted: u32) -> u32 {
    (threshold / PIECES_AT_ONCE).clamp(1, granted.max(1))
}

/// What is granted, for a clone with regions of that size.
pub(crate) fn amounts(region: Sectors, grant: &CopyPlan) -> CloneGeometry {
    let regions = |amount: Option<Bytes>, default: Bytes| {
        let amount = amount.unwrap_or(default).min(LARGEST_AMOUNT);
        u32::try_from((amount.0 / region.bytes().0.max(1)).max(1)).unwrap_or(u32::MAX)
    };
    CloneGeometry {
        region,
        threshold: regions(grant.in_flight, DEFAULT_IN_FLIGHT),
        batch: regions(grant.batch, DEFAULT_BATCH),
    }
}

/// The geometry of a clone of a volume, of the size that it has or had when it was made.
///
/// # Errors
/// [`RefusalCode::SizeUnsupported`] as [`geometry`].
pub(crate) fn geometry_of(
    info: &VolumeInfo,
    size: Bytes,
    grant: &CopyPlan,
) -> Result<CloneGeometry, Refusal> {
    geometry(size, grant).map_err(|reason| size_unsupported(info, &reason))
}

/// A size of a volume, its own or its copy's, in device-mapper's unit.
///
/// # Errors
/// [`RefusalCode::SizeUnsupported`] if the size is no whole number of sectors.
pub(crate) fn sectors_of(info: &VolumeInfo, size: Bytes) -> Result<Sectors, Refusal> {
    size.sectors().ok_or_else(|| {
        let reason = format!("{} bytes are no multiple of 512", size.0);
        size_unsupported(info, &reason)
    })
}

fn size_unsupported(info: &VolumeInfo, reason: &str) -> Refusal {
    let name = &info.volume;
    let message = format!("{name} has a size that cannot be used: {reason}; resize the volume");
    Refusal::of(RefusalCode::SizeUnsupported, name, message)
}

/// Space for a clone's metadata: the bitmap three times over (the live one, the one being
/// committed, and btree slack) and 256 KiB for superblock and space maps, in whole MiB, 4 at
/// least. 16 MiB were measured to be far more than 8192 regions need.
#[must_use]
pub fn metadata_size(size: Bytes, region: Sectors) -> Bytes {
    let regions = size.0.div_ceil(region.bytes().0);
    let blocks = regions.div_ceil(64 * WORDS_PER_BLOCK);
    let bytes = (blocks * 3 + 64) * METADATA_BLOCK;
    Bytes::mib(bytes.div_ceil(1 << 20).max(4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use volward_model::{CopyFate, CopyMode};

    fn grant(in_flight: Option<u64>) -> CopyPlan {
        CopyPlan {
            mode: CopyMode::Background,
            in_flight: in_flight.map(Bytes),
            batch: None,
            fate: CopyFate::WriteBack,
        }
    }

    #[test]
    fn i21_never_more_than_two_to_the_31_regions() {
        for tib in [1u64, 64, 128, 129, 1000, 100_000] {
            let size = Bytes(tib << 40);
            let geometry = geometry(size, &grant(None)).unwrap();
            assert!(
                size.0.div_ceil(geometry.region.bytes().0) <= MOST_REGIONS,
                "{tib} TiB"
            );
        }
        assert!(
            geometry(Bytes(u64::MAX), &grant(None)).is_err() || u64::MAX >> 30 <= MOST_REGIONS << 3
        );
    }

    #[test]
    fn knobs_are_never_zero() {
        let tiny = geometry(Bytes::mib(64), &grant(Some(1))).unwrap();
        assert_eq!((tiny.threshold, tiny.batch), (1, 1));
    }

    #[test]
    fn knobs_are_bounded_whatever_a_policy_says() {
        let greedy = amounts(Sectors(128), &grant(Some(u64::MAX)));
        assert_eq!(greedy.threshold, 4096);
        // However much is granted, it is loaded with little.
        let loaded = geometry(Bytes(1 << 30), &grant(Some(u64::MAX))).unwrap();
        assert_eq!((loaded.threshold, loaded.batch), (256, 64));
        let earlier = loaded.with_region(Sectors(128));
        assert_eq!((earlier.threshold, earlier.batch), (16, 4));
        let least = loaded.with_region(Sectors(1 << 21));
        assert_eq!((least.threshold, least.batch), (1, 1));
    }

    #[test]
    fn a_region_is_what_is_written_at_least_as_long_as_there_are_not_too_many() {
        let gib = |gib: u64| geometry(Bytes(gib << 30), &grant(None)).unwrap().region;
        let kib = |kib: u64| Sectors(kib * 2);
        for (size, region) in [(1, 4), (256, 4), (257, 8), (512, 8), (1024, 16), (2048, 32)] {
            assert_eq!(gib(size), kib(region), "{size} GiB");
        }
        for size in [4096, 100_000] {
            assert_eq!(gib(size), kib(64), "{size} GiB");
        }
        assert_eq!(metadata_size(Bytes(256 << 30), kib(4)), Bytes::mib(25));
    }

    #[test]
    fn i21_metadata_grows_with_the_regions() {
        let region = Sectors(128);
        assert_eq!(metadata_size(Bytes::mib(512), region), Bytes::mib(4));
        // 2^31 regions: 256 MiB of bitmap.
        let large = metadata_size(Bytes(MOST_REGIONS * (64 << 10)), region);
        assert!(large.0 > 3 * (256 << 20), "{large}");
    }
}
