//! LVM's JSON report of one pool, in one command: `fullreport` also shows a VG without LVs.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::Deserialize;
use volward_model::{Bytes, LvUuid, PoolInfo, PoolKind, PoolName, VolumeId, VolumeInfo, VolumeRef};
use volward_ports::{PortError, PortResult};

/// The fields of [`Report`]; the physical parts cannot be left out, so they are kept short.
pub(super) const ARGS: [&str; 25] = [
    "--reportformat",
    "json",
    "--units",
    "b",
    "--nosuffix",
    "--configreport",
    "vg",
    "-o",
    "vg_name,vg_uuid,vg_lock_type,vg_size,vg_free,vg_extent_size,vg_missing_pv_count,vg_autoactivation",
    "--configreport",
    "lv",
    "-o",
    "lv_uuid,lv_name,lv_size,lv_tags,lv_lockargs,lv_active,lv_autoactivation,lv_role",
    "--configreport",
    "seg",
    "-o",
    "lv_uuid,segtype",
    "--configreport",
    "pv",
    "-o",
    "pv_uuid,pv_name",
    "--configreport",
    "pvseg",
    "-o",
    "pv_uuid",
];

#[derive(Deserialize)]
struct Reports {
    report: Vec<Report>,
}

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    vg: Vec<Vg>,
    #[serde(default)]
    lv: Vec<Lv>,
    #[serde(default)]
    seg: Vec<Seg>,
    #[serde(default)]
    pv: Vec<Pv>,
}

#[derive(Deserialize)]
struct Vg {
    vg_name: String,
    vg_uuid: String,
    vg_lock_type: String,
    vg_size: String,
    vg_free: String,
    vg_extent_size: String,
    vg_missing_pv_count: String,
    vg_autoactivation: String,
}

#[derive(Deserialize)]
struct Lv {
    lv_uuid: String,
    lv_name: String,
    lv_size: String,
    lv_tags: String,
    lv_lockargs: String,
    lv_active: String,
    lv_autoactivation: String,
    #[serde(default)]
    lv_role: String,
}

#[derive(Deserialize)]
struct Seg {
    lv_uuid: String,
    segtype: String,
}

#[derive(Deserialize)]
struct Pv {
    pv_name: PathBuf,
}

#[derive(Deserialize)]
struct Names {
    report: Vec<NamesReport>,
}

#[derive(Deserialize)]
struct NamesReport {
    #[serde(default)]
    vg: Vec<VgName>,
}

#[derive(Deserialize)]
struct VgName {
    vg_name: String,
}

fn unreadable(reason: impl Into<String>) -> PortError {
    PortError::Unreadable {
        what: "LVM's report".to_owned(),
        reason: reason.into(),
    }
}

pub(super) fn json<'a, T: Deserialize<'a>>(text: &'a [u8]) -> PortResult<T> {
    serde_json::from_slice(text).map_err(|error| unreadable(error.to_string()))
}

fn number(field: &str, text: &str) -> PortResult<u64> {
    text.parse()
        .map_err(|_| unreadable(format!("{field} is {text:?}, not a number")))
}

pub(super) fn id<T: std::str::FromStr>(field: &str, text: &str) -> PortResult<T>
where
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error| unreadable(format!("{field}: {error}")))
}

/// The names in a report of VG names.
pub(super) fn vg_names(text: &[u8]) -> PortResult<Vec<String>> {
    let names: Names = json(text)?;
    let all = names.report.into_iter().flat_map(|report| report.vg);
    Ok(all.map(|vg| vg.vg_name).collect())
}

/// A pool in LVM's own terms.
#[derive(Debug)]
pub(super) struct Reported {
    pub(super) info: PoolInfo,
    /// The disks it is on.
    pub(super) disks: Vec<PathBuf>,
    /// Where each LV's lease is, as LVM writes it (`1.0.0:70254592`): LVs without a lease of
    /// their own are not among them.
    pub(super) lock_args: HashMap<LvUuid, String>,
}

