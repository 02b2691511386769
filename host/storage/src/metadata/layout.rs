//! What a VG's metadata says of where its LVs are, as far as a table of linear and striped targets can
//! be made of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use volward_model::{LvUuid, LvmUuid, Sectors, VgUuid, VolumeName};
use volward_ports::PortResult;

use super::text::{self, Section, Value, unreadable};

/// A VG's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) name: String,
    pub(crate) vg: VgUuid,
    /// Counts the commits of LVM.
    pub(crate) seqno: u64,
    /// LVM's allocation unit.
    pub(crate) extent: Sectors,
    /// What keeps nodes apart on it, in LVM's words; empty where nothing does.
    pub(crate) lock_type: String,
    /// LVM may activate its LVs by itself.
    pub(crate) autoactivation: bool,
    pub(crate) pvs: Vec<Pv>,
    pub(crate) lvs: BTreeMap<LvUuid, Lv>,
}

/// A physical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pv {
    pub(crate) id: LvmUuid,
    /// Where its first extent begins.
    pub(crate) pe_start: Sectors,
    /// Its number of extents.
    pub(crate) pe_count: u64,
    /// A command of LVM's has noted that it was away.
    pub(crate) missing: bool,
}

/// A logical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lv {
    pub(crate) name: String,
    /// Where its lease is, in LVM's words (`1.0.0:70254592`).
    pub(crate) lock_args: Option<String>,
    /// Whether writing is allowed.
    pub(crate) writable: bool,
    pub(crate) tags: Vec<String>,
    /// LVM shows it, and not only as a part of another.
    pub(crate) visible: bool,
    /// LVM may activate it by itself.
    pub(crate) autoactivation: bool,
    /// Extents of the VG that it takes, where all of it is linear or striped on physical volumes.
    pub(crate) takes: Option<u64>,
    /// Its segments in their order, without a gap; or why no table of ours serves it.
    pub(crate) segments: Result<Vec<Segment>, String>,
}

/// A run of extents over one or more PVs in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Its first extent within the LV.
    pub(crate) start: u64,
    /// Its number of extents, all stripes together.
    pub(crate) extents: u64,
    /// One stripe's width; 0 where there is one stripe.
    pub(crate) chunk: Sectors,
    pub(crate) stripes: Vec<Stripe>,
}

/// A run of extents on one PV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stripe {
    /// The index in [`Layout::pvs`].
    pub(crate) pv: usize,
    /// Its first extent on that PV.
    pub(crate) extent: u64,
}

/// Words of an LV's status and flags with which its table is what the segments say. Any other word
/// (`LOCKED`, `PVMOVE`, `FIXED_MINOR`, `ACTIVATION_SKIP`, ...) means that LVM has more to do than load it.
const PLAIN: [&str; 5] = ["READ", "WRITE", WRITE_LOCKED, "VISIBLE", NO_AUTOACTIVATION];
const NO_AUTOACTIVATION: &str = "NOAUTOACTIVATE";
/// What LVM writes instead of `WRITE` in a VG with a lock type, so that an LVM which knows no lock types
/// does not write there.
const WRITE_LOCKED: &str = "WRITE_LOCKED";

/// Reads a VG's metadata.
///
/// # Errors
/// If the text is not metadata of one VG, or contradicts itself.
pub(crate) fn read(text: &str) -> PortResult<Layout> {
    let whole = text::parse(text)?;
    let mut vgs = whole.sections();
    let (Some((name, vg)), None) = (vgs.next(), vgs.next()) else {
        return Err(unreadable("it is not about one volume group"));
    };
    let extent = vg.number("extent_size")?;
    if extent == 0 {
        return Err(unreadable("its extents have no size"));
    }
    let mut pvs = Vec::new();
    let mut indices = HashMap::new();
    let none = Section::default();
    for (name, section) in vg.section("physical_volumes").unwrap_or(&none).sections() {
        indices.insert(name, pvs.len());
        pvs.push(pv(section)?);
    }
    let volumes = vg.section("logical_volumes").unwrap_or(&none);
    let known = Known {
        indices,
        pvs: &pvs,
        referred: referred(volumes),
        exported: vg.words("status")?.contains(&"EXPORTED"),
    };
    let mut lvs = BTreeMap::new();
    for (name, section) in volumes.sections() {
        lvs.insert(uuid(section)?, known.lv(name, section)?);
    }
    Ok(Layout {
        name: name.to_owned(),
        vg: uuid(vg)?,
        seqno: vg.number("seqno")?,
        extent: Sectors(extent),
        lock_type: match vg.get("lock_type") {
            Some(_) => vg.text("lock_type")?.to_owned(),
            None => String::new(),
        },
        autoactivation: autoactivation(vg)?,
        pvs,
        lvs,
    })
}

fn uuid(section: &Section) -> PortResult<LvmUuid> {
    let text = section.text("id")?;
    text.parse()
        .map_err(|error| unreadable(format!("id: {error}")))
}

fn autoactivation(section: &Section) -> PortResult<bool> {
    let words = [section.words("status")?, section.words("flags")?].concat();
    Ok(!words.contains(&NO_AUTOACTIVATION))
}

