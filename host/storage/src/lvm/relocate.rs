//! Moving a volume from one physical volume to another beneath whoever has it: LVM's `pvmove`. It makes a mirror of both
//! places beneath the LV's device, lets lvmpolld watch it, and that ends the move once both are equal.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Deserialize;
use volward_model::{Bytes, LvmUuid, Moving, PhysicalVolume, PoolName, VolumeRef, Whereabouts};
use volward_ports::{Applied, PortError, PortResult};

use super::operate::HELD;
use super::report::{Reports, id, json};
use super::{LEASE_DEADLINE, Lvm, REPORT_DEADLINE};
use crate::kernel;

/// Where lvmpolld listens, or systemd for it. Without it LVM would poll by itself, which it does not where there are leases.
const LVMPOLLD: &str = "/run/lvm/lvmpolld.socket";
/// Seconds between two looks of lvmpolld's: each takes the VG's lease.
const INTERVAL: &str = "5";
/// What LVM calls the hidden LV that is the mirror.
const HIDDEN: &str = "pvmove";

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    lv: Vec<Row>,
}

/// A segment of an LV.
#[derive(Deserialize)]
struct Row {
    lv_uuid: String,
    /// In brackets of an LV that LVM hides.
    lv_name: String,
    /// Of a move: the physical volume that is left.
    #[serde(default)]
    move_pv_uuid: String,
    /// Of a move: how much is on both, as `51.00`; empty while it is not active.
    #[serde(default)]
    copy_percent: String,
    /// What it is on: `/dev/sdb(134)`, or `pvmove0(0)`.
    #[serde(default)]
    devices: String,
}

impl Row {
    fn plain_name(&self) -> &str {
        self.lv_name.trim_start_matches('[').trim_end_matches(']')
    }

    /// The hidden LV that it is on.
    fn on_move(&self) -> Option<&str> {
        let mut on = self.devices.split(',');
        on.find_map(|device| {
            let (name, _) = device.split_once('(')?;
            let number = name.strip_prefix(HIDDEN)?;
            number.parse::<u32>().ok().map(|_| name)
        })
    }

    fn moving(&self) -> PortResult<Moving> {
        let percent: Option<f32> = self.copy_percent.parse().ok();
        Ok(Moving {
            from: id("move_pv_uuid", &self.move_pv_uuid)?,
            // 99.9 is not all of it.
            percent: percent.map(|percent| percent.clamp(0.0, 100.0) as u8),
        })
    }
}

/// The move that an LV is in, with the name of the hidden LV that is the mirror.
type Move = (String, Moving);

/// Of what `lvs -a` lists; `None` where there is no such LV, or it is in none.
fn moving(rows: &[Row], volume: &VolumeRef) -> PortResult<Option<Move>> {
    let uuid = volume.id.lv.to_string();
    let its_own = rows.iter().filter(|row| row.lv_uuid == uuid);
    let Some(name) = its_own.filter_map(Row::on_move).next() else {
        return Ok(None);
    };
    let is_move = |row: &&Row| row.plain_name() == name && !row.move_pv_uuid.is_empty();
    let hidden = rows.iter().find(is_move);
    let hidden = hidden.ok_or_else(|| PortError::Unreadable {
        what: "LVM's report".to_owned(),
        reason: format!("{volume} is on {name}, which is not in it"),
    })?;
    Ok(Some((name.to_owned(), hidden.moving()?)))
}

/// How much of the LV each has.
fn on(disks: &[PhysicalVolume], volume: &VolumeRef) -> BTreeMap<LvmUuid, Bytes> {
    let each = disks.iter().filter_map(|disk| {
        let carried = disk.carries.iter().find(|one| one.lv == volume.id.lv)?;
        Some((disk.id, carried.size))
    });
    each.collect()
}

fn path_of(disks: &[PhysicalVolume], disk: LvmUuid) -> PortResult<String> {
    let found = disks.iter().find(|one| one.id == disk && !one.missing);
    let path = found.map(|one| one.path.clone());
    path.ok_or_else(|| PortError::Missing {
        what: format!("the physical volume {disk} on this node"),
    })
}

/// LVM says so too, in words that help nobody.
fn lvmpolld_must_be_there() -> PortResult<()> {
    match kernel::is_there(Path::new(LVMPOLLD)) {
        true => Ok(()),
        false => Err(PortError::Missing {
            what: format!(
                "{LVMPOLLD}: LVM moves nothing without lvmpolld (`systemctl enable --now lvm2-lvmpolld.socket`); it"
            ),
        }),
    }
}

impl Lvm {
    /// By LVM's UUID, or by any path that leads to it.
    pub(super) fn find_disk(
        &self,
        pool: &PoolName,
        named: &str,
    ) -> PortResult<Option<PhysicalVolume>> {
        let uuid: Option<LvmUuid> = named.parse().ok();
        let number = |path: &str| Some(kernel::node(Path::new(path)).ok()?.rdev());
        let device = number(named).filter(|number| *number != 0);
        let disks = self.disks_of(pool)?.into_iter();
        let is_it = |disk: &PhysicalVolume| match device {
            Some(device) => number(&disk.path) == Some(device),
            None => Some(disk.id) == uuid,
        };
        Ok(disks.filter(|disk| !disk.missing).find(is_it))
    }

    pub(super) fn find_whereabouts(&self, volume: &VolumeRef) -> PortResult<Whereabouts> {
        let moving = self.move_of(volume)?;
        let on = match moving {
            Some(_) => BTreeMap::new(),
            None => on(&self.disks_of(&volume.pool)?, volume),
        };
        let moving = moving.map(|(_, moving)| moving);
        Ok(Whereabouts { on, moving })
    }

