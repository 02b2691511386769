//! LVM's JSON report of one pool, in one command: `fullreport` also shows a VG without LVs.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

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

/// What `--reportformat json` prints: a report for each volume group, or one of all.
#[derive(Deserialize)]
pub(super) struct Reports<T> {
    pub(super) report: Vec<T>,
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

pub(super) fn number(field: &str, text: &str) -> PortResult<u64> {
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
    let names: Reports<NamesReport> = json(text)?;
    let all = names.report.into_iter().flat_map(|report| report.vg);
    Ok(all.map(|vg| vg.vg_name).collect())
}

/// A pool in LVM's own terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reported {
    /// Shared with everyone who looks.
    pub(super) info: Arc<PoolInfo>,
    /// The disks it is on.
    pub(super) disks: Vec<PathBuf>,
    /// Where each LV's lease is, as LVM writes it (`1.0.0:70254592`): LVs without a lease of
    /// their own are not among them.
    pub(super) lock_args: HashMap<LvUuid, String>,
}

/// The pool in the answer to [`ARGS`].
pub(super) fn pool(name: &PoolName, text: &[u8]) -> PortResult<Reported> {
    let reports: Reports<Report> = json(text)?;
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
        info: Arc::new(info),
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
mod tests;
