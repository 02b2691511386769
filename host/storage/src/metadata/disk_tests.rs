use super::*;

/// The first 24 KiB of a PV as LVM 2.03.16 left it after eight commits, the text of the last one
/// included.
const REAL: &[u8] = include_bytes!("testdata/pv.bin");
/// That text.
const TEXT: &str = include_str!("testdata/plain.vg");

/// A file that can be read past the page cache.
fn disk(bytes: &[u8]) -> (tempfile::TempDir, PortResult<Disk>) {
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let path = folder.path().join("pv");
    std::fs::write(&path, bytes).unwrap();
    let disk = Disk::open(&path);
    (folder, disk)
}

fn changed(at: usize) -> Vec<u8> {
    let mut bytes = REAL.to_vec();
    bytes[at] ^= 1;
    bytes
}

#[test]
fn a_real_disk_is_read_down_to_its_text() {
    let (_folder, disk) = disk(REAL);
    let disk = disk.unwrap();
    assert_eq!(
        disk.pv.compact(),
        std::str::from_utf8(&REAL[544..576]).unwrap()
    );
    let headers = disk.headers().unwrap();
    let [header] = &headers[..] else {
        panic!("{headers:?}")
    };
    assert_eq!(disk.text(header).unwrap().as_deref(), Some(TEXT));
}

#[test]
fn a_text_that_goes_round_the_ring_is_read_whole() {
    let mut bytes = REAL.to_vec();
    // The same text in an area of five blocks, its end behind the header.
    let (at, size, offset) = (4096_usize, 5 * 4096_usize, 5 * 4096 - 1000_usize);
    let text = [TEXT.as_bytes(), b"\0"].concat();
    bytes[at + 512..at + size].fill(0);
    bytes[at + offset..at + size].copy_from_slice(&text[..1000]);
    bytes[at + 512..at + 512 + text.len() - 1000].copy_from_slice(&text[1000..]);
    bytes[at + 32..at + 40].copy_from_slice(&(size as u64).to_le_bytes());
    bytes[at + 40..at + 48].copy_from_slice(&(offset as u64).to_le_bytes());
    let sum = checksum(&bytes[at + 4..at + 512]);
    bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
    let (_folder, disk) = disk(&bytes);
    let disk = disk.unwrap();
    let headers = disk.headers().unwrap();
    assert_eq!(disk.text(&headers[0]).unwrap().as_deref(), Some(TEXT));
}

#[test]
fn what_is_torn_is_not_read() {
    // A byte of the label: of its magic, of the UUID, of the list of areas.
    for at in [512, 544, 600] {
        let (_folder, disk) = disk(&changed(at));
        assert!(disk.is_err(), "byte {at}");
    }
    // A byte of the header: of its checksum, its magic, where the text is.
    for at in [4096, 4102, 4140] {
        let (_folder, disk) = disk(&changed(at));
        assert!(disk.unwrap().headers().is_err(), "byte {at}");
    }
    // A byte of the text.
    let (_folder, disk) = disk(&changed(4096 + 15_872 + 100));
    let disk = disk.unwrap();
    let headers = disk.headers().unwrap();
    assert!(disk.text(&headers[0]).is_err());
    let (_folder, empty) = self::disk(&[0; 8192]);
    assert!(empty.unwrap_err().to_string().contains("label"));
}

#[test]
fn an_area_that_lvm_ignores_is_left_out() {
    let mut bytes = REAL.to_vec();
    bytes[4096 + 60] = 1;
    let sum = checksum(&bytes[4100..4608]);
    bytes[4096..4100].copy_from_slice(&sum.to_le_bytes());
    let (_folder, disk) = disk(&bytes);
    assert_eq!(disk.unwrap().headers().unwrap(), []);
}