    fn move_of(&self, volume: &VolumeRef) -> PortResult<Option<Move>> {
        let args = ["-a", "--reportformat", "json"];
        let fields = ["-o", "lv_uuid,lv_name,move_pv_uuid,copy_percent,devices"];
        let pool = [volume.pool.as_str()];
        let args = args.into_iter().chain(fields).chain(pool);
        let args: Vec<String> = args.map(str::to_owned).collect();
        let settings = self.settings(&volume.pool)?;
        let output = self.run(settings, REPORT_DEADLINE, "lvs", &args)?;
        let reports: Reports<Report> = json(&output.stdout)?;
        let rows = reports.report.into_iter().flat_map(|report| report.lv);
        moving(&rows.collect::<Vec<_>>(), volume)
    }

    /// Begins; ends one that is whole, and has any other that was begun watched again.
    pub(super) fn begin_move(
        &self,
        volume: &VolumeRef,
        (from, to): (LvmUuid, LvmUuid),
    ) -> PortResult<Applied> {
        self.must_be_whole(&volume.pool)?;
        let settings = self.settings(&volume.pool)?;
        let disks = self.disks_of(&volume.pool)?;
        let begun = self.move_of(volume)?;
        if begun.is_none() && !on(&disks, volume).contains_key(&from) {
            return Ok(Applied::Identity);
        }
        if let Some((hidden, moving)) = &begun
            && moving.percent == Some(100)
        {
            return self.end_move(volume, hidden);
        }
        lvmpolld_must_be_there()?;
        let mut args = vec!["-b", "-i", INTERVAL];
        args.extend(HELD);
        let (left, name) = (path_of(&disks, from)?, self.present(volume)?.volume.name);
        let reached = path_of(&disks, to)?;
        match begun {
            // LVM takes up the one that is on its way from there, whatever else is said.
            Some(_) => args.push(&left),
            None => args.extend(["-n", name.as_str(), &left, &reached]),
        }
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        self.run(settings, LEASE_DEADLINE, "pvmove", &args)?;
        let now = self.find_whereabouts(volume)?;
        match now.moving.is_some() || !now.on.contains_key(&from) {
            true => Ok(Applied::Changed),
            false => Err(PortError::NotInEffect {
                what: format!("moving {volume} from {left} to {reached}"),
                expected: "begun".to_owned(),
                found: "not begun".to_owned(),
            }),
        }
    }

    /// What lvmpolld has done by a process of its own, once both disks are equal: it may be gone, or its LVM not see the pool's
    /// disks, for it is told of no devices file.
    fn end_move(&self, volume: &VolumeRef, hidden: &str) -> PortResult<Applied> {
        let settings = self.settings(&volume.pool)?;
        let lv = format!("{}/{hidden}", volume.pool);
        let args = ["--polloperation", "pvmove", "--interval", "1", &lv];
        let args: Vec<String> = args.map(str::to_owned).to_vec();
        self.run(settings, LEASE_DEADLINE, "lvpoll", &args)?;
        Ok(Applied::Changed)
    }

    /// It stays on what it was to leave.
    pub(super) fn abort_move(&self, volume: &VolumeRef) -> PortResult<Applied> {
        let Some((_, moving)) = self.move_of(volume)? else {
            return Ok(Applied::Identity);
        };
        let settings = self.settings(&volume.pool)?;
        let left = path_of(&self.disks_of(&volume.pool)?, moving.from)?;
        lvmpolld_must_be_there()?;
        let mut args = vec!["--abort"];
        args.extend(HELD);
        args.push(&left);
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        self.run(settings, LEASE_DEADLINE, "pvmove", &args)?;
        match self.move_of(volume)? {
            None => Ok(Applied::Changed),
            Some(_) => Err(PortError::NotInEffect {
                what: format!("ending the move of {volume} from {left}"),
                expected: "ended".to_owned(),
                found: "on its way".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As LVM 2.03.16 reports a VG in which one LV moves, and another one is called like what LVM hides.
    const REPORT: &str = include_str!("testdata/moving.json");

    fn found(lv: &str) -> PortResult<Option<Move>> {
        let reports: Reports<Report> = json(REPORT.as_bytes()).unwrap();
        let rows: Vec<Row> = reports.report.into_iter().flat_map(|r| r.lv).collect();
        let volume = VolumeRef {
            id: volward_model::VolumeId {
                vg: "v".repeat(32).parse().unwrap(),
                lv: lv.parse().unwrap(),
            },
            pool: "vg0".parse().unwrap(),
            name: "x".parse().unwrap(),
        };
        moving(&rows, &volume)
    }

    #[test]
    fn what_moves_says_from_where_and_how_much_is_on_both() {
        let (name, found) = found("L21GEH-I7ac-yVee-YGTQ-JW73-LU8q-fy5BJ9")
            .unwrap()
            .unwrap();
        assert_eq!(name, "pvmove0");
        assert_eq!(
            found.from.to_string(),
            "Te4Ciw-rrhR-deoX-IF3F-vC7O-40xv-iRVXsN"
        );
        assert_eq!(found.percent, Some(51));
    }

    #[test]
    fn what_does_not_move_and_what_is_not_there_are_in_no_move() {
        for lv in ["IbhlM3-LG8X-SABN-kwIz-lixs-fSud-y5xX0X", &"z".repeat(32)] {
            assert_eq!(found(lv).unwrap(), None, "{lv}");
        }
    }
}