/// The pool in the answer to [`ARGS`].
pub(super) fn pool(name: &PoolName, text: &[u8]) -> PortResult<Reported> {
    let reports: Reports = json(text)?;
    let found = reports.report.into_iter().find_map(|mut report| {
        let index = report
            .vg
            .iter()
            .position(|vg| vg.vg_name == name.as_str())?;
        let vg = report.vg.swap_remove(index);
        Some((vg, report))
    });
    let (vg, report) = found.ok_or_else(|| PortError::Missing {
        what: format!("volume group {name}"),
    })?;
    let vg_uuid = id("vg_uuid", &vg.vg_uuid)?;
    let types = segment_types(report.seg);
    let autoactivation = vg.vg_autoactivation == "enabled";
    let mut volumes = Vec::with_capacity(report.lv.len());
    let mut lock_args = HashMap::new();
    // LVM writes the names of its hidden LVs in brackets.
    for lv in report.lv.iter().filter(|lv| !lv.lv_name.starts_with('[')) {
        let volume = VolumeRef {
            id: VolumeId {
                vg: vg_uuid,
                lv: id("lv_uuid", &lv.lv_uuid)?,
            },
            pool: name.clone(),
            name: id("lv_name", &lv.lv_name)?,
        };
        if !lv.lv_lockargs.is_empty() {
            lock_args.insert(volume.id.lv, lv.lv_lockargs.clone());
        }
        let mut seen = info(volume, lv, types.get(&lv.lv_uuid))?;
        seen.autoactivation &= autoactivation;
        volumes.push(seen);
    }
    let mut disks: Vec<PathBuf> = report.pv.into_iter().map(|pv| pv.pv_name).collect();
    disks.sort();
    let info = PoolInfo {
        name: name.clone(),
        vg: vg_uuid,
        kind: kind(vg.vg_lock_type),
        size: Bytes(number("vg_size", &vg.vg_size)?),
        free: Bytes(number("vg_free", &vg.vg_free)?),
        extent: Bytes(number("vg_extent_size", &vg.vg_extent_size)?),
        partial: number("vg_missing_pv_count", &vg.vg_missing_pv_count)? > 0,
        autoactivation,
        volumes,
    };
    Ok(Reported {
        info,
        disks,
        lock_args,
    })
}

pub(super) fn kind(lock_type: String) -> PoolKind {
    match lock_type.as_str() {
        "sanlock" => PoolKind::Shared,
        "" | "none" => PoolKind::Local,
        _ => PoolKind::Foreign { lock_type },
    }
}

fn info(volume: VolumeRef, lv: &Lv, types: Option<&Vec<String>>) -> PortResult<VolumeInfo> {
    let active = match lv.lv_active.as_str() {
        "active" | "local exclusive" => true,
        "" => false,
        // `unknown`: LVM cannot speak to device-mapper; nothing must be concluded from that.
        other => return Err(unreadable(format!("{volume} has lv_active {other:?}"))),
    };
    Ok(VolumeInfo {
        volume,
        size: Bytes(number("lv_size", &lv.lv_size)?),
        tags: tags(&lv.lv_tags)?,
        segment_type: types.map(|types| types.join(",")).unwrap_or_default(),
        active,
        autoactivation: lv.lv_autoactivation == "enabled",
        roles: lv
            .lv_role
            .split(',')
            .filter(|role| !role.is_empty())
            .map(str::to_owned)
            .collect(),
        own_lease: !lv.lv_lockargs.is_empty(),
        // Metadata does not say: the kernel does.
        read_only: false,
    })
}

/// The tags of a list; what no tag can contain means that the list is no list of ours.
fn tags(list: &str) -> PortResult<Vec<String>> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_+.-/=!:#&".contains(c);
    let tags = list.split(',').filter(|tag| !tag.is_empty());
    tags.map(|tag| match tag.chars().all(legal) {
        true => Ok(tag.to_owned()),
        false => Err(unreadable(format!("{tag:?} is no LVM tag"))),
    })
    .collect()
}

