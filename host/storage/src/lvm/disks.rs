//! The disks that a pool is on, and what is on each: asked for when somebody wants to see it. What every
//! request reads leaves that out, since it is a line a segment.

use serde::Deserialize;
use volward_model::{Bytes, Carried, LvmUuid, PhysicalVolume, PoolName};
use volward_ports::{PortError, PortResult};

use super::report::{Reports, id, json, number};
use super::{Lvm, REPORT_DEADLINE};

/// The fields of [`Report`]; the parts that are not wanted cannot be left out, so they are kept short.
const ARGS: [&str; 25] = [
    "--reportformat",
    "json",
    "--units",
    "b",
    "--nosuffix",
    "--configreport",
    "vg",
    "-o",
    "vg_name,vg_extent_size",
    "--configreport",
    "lv",
    "-o",
    "lv_uuid",
    "--configreport",
    "seg",
    "-o",
    "lv_uuid",
    "--configreport",
    "pv",
    "-o",
    "pv_uuid,pv_name,pv_size,pv_free,pv_missing",
    "--configreport",
    "pvseg",
    "-o",
    "pv_uuid,pvseg_start,pvseg_size,lv_uuid,lv_name",
];

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    vg: Vec<Vg>,
    #[serde(default)]
    pv: Vec<Pv>,
    #[serde(default)]
    pvseg: Vec<Segment>,
}

#[derive(Deserialize)]
struct Vg {
    vg_name: String,
    vg_extent_size: String,
}

#[derive(Deserialize)]
struct Pv {
    pv_uuid: String,
    pv_name: String,
    pv_size: String,
    pv_free: String,
    /// `missing`, or nothing.
    pv_missing: String,
}

/// A run of extents of a disk; without an LV it is free.
#[derive(Deserialize)]
struct Segment {
    pv_uuid: String,
    pvseg_start: String,
    pvseg_size: String,
    #[serde(default)]
    lv_uuid: String,
    /// Here also of LVM's hidden LVs, lvmlock's above all: the report of LVs leaves them out.
    #[serde(default)]
    lv_name: String,
}

impl Lvm {
    /// As [`physical_volumes`](volward_ports::Volumes::physical_volumes).
    pub(super) fn disks_of(&self, pool: &PoolName) -> PortResult<Vec<PhysicalVolume>> {
        let mut args: Vec<String> = ARGS.iter().map(|&arg| arg.to_owned()).collect();
        args.push(pool.to_string());
        let output = self.run(self.settings(pool)?, REPORT_DEADLINE, "fullreport", &args)?;
        read(pool, &output.stdout)
    }
}

fn read(pool: &PoolName, text: &[u8]) -> PortResult<Vec<PhysicalVolume>> {
    let reports: Reports<Report> = json(text)?;
    let is_it = |report: &Report| report.vg.iter().any(|vg| vg.vg_name == pool.as_str());
    let report = reports.report.into_iter().find(is_it);
    let report = report.ok_or_else(|| PortError::Missing {
        what: format!("volume group {pool}"),
    })?;
    let extent = report.vg.first().map(|vg| vg.vg_extent_size.as_str());
    let extent = number("vg_extent_size", extent.unwrap_or_default())?;
    let mut disks = Vec::with_capacity(report.pv.len());
    for pv in &report.pv {
        disks.push(PhysicalVolume {
            id: id("pv_uuid", &pv.pv_uuid)?,
            path: pv.pv_name.clone(),
            size: Bytes(number("pv_size", &pv.pv_size)?),
            free: Bytes(number("pv_free", &pv.pv_free)?),
            missing: !pv.pv_missing.is_empty(),
            carries: carried(&report.pvseg, &pv.pv_uuid, extent)?,
        });
    }
    disks.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(disks)
}

/// What is on one disk, an LV once, where it begins first.
fn carried(segments: &[Segment], pv: &str, extent: u64) -> PortResult<Vec<Carried>> {
    let on_it = |segment: &&Segment| segment.pv_uuid == pv && !segment.lv_uuid.is_empty();
    let mut placed = Vec::new();
    for segment in segments.iter().filter(on_it) {
        let start = number("pvseg_start", &segment.pvseg_start)?;
        let extents = number("pvseg_size", &segment.pvseg_size)?;
        placed.push((start, extents, &segment.lv_uuid, &segment.lv_name));
    }
    placed.sort();
    let mut carries: Vec<Carried> = Vec::new();
    for (_, extents, uuid, name) in placed {
        let lv: LvmUuid = id("lv_uuid", uuid)?;
        let size = Bytes(extents.saturating_mul(extent));
        match carries.iter_mut().find(|one| one.lv == lv) {
            Some(known) => known.size = known.size + size,
            None => carries.push(Carried {
                name: name.clone(),
                lv,
                size,
            }),
        }
    }
    Ok(carries)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = include_str!("testdata/disks.json");

    fn lines(text: &str) -> Vec<String> {
        let disks = read(&"san".parse().unwrap(), text.as_bytes()).unwrap();
        let line = |disk: &PhysicalVolume| {
            let carries = disk.carries.iter();
            let carries: Vec<String> = carries
                .map(|one| format!("{} {}", one.name, one.size))
                .collect();
            let lost = if disk.missing { ", missing" } else { "" };
            let (path, size, free) = (&disk.path, disk.size, disk.free);
            format!("{path} {size}, free {free}{lost}: {}", carries.join(", "))
        };
        disks.iter().map(line).collect()
    }

    /// As LVM 2.03.16 reports a VG that has lost one of its two disks.
    #[test]
    fn each_disk_says_what_is_on_it_and_a_lost_one_that_it_is_lost() {
        assert_eq!(
            lines(REPORT),
            [
                "/dev/loop0 60 MiB, free 16 MiB: web 40 MiB, str 4 MiB",
                "[unknown] 60 MiB, free 40 MiB, missing: web 16 MiB, str 4 MiB",
            ]
        );
    }

    #[test]
    fn an_lv_in_several_runs_is_named_once_and_a_hidden_one_by_its_name() {
        let pv = "Te4Ciw-rrhR-deoX-IF3F-vC7O-40xv-iRVXsN";
        let apart = REPORT
            .replacen(
                &format!(
                    r#"{{"pv_uuid":"{pv}", "pvseg_start":"11", "pvseg_size":"4", "lv_uuid":"", "lv_name":""}}"#
                ),
                &format!(
                    r#"{{"pv_uuid":"{pv}", "pvseg_start":"11", "pvseg_size":"4",
                        "lv_uuid":"tywNKG-NcXc-KnoZ-83q8-mZNR-XcsD-vxFlDI", "lv_name":"web"}}"#
                ),
                1,
            )
            .replace(r#""lv_name":"str""#, r#""lv_name":"str_rimage_0""#);
        assert_eq!(
            lines(&apart)[0],
            "/dev/loop0 60 MiB, free 16 MiB: web 56 MiB, str_rimage_0 4 MiB"
        );
    }

    #[test]
    fn another_pools_report_is_not_taken_for_this_ones() {
        let error = read(&"other".parse().unwrap(), REPORT.as_bytes()).unwrap_err();
        assert!(matches!(error, PortError::Missing { .. }), "{error}");
    }
}
