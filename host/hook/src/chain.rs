//! What an image on a managed disk says is behind it. libvirt reads that after this hook, where the
//! XML does not say it, and opens it: a managed device that is not attached then is not there.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use volward_api::model::PoolName;

use crate::input::Guest;
use crate::path::{self, Device};
use crate::place::Place;

const MAGIC: &[u8] = b"QFI\xfb";
/// qemu's own bound of the name.
const LONGEST: u32 = 1_023;
/// The name stands in the first cluster, which has 2 MiB at most.
const FARTHEST: u64 = 2 << 20;

/// Backing files of the guest's disks that are managed and that its XML does not name, a sentence
/// each.
pub(crate) fn unnamed(guest: &Guest, pools: &[PoolName], place: &Place) -> Vec<String> {
    let troubles = guest.managed.images.iter().filter_map(|(target, image)| {
        // What cannot be read libvirt cannot read either, and says so.
        let backing = backing_file(&place.path(image)).ok()??;
        let missing = missing(guest, image, &backing, (pools, place));
        missing.then(|| {
            format!(
                "disk {target}: the image on {image} has the backing file {backing}, a managed \
                 device that the XML does not name, so it is not attached: write it into the disk, as \
                 <backingStore type='block'><format type='...'/><source dev='...'/></backingStore>"
            )
        })
    });
    troubles.collect()
}

fn missing(
    guest: &Guest,
    image: &str,
    backing: &str,
    (pools, place): (&[PoolName], &Place),
) -> bool {
    let text = backing.strip_prefix("file:").unwrap_or(backing);
    if text.starts_with("json:") {
        // Any of its forms; a name in it stands there as it is.
        let of_pool = |pool: &PoolName| text.contains(&format!("/dev/{pool}/"));
        return text.contains("/dev/volward/") || pools.iter().any(of_pool);
    }
    let folder = image.rsplit_once('/').map_or("", |(folder, _)| folder);
    let absolute = match text.starts_with('/') {
        true => text.to_owned(),
        false => format!("{folder}/{text}"),
    };
    match path::device(&absolute, pools, place) {
        Ok(None) => false,
        Ok(Some(Device::Own { pool, volume, .. } | Device::Lv { pool, volume })) => {
            let mut named = guest.managed.disks.iter();
            !named.any(|disk| disk.pool == pool && disk.volume == volume)
        }
        Err(_) => true,
    }
}

/// The backing file in the header of a qcow or qcow2 image.
#[expect(
    clippy::disallowed_methods,
    reason = "the guest's disk, by the path in its XML; libvirt reads the same next"
)]
fn backing_file(image: &Path) -> io::Result<Option<String>> {
    let file = File::open(image)?;
    // Magic, version, offset and size of the name.
    let mut header = [0; 20];
    file.read_exact_at(&mut header, 0)?;
    let (magic, rest) = header.split_at(MAGIC.len());
    let (offset, size) = (&rest[4..12], &rest[12..16]);
    let offset = offset.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
    let size = size.iter().fold(0, |n, byte| n << 8 | u32::from(*byte));
    if magic != MAGIC || offset == 0 || offset > FARTHEST || size > LONGEST {
        return Ok(None);
    }
    let mut name = vec![0; usize::try_from(size).unwrap_or_default()];
    file.read_exact_at(&mut name, offset)?;
    Ok(Some(String::from_utf8_lossy(&name).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(backing: &str) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(3_u32.to_be_bytes());
        bytes.extend(104_u64.to_be_bytes());
        bytes.extend(u32::try_from(backing.len()).unwrap().to_be_bytes());
        bytes.resize(104, 0);
        bytes.extend(backing.as_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> io::Result<Option<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        std::fs::write(&path, bytes).unwrap();
        backing_file(&path)
    }

    #[test]
    fn the_backing_file_is_read_from_the_header() {
        let name = "/dev/volward/11111111-2222-3333-4444-555555555555/vg0/base";
        assert_eq!(read(&image(name)).unwrap().as_deref(), Some(name));
        // A raw disk, an image without one, and headers that are not to be believed.
        assert_eq!(read(&[0; 64]).unwrap(), None);
        let mut none = image("");
        none[8..16].fill(0);
        assert_eq!(read(&none).unwrap(), None);
        let mut far = image("x");
        far[8..16].fill(0xff);
        assert_eq!(read(&far).unwrap(), None);
        let mut long = image("x");
        long[16..20].fill(0xff);
        assert_eq!(read(&long).unwrap(), None);
        assert!(read(&image("whole")[..106]).is_err());
        assert!(read(b"QFI").is_err());
    }
}
