//! Opening a registry, making one, and converting one of 0.1.0's layout.

use std::fs::File;

use volward_model::Bytes;
use volward_ports::{Applied, PortError, PortResult, Unmet};

use super::header::Found;
use super::layout::{Layout, NoLayout, PLACE_SIZE};
use super::store::{Cache, Store};
use crate::blockdev::io;
use crate::buffer::{BLOCK, Buffer};

impl Store {
    fn with(file: File, layout: Layout, name: &str) -> Self {
        Self {
            file,
            layout,
            name: name.to_owned(),
        }
    }

    /// Opens a registry that was formatted.
    pub(super) fn open(file: File, size: Bytes, name: &str) -> PortResult<Self> {
        let first = superblock(&file, name)?;
        let layout = Layout::read(&first).map_err(|why| refused(name, why))?;
        if layout.end() > size.0 {
            return Err(PortError::Identity {
                what: name.to_owned(),
                expected: format!("room for {} places", layout.places),
                found: size.to_string(),
            });
        }
        Ok(Self::with(file, layout, name))
    }

    /// Makes a fresh registry: every place empty. `stride`: what the device writes as a whole.
    pub(super) fn format(file: File, size: Bytes, stride: u32, name: &str) -> PortResult<()> {
        match Layout::read(&superblock(&file, name)?) {
            Err(NoLayout::None) => {}
            Err(why) => return Err(refused(name, why)),
            Ok(_) => {
                return Err(PortError::from(Unmet::RegistryExists {
                    registry: name.to_owned(),
                }));
            }
        }
        let layout = fitting(size, BLOCK as u64, stride, name)?;
        let store = Self::with(file, layout, name);
        store.clear()?;
        store.commit()
    }

    /// Moves a registry of layout 1 to layout 2, byte for byte, damage included: both copies of
    /// each place, so that nothing is forgotten and nothing broken becomes whole. Until the
    /// superblock is written the old one is untouched.
    pub(super) fn convert(&self, size: Bytes, stride: u32) -> PortResult<Applied> {
        if self.layout.format != 1 {
            return Ok(Applied::Identity);
        }
        let behind = self.layout.end().next_multiple_of(u64::from(PLACE_SIZE));
        let layout = fitting(size, behind, stride, &self.name)?;
        if layout.places < self.layout.places {
            return Err(PortError::Invalid {
                what: format!("converting {}", self.name),
                reason: format!(
                    "{size} have {} places, and it has {} now",
                    layout.places, self.layout.places
                ),
            });
        }
        let file = self.file.try_clone();
        let file = file.map_err(io(format!("cannot open {} again", self.name)))?;
        let target = Self::with(file, layout, &self.name);
        target.clear()?;
        for host_id in 1..=u64::from(self.layout.places) {
            self.carry(host_id, &target)?;
        }
        target.sync()?;
        if self.read(&mut Cache::default())? != target.read(&mut Cache::default())? {
            return Err(PortError::Identity {
                what: self.name.clone(),
                expected: "the same slots after the conversion".to_owned(),
                found: "others; nothing was changed".to_owned(),
            });
        }
        target.commit()?;
        Ok(Applied::Changed)
    }

    /// One place, as it is.
    fn carry(&self, host_id: u64, target: &Self) -> PortResult<()> {
        let place = self.place(host_id)?;
        if place.is_empty() {
            return Ok(());
        }
        target.flag(host_id)?;
        for (copy, found) in place.copies.iter().enumerate() {
            let mut header = Buffer::zeroed(BLOCK);
            self.read_at(&mut header, self.layout.header_at(host_id, copy))?;
            let payload = match found {
                Found::Header(header) => self.payload(host_id, copy, header)?.to_vec(),
                Found::Empty | Found::Newer | Found::Bad(_) => Vec::new(),
            };
            target.put(host_id, copy, &payload, &header)?;
        }
        Ok(())
    }

    /// Forgets whatever was where flags and index are to be.
    pub(super) fn clear(&self) -> PortResult<()> {
        let from = self.layout.base;
        let length = (self.layout.payload_at(1, 0) - from) as usize;
        self.write_at(&Buffer::zeroed(length)[..length], from)?;
        self.sync()
    }

    /// Last: a registry without its superblock is none.
    pub(super) fn commit(&self) -> PortResult<()> {
        self.write_at(&Buffer::holding(&self.layout.superblock()), 0)?;
        self.sync()
    }
}

fn superblock(file: &File, name: &str) -> PortResult<Buffer> {
    use std::os::unix::fs::FileExt;
    let mut first = Buffer::zeroed(BLOCK);
    file.read_exact_at(&mut first, 0)
        .map_err(io(format!("cannot read {name}")))?;
    Ok(first)
}

fn refused(name: &str, why: NoLayout) -> PortError {
    let registry = name.to_owned();
    PortError::from(match why {
        NoLayout::None => Unmet::NoRegistry { registry },
        why => Unmet::RegistryUnreadable {
            registry,
            reason: why.sentence().to_owned(),
        },
    })
}

fn fitting(size: Bytes, base: u64, stride: u32, name: &str) -> PortResult<Layout> {
    Layout::fitting(size, base, stride, PLACE_SIZE).ok_or_else(|| PortError::Invalid {
        what: format!("a registry in {name}"),
        reason: format!("{size} are too little for one place"),
    })
}