/// The different segment types of each LV, in their order.
fn segment_types(segments: Vec<Seg>) -> HashMap<String, Vec<String>> {
    let mut types: HashMap<String, Vec<String>> = HashMap::new();
    for segment in segments {
        let of = types.entry(segment.lv_uuid).or_default();
        if !of.contains(&segment.segtype) {
            of.push(segment.segtype);
        }
    }
    types
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by LVM 2.03.16, with a lock type, a hidden LV and a second segment type written in.
    const REAL: &str = include_str!("testdata/fullreport.json");

    fn name() -> PoolName {
        "tvg".parse().unwrap()
    }

    #[test]
    fn a_list_of_tags_with_another_separator_is_not_read_as_one_tag() {
        assert_eq!(tags("").unwrap(), [""; 0]);
        assert_eq!(tags("golden,volward.home=pool:::3").unwrap().len(), 2);
        for list in ["golden;volward.shareable", "a b", "golden|x"] {
            assert!(tags(list).is_err(), "{list}");
        }
    }

    #[test]
    fn a_pool_is_read_whole_and_hidden_volumes_are_left_out() {
        let reported = pool(&name(), REAL.as_bytes()).unwrap();
        let pool = &reported.info;
        assert_eq!(reported.disks, [PathBuf::from("/dev/loop0")]);
        assert!(pool.is_shared() && !pool.partial);
        assert_eq!(
            (pool.size, pool.free),
            (Bytes(205_520_896), Bytes(192_937_984))
        );
        let names: Vec<&str> = pool
            .volumes
            .iter()
            .map(|v| v.volume.name.as_str())
            .collect();
        assert_eq!(names, ["a", "b"]);
        let [a, b] = &pool.volumes[..] else { panic!() };
        assert!(a.active && a.autoactivation && !b.active && !b.autoactivation);
        assert!(pool.autoactivation);
        assert_eq!(a.segment_type, "linear,striped");
        let lock_args = |of: &VolumeInfo| reported.lock_args.get(&of.volume.id.lv);
        assert_eq!(lock_args(a).map(String::as_str), Some("1.0.0:70254592"));
        assert_eq!((lock_args(b), a.tags.len()), (None, 0));
        assert_eq!(b.tags, ["volward.home=split:a:b:1", "x"]);
    }

    #[test]
    fn i4_a_pool_without_autoactivation_has_no_volume_with_it() {
        let off = REAL.replace(
            r#""vg_autoactivation":"enabled""#,
            r#""vg_autoactivation":"""#,
        );
        let pool = pool(&name(), off.as_bytes()).unwrap().info;
        assert!(!pool.autoactivation);
        assert!(pool.volumes.iter().all(|volume| !volume.autoactivation));
    }

    /// A pool with every kind of LV in it, the roles left out of the report.
    #[test]
    fn a_pool_with_thin_vdo_and_raid_volumes_is_read_whole() {
        let kinds = include_bytes!("testdata/kinds.json");
        let pool = pool(&"vg0".parse().unwrap(), kinds).unwrap().info;
        let seen: Vec<(&str, &str, bool)> = pool
            .volumes
            .iter()
            .map(|v| {
                let (name, kind) = (v.volume.name.as_str(), v.segment_type.as_str());
                (&name[..name.len().min(9)], kind, v.own_lease)
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("plain", "linear", true),
                ("two-pvs", "striped,linear", true),
                ("tpool", "thin-pool", true),
                ("thin1", "thin", false),
                ("vpool", "vdo-pool", true),
                ("vdo1", "vdo", false),
                ("mirrored", "raid1", true),
                ("checked", "raid1", true),
                ("cached", "cache", true),
                ("fastwrite", "writecache", true),
                ("+plus.dot", "linear", true),
                ("xxxxxxxxx", "linear", true),
                ("volward-r", "linear", true),
            ]
        );
        assert_eq!(pool.volumes[10].tags, ["a.b", "c+d"]);
        // What a snapshot is only its role says.
        let text = REAL.replacen(
            r#""lv_autoactivation":"enabled""#,
            r#""lv_autoactivation":"enabled","lv_role":"public,snapshot,thicksnapshot""#,
            1,
        );
        assert_ne!(text, REAL);
        let snapshot = super::pool(&name(), text.as_bytes()).unwrap().info;
        assert_eq!(
            snapshot.volumes[0].roles,
            ["public", "snapshot", "thicksnapshot"]
        );
    }

    #[test]
    fn another_pools_report_is_not_taken_for_this_ones() {
        for text in [REAL, r#"{"report":[]}"#, r#"{"report":[{"vg":[]}]}"#] {
            let error = pool(&"other".parse().unwrap(), text.as_bytes()).unwrap_err();
            assert!(matches!(error, PortError::Missing { .. }), "{error}");
        }
    }

    #[test]
    fn i29_what_is_not_understood_is_no_answer() {
        for (from, to) in [
            (r#""lv_active":"active""#, r#""lv_active":"unknown""#),
            (r#""lv_size":"8388608""#, r#""lv_size":"8m""#),
            (r#""lv_name":"a""#, r#""lv_name":"a/b""#),
            (r#""vg_uuid":"Sm"#, r#""vg_uuid":""#),
            (r#""vg_missing_pv_count":"0""#, r#""pv_count":"0""#),
            ("]\n          }", "]"),
        ] {
            let text = REAL.replace(from, to);
            assert_ne!(text, REAL);
            let error = pool(&name(), text.as_bytes()).unwrap_err();
            assert!(matches!(error, PortError::Unreadable { .. }), "{error}");
        }
    }

    #[test]
    fn a_missing_disk_makes_the_pool_partial() {
        let text = REAL.replace(r#"missing_pv_count":"0""#, r#"missing_pv_count":"1""#);
        assert!(pool(&name(), text.as_bytes()).unwrap().info.partial);
    }

    #[test]
    fn what_keeps_nodes_apart_follows_from_the_lock_type() {
        let of = |lock_type: &str| {
            let text = REAL.replace("sanlock", lock_type);
            pool(&name(), text.as_bytes()).unwrap().info.kind
        };
        assert_eq!(of("sanlock"), PoolKind::Shared);
        assert_eq!([of(""), of("none")], [PoolKind::Local, PoolKind::Local]);
        let lock_type = "dlm".to_owned();
        assert_eq!(of("dlm"), PoolKind::Foreign { lock_type });
    }
}
