use super::super::table;
use super::*;
use volward_model::DeviceNumber;

/// Written by LVM 2.03.16: four PVs, one of them with its first extent at 4 MiB, extents of 1 MiB.
const REAL: &str = include_str!("testdata/plain.vg");

/// `vgcfgbackup` of a VG that two nodes share, by LVM 2.03.16 with lvmlockd.
const SHARED: &str = include_str!("testdata/shared.vg");

fn named<'a>(layout: &'a Layout, name: &str) -> &'a Lv {
    layout.lvs.values().find(|lv| lv.name == name).unwrap()
}

/// The table of an LV, with PV n on 8:(16 n).
fn table(layout: &Layout, name: &str) -> PortResult<Vec<String>> {
    let number = |id| {
        let index = layout.pvs.iter().position(|pv| pv.id == id)?;
        let minor = 16 * u32::try_from(index).unwrap();
        Some(DeviceNumber { major: 8, minor })
    };
    let lines = table::lines(layout, named(layout, name), number)?;
    let text = lines
        .into_iter()
        .map(|(s, l, t, p)| format!("{s} {l} {t} {p}"));
    Ok(text.collect())
}

/// `REAL` with a part of it replaced.
fn with(from: &str, to: &str) -> String {
    let text = REAL.replacen(from, to, 1);
    assert_ne!(text, REAL, "{from}");
    text
}

/// Why an LV of that text is not served.
fn why(text: &str, name: &str) -> String {
    let layout = read(text).unwrap();
    named(&layout, name).segments.clone().unwrap_err()
}

#[test]
fn real_metadata_is_read_whole() {
    let layout = read(REAL).unwrap();
    assert_eq!((layout.name.as_str(), layout.seqno), ("vg-a_1", 8));
    assert_eq!((layout.extent, layout.pvs.len()), (Sectors(2048), 4));
    let starts: Vec<u64> = layout.pvs.iter().map(|pv| pv.pe_start.0).collect();
    assert_eq!(starts, [2048, 2048, 2048, 8192]);
    let names: HashSet<&str> = layout.lvs.values().map(|lv| lv.name.as_str()).collect();
    assert_eq!(
        names,
        HashSet::from(["plain", "across", "stri-ped", "noauto", "ro"])
    );
    assert!(layout.lvs.values().all(|lv| lv.segments.is_ok()));
    assert!(named(&layout, "plain").writable && !named(&layout, "ro").writable);
    assert_eq!(named(&layout, "plain").lock_args, None);
}

/// As `dmsetup table` shows what LVM makes of such segments.
#[test]
fn tables_are_lvms() {
    let layout = read(REAL).unwrap();
    // 5 extents, then 4 more from extent 17 on after an lvextend.
    assert_eq!(
        table(&layout, "plain").unwrap(),
        ["0 10240 linear 8:0 2048", "10240 8192 linear 8:0 36864"]
    );
    // All of one PV, and the rest on another.
    assert_eq!(
        table(&layout, "across").unwrap(),
        ["0 194560 linear 8:16 2048", "194560 10240 linear 8:0 12288"]
    );
    // Three stripes of 64 KiB, the last on the PV that begins at 4 MiB.
    assert_eq!(
        table(&layout, "stri-ped").unwrap(),
        ["0 24576 striped 3 128 8:0 22528 8:32 2048 8:48 8192"]
    );
    assert_eq!(
        table(&layout, "noauto").unwrap(),
        ["0 6144 linear 8:0 30720"]
    );
}

#[test]
fn i12_a_disk_that_is_not_there_makes_no_table() {
    let layout = read(REAL).unwrap();
    let lv = named(&layout, "across");
    let error = table::lines(&layout, lv, |_| None).unwrap_err();
    let pv = layout.pvs[1].id.to_string();
    assert!(error.to_string().contains(&pv), "{error}");
}

#[test]
fn devices_are_named_as_device_mapper_does() {
    assert_eq!(
        table::device_name("vg-a_1", "stri-ped"),
        "vg--a_1-stri--ped"
    );
}

/// Of such a VG LVM writes `WRITE_LOCKED` in the place of `WRITE`.
#[test]
fn a_shared_vg_is_read_with_its_leases() {
    let layout = read(SHARED).unwrap();
    assert_eq!(
        (layout.name.as_str(), layout.extent),
        ("vg0", Sectors(8192))
    );
    for (name, lock_args) in [
        ("volward-registry", "1.0.0:70254592"),
        ("a", "1.0.0:71303168"),
    ] {
        let lv = named(&layout, name);
        assert_eq!(lv.lock_args.as_deref(), Some(lock_args));
        assert!(lv.writable && lv.segments.is_ok(), "{lv:?}");
    }
    // What `dmsetup table` showed of LVM's own device, and of ours, on the node.
    assert_eq!(table(&layout, "a").unwrap(), ["0 32768 linear 8:0 1099776"]);
    // The LV that the leases are on is LVM's own.
    let lvmlock = named(&layout, "lvmlock");
    assert!(lvmlock.segments.is_err() && lvmlock.lock_args.is_none());
}