fn pv(section: &Section) -> PortResult<Pv> {
    Ok(Pv {
        id: uuid(section)?,
        pe_start: Sectors(section.number("pe_start")?),
        pe_count: section.number("pe_count")?,
        missing: section.words("flags")?.contains(&"MISSING"),
    })
}

/// Every text in a segment of any LV: an LV named there (origin, pool, image, log, pvmove) is a part of
/// another one, and LVM loads more than its segments for it. A segment's type names none.
fn referred(volumes: &Section) -> HashSet<&str> {
    let segments = volumes.sections().flat_map(|(_, lv)| lv.sections());
    segments
        .flat_map(|(_, segment)| segment.texts_beside("type"))
        .collect()
}

/// What an LV's segments are read with.
struct Known<'a> {
    /// PVs by the name that segments call them by (`pv0`).
    indices: HashMap<&'a str, usize>,
    pvs: &'a [Pv],
    referred: HashSet<&'a str>,
    exported: bool,
}

impl Known<'_> {
    fn lv(&self, name: &str, section: &Section) -> PortResult<Lv> {
        let status = section.words("status")?;
        let mut words = status.clone();
        words.extend(section.words("flags")?);
        let odd = words.iter().find(|word| !PLAIN.contains(word));
        let visible = status.contains(&"VISIBLE");
        let laid_out = self.segments(section);
        let takes = match &laid_out {
            Ok(Ok(segments)) => Some(segments.iter().map(|segment| segment.extents).sum()),
            _ => None,
        };
        let segments = match odd {
            _ if self.exported => Err("its volume group is exported".to_owned()),
            _ if name.parse::<VolumeName>().is_err() => Err("its name is none of LVM's".to_owned()),
            _ if !visible => Err("it is a hidden part of another".to_owned()),
            _ if self.referred.contains(name) => Err("another volume is made of it".to_owned()),
            Some(odd) => Err(format!("its state is {odd}")),
            None => laid_out?,
        };
        Ok(Lv {
            name: name.to_owned(),
            lock_args: match section.get("lock_args") {
                Some(_) => Some(section.text("lock_args")?.to_owned()),
                None => None,
            },
            writable: words.contains(&"WRITE") || words.contains(&WRITE_LOCKED),
            tags: section
                .words("tags")?
                .into_iter()
                .map(str::to_owned)
                .collect(),
            visible,
            autoactivation: autoactivation(section)?,
            takes,
            segments,
        })
    }

    fn segments(&self, lv: &Section) -> PortResult<Result<Vec<Segment>, String>> {
        let mut segments = Vec::new();
        for (_, section) in lv.sections() {
            match self.segment(section)? {
                Ok(segment) => segments.push(segment),
                Err(why) => return Ok(Err(why)),
            }
        }
        segments.sort_by_key(|segment| segment.start);
        let count = u64::try_from(segments.len()).unwrap_or(u64::MAX);
        if lv.number("segment_count")? != count || count == 0 {
            return Err(unreadable(format!("an LV with {count} segments")));
        }
        let mut next = 0_u64;
        for segment in &segments {
            if segment.start != next {
                return Err(unreadable(format!("a gap in an LV at extent {next}")));
            }
            next = next
                .checked_add(segment.extents)
                .ok_or_else(|| unreadable("an LV that does not end"))?;
        }
        Ok(Ok(segments))
    }

    /// `Err` within: what it is instead of linear or striped.
    fn segment(&self, section: &Section) -> PortResult<Result<Segment, String>> {
        let kind = section.text("type")?;
        if kind != "striped" {
            // LVM calls linear "striped" too, with one stripe.
            return Ok(Err(format!("it is of type {kind}")));
        }
        let count = section.number("stripe_count")?;
        let extents = section.number("extent_count")?;
        let chunk = match count {
            1 => 0,
            _ => section.number("stripe_size")?,
        };
        let mut stripes = Vec::new();
        for pair in section.list("stripes")?.chunks(2) {
            let [Value::Text(name), Value::Number(extent)] = pair else {
                return Err(unreadable("stripes that are no pairs of name and extent"));
            };
            let Some(&pv) = self.indices.get(name.as_str()) else {
                // Of an LV: a part of a mirror or of a pvmove under way.
                return Ok(Err(format!("a part of it is on {name}")));
            };
            if self.pvs[pv].missing {
                return Ok(Err(format!(
                    "its physical volume {} is missing",
                    self.pvs[pv].id
                )));
            }
            let extent = u64::try_from(*extent).map_err(|_| unreadable("an extent below zero"))?;
            let each = extents.checked_div(count).unwrap_or(0);
            let end = extent.checked_add(each);
            if end.is_none_or(|end| end > self.pvs[pv].pe_count) {
                return Err(unreadable(format!("a segment beyond the end of {name}")));
            }
            stripes.push(Stripe { pv, extent });
        }
        let whole = u64::try_from(stripes.len()) == Ok(count) && count > 0;
        let even = extents > 0 && extents.checked_rem(count) == Some(0);
        if !whole || !even || (count > 1 && chunk == 0) {
            return Err(unreadable(format!("{extents} extents on {count} stripes")));
        }
        Ok(Ok(Segment {
            start: section.number("start_extent")?,
            extents,
            chunk: Sectors(chunk),
            stripes,
        }))
    }
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
