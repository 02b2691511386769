//! A device's table as LVM makes it: a target for each segment, linear or striped, over the PVs' numbers.

use volward_model::{DeviceNumber, LvmUuid};
use volward_ports::{PortError, PortResult};

use super::layout::{Layout, Lv, Segment};

/// Start, length, target, parameters, in sectors.
pub(crate) type Line = (u64, u64, String, String);

/// The lines of an LV's table. `number` tells which device a PV is on, at this moment.
///
/// # Errors
/// If no table of ours serves the LV, a PV is not there, or a place is beyond what a sector number can
/// say.
pub(crate) fn lines(
    layout: &Layout,
    lv: &Lv,
    number: impl Fn(LvmUuid) -> Option<DeviceNumber>,
) -> PortResult<Vec<Line>> {
    let segments = lv.segments.as_ref().map_err(|why| PortError::Invalid {
        what: format!("a table for {}/{}", layout.name, lv.name),
        reason: why.clone(),
    })?;
    let lines = segments.iter();
    lines
        .map(|segment| line(layout, segment, &number))
        .collect()
}

fn line(
    layout: &Layout,
    segment: &Segment,
    number: &impl Fn(LvmUuid) -> Option<DeviceNumber>,
) -> PortResult<Line> {
    let sectors = |extents: u64| {
        let sectors = extents.checked_mul(layout.extent.0);
        sectors.ok_or_else(|| PortError::Invalid {
            what: format!("extent {extents} of {}", layout.name),
            reason: "it is beyond every disk".to_owned(),
        })
    };
    let mut places = Vec::with_capacity(segment.stripes.len());
    for stripe in &segment.stripes {
        let pv = &layout.pvs[stripe.pv];
        let device = number(pv.id).ok_or_else(|| PortError::Missing {
            what: format!("the physical volume {} of {}", pv.id, layout.name),
        })?;
        let start = pv.pe_start.0.saturating_add(sectors(stripe.extent)?);
        places.push(format!("{device} {start}"));
    }
    let places = places.join(" ");
    let (target, words) = match segment.stripes.len() {
        1 => ("linear", places),
        count => ("striped", format!("{count} {} {places}", segment.chunk.0)),
    };
    let (start, length) = (sectors(segment.start)?, sectors(segment.extents)?);
    Ok((start, length, target.to_owned(), words))
}

/// Device-mapper's name of an LV: hyphens within the names are doubled.
pub(crate) fn device_name(vg: &str, lv: &str) -> String {
    format!("{}-{}", vg.replace('-', "--"), lv.replace('-', "--"))
}