#[test]
fn what_lvm_does_more_for_is_not_served() {
    let first = "status = [\"READ\", \"WRITE\", \"VISIBLE\"]";
    for (word, found) in [
        ("LOCKED", "LOCKED"),
        ("FIXED_MINOR", "FIXED_MINOR"),
        ("PVMOVE", "PVMOVE"),
    ] {
        let text = with(
            first,
            &format!("status = [\"READ\", \"WRITE\", \"VISIBLE\", \"{word}\"]"),
        );
        assert!(why(&text, "plain").contains(found));
    }
    let hidden = with(first, "status = [\"READ\", \"WRITE\"]");
    assert!(why(&hidden, "plain").contains("hidden"));
    let skipped = with("NOAUTOACTIVATE", "ACTIVATION_SKIP");
    assert!(why(&skipped, "noauto").contains("ACTIVATION_SKIP"));
    let exported = with("\"RESIZEABLE\", ", "\"RESIZEABLE\", \"EXPORTED\", ");
    assert!(why(&exported, "ro").contains("exported"));
    let missing = with(
        "status = [\"ALLOCATABLE\"]\nflags = []",
        "status = [\"ALLOCATABLE\"]\nflags = [\"MISSING\"]",
    );
    assert!(why(&missing, "plain").contains("missing"));
    assert!(read(&missing).is_ok_and(|layout| table(&layout, "stri-ped").is_err()));
}

/// As LVM writes them (its manuals and test suite): the segments that stand for an LV of their kind.
#[test]
fn other_kinds_of_volumes_are_not_served_and_neither_is_what_they_are_made_of() {
    let segment = "type = \"striped\"\nstripe_count = 3\nstripe_size = 128\n\nstripes = [\n\"pv0\", 10,\n\"pv2\", 0,\n\"pv3\", 0\n]";
    for (kind, body, part) in [
        (
            "thin-pool",
            "metadata = \"ro\"\npool = \"plain\"\ntransaction_id = 1\nchunk_size = 128",
            Some("plain"),
        ),
        (
            "thin",
            "thin_pool = \"across\"\ntransaction_id = 0\ndevice_id = 1",
            Some("across"),
        ),
        (
            "raid1",
            "device_count = 2\nregion_size = 4096\nraids = [\n\"ro\", \"plain\",\n\"noauto\", \"across\"\n]",
            Some("noauto"),
        ),
        (
            "mirror",
            "mirror_count = 2\nmirrors = [\n\"plain\", 0,\n\"ro\", 0\n]",
            Some("ro"),
        ),
        (
            "snapshot",
            "chunk_size = 8\norigin = \"plain\"\ncow_store = \"ro\"",
            Some("plain"),
        ),
        (
            "cache",
            "cache_pool = \"plain\"\norigin = \"across\"",
            Some("across"),
        ),
        (
            "writecache",
            "origin = \"across\"\nwritecache = \"plain\"",
            Some("plain"),
        ),
        (
            "integrity",
            "origin = \"across\"\ndata_sectors = 1",
            Some("across"),
        ),
        ("vdo", "vdo_pool = \"ro\"\nvdo_offset = 0", Some("ro")),
        ("zero", "", None),
        ("error", "", None),
    ] {
        let text = with(segment, &format!("type = \"{kind}\"\n{body}"));
        assert!(why(&text, "stri-ped").contains(kind));
        if let Some(part) = part {
            assert!(
                why(&text, part).contains("another volume"),
                "{kind}: {part}"
            );
        }
    }
    // A pvmove under way: segments are on an LV of LVM's own.
    let moving = with("\"pv0\", 10", "\"pvmove0\", 0");
    assert!(why(&moving, "stri-ped").contains("pvmove0"));
}

#[test]
fn i29_metadata_that_contradicts_itself_is_no_answer() {
    for (from, to) in [
        ("segment_count = 2", "segment_count = 3"),
        ("start_extent = 5", "start_extent = 6"),
        ("extent_count = 95", "extent_count = 96"),
        ("extent_count = 12", "extent_count = 13"),
        ("stripe_count = 3", "stripe_count = 2"),
        ("stripe_count = 3", "stripe_count = 0"),
        ("\"pv3\", 0", "\"pv3\", -1"),
        ("\"pv3\", 0", "\"pv3\", \"pv3\""),
        ("stripe_size = 128", "stripe_size = 0"),
        ("extent_size = 2048", "extent_size = 0"),
        ("pe_count = 95", "pe_count = 20"),
        ("seqno = 8", "seqno = \"8\""),
        ("vg-a_1 {", "other { }\nvg-a_1 {"),
    ] {
        assert!(read(&with(from, to)).is_err(), "{to}");
    }
    assert!(read("").is_err());
}
