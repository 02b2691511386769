//! Reading and writing places on an open file: the LV's device, or a plain file in tests.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use volward_model::{Bytes, NumberedSlot, Slot, SlotReading};
use volward_ports::{PortError, PortResult, Unmet};

use super::header::{self, Found, Header};
use crate::blockdev::io;
use crate::buffer::{BLOCK, Buffer};

/// Most bytes of a slot.
pub(super) const PAYLOAD: usize = 64 << 10;
/// sanlock has no more host-ids.
const MOST_PLACES: u64 = 2000;
const BLOCK_BYTES: u64 = BLOCK as u64;
/// The two headers of a place.
const PAIR: usize = 2 * BLOCK;

/// Slots read before, by host-id: valid as long as their header is still the newest.
pub(super) type Cache = HashMap<u64, (Header, Slot)>;

#[derive(Debug)]
pub(super) struct Store {
    file: File,
    places: u32,
    name: String,
}

/// The copies of one place, and which of them a reader believes.
struct Place {
    host_id: u64,
    copies: [Found; 2],
}

impl Place {
    /// The copies with a usable header, newest first: number of the copy and header.
    fn newest_first(&self) -> Vec<(usize, Header)> {
        let mut usable: Vec<(usize, Header)> = (0..)
            .zip(&self.copies)
            .filter_map(|(copy, found)| match found {
                Found::Header(header) => Some((copy, *header)),
                Found::Empty | Found::Bad(_) => None,
            })
            .collect();
        usable.sort_by_key(|(_, header)| std::cmp::Reverse(header.sequence));
        usable
    }

    /// Why copies cannot be used.
    fn complaints(&self) -> Vec<String> {
        let bad = self.copies.iter().filter_map(|found| match found {
            Found::Bad(reason) => Some(reason.clone()),
            Found::Empty | Found::Header(_) => None,
        });
        bad.collect()
    }

    fn is_empty(&self) -> bool {
        self.copies.iter().all(|found| *found == Found::Empty)
    }
}

/// How many places fit.
fn places_in(size: Bytes) -> u64 {
    let per_place = (PAIR + 2 * PAYLOAD) as u64;
    // The superblock, and at most one payload's worth of rounding before the payloads.
    let overhead = BLOCK_BYTES + PAYLOAD as u64;
    (size.0.saturating_sub(overhead) / per_place).min(MOST_PLACES)
}

impl Store {
    /// Makes a fresh registry: every place empty.
    pub(super) fn format(file: File, size: Bytes, name: &str) -> PortResult<()> {
        let places = u32::try_from(places_in(size)).unwrap_or(0);
        if places == 0 {
            return Err(PortError::Invalid {
                what: format!("a registry in {name}"),
                reason: format!("{size} are too little for one place"),
            });
        }
        let store = Self {
            file,
            places,
            name: name.to_owned(),
        };
        let mut first = Buffer::zeroed(BLOCK);
        store.read_at(&mut first, 0)?;
        if header::is_superblock(&first) {
            return Err(PortError::from(Unmet::RegistryExists {
                registry: name.to_owned(),
            }));
        }
        store.write_at(&Buffer::zeroed(store.index_len()), BLOCK_BYTES)?;
        store.sync()?;
        // Last: a registry without it is none.
        store.write_at(&Buffer::holding(&header::superblock(places)), 0)?;
        store.sync()
    }

    /// Opens a registry that was formatted.
    pub(super) fn open(file: File, size: Bytes, name: &str) -> PortResult<Self> {
        let mut store = Self {
            file,
            places: 0,
            name: name.to_owned(),
        };
        let mut first = Buffer::zeroed(BLOCK);
        store.read_at(&mut first, 0)?;
        let registry = name.to_owned();
        if !header::is_superblock(&first) {
            return Err(PortError::from(Unmet::NoRegistry { registry }));
        }
        store.places = header::places(&first).map_err(|reason| Unmet::RegistryUnreadable {
            registry,
            reason: reason.to_owned(),
        })?;
        if u64::from(store.places) > places_in(size) {
            return Err(PortError::Identity {
                what: name.to_owned(),
                expected: format!("room for {} places", store.places),
                found: size.to_string(),
            });
        }
        Ok(store)
    }

    fn index_len(&self) -> usize {
        self.places as usize * PAIR
    }

    fn header_at(host_id: u64, copy: usize) -> u64 {
        BLOCK_BYTES + (host_id - 1) * PAIR as u64 + copy as u64 * BLOCK_BYTES
    }

    fn payload_at(&self, host_id: u64, copy: usize) -> u64 {
        let payload = PAYLOAD as u64;
        let start = (BLOCK_BYTES + self.index_len() as u64).next_multiple_of(payload);
        start + ((host_id - 1) * 2 + copy as u64) * payload
    }

    fn read_at(&self, buffer: &mut Buffer, at: u64) -> PortResult<()> {
        self.file
            .read_exact_at(buffer, at)
            .map_err(io(format!("cannot read {}", self.name)))
    }

    fn write_at(&self, buffer: &Buffer, at: u64) -> PortResult<()> {
        self.file
            .write_all_at(buffer, at)
            .map_err(io(format!("cannot write {}", self.name)))
    }

    fn sync(&self) -> PortResult<()> {
        self.file
            .sync_data()
            .map_err(io(format!("cannot flush {}", self.name)))
    }

    /// Every place that was ever written.
    pub(super) fn read(&self, cache: &mut Cache) -> PortResult<Vec<NumberedSlot>> {
        let mut index = Buffer::zeroed(self.index_len());
        self.read_at(&mut index, BLOCK_BYTES)?;
        let mut slots = Vec::new();
        for (host_id, pair) in (1..).zip(index.chunks_exact(PAIR)) {
            let place = Self::place(host_id, pair);
            if place.is_empty() {
                cache.remove(&host_id);
                continue;
            }
            let reading = self.read_place(&place, cache)?;
            slots.push(NumberedSlot { host_id, reading });
        }
        Ok(slots)
    }

    fn place(host_id: u64, pair: &[u8]) -> Place {
        let (first, second) = pair.split_at(BLOCK);
        Place {
            host_id,
            copies: [first, second].map(|block| Header::read(block, host_id, PAYLOAD)),
        }
    }

    /// A place that cannot be read at first is looked at once more: its node may have written it
    /// twice between our look at its header and at its payload.
    fn read_place(&self, place: &Place, cache: &mut Cache) -> PortResult<SlotReading> {
        let reading = self.try_place(place, cache)?;
        if matches!(reading, SlotReading::Good { torn: false, .. }) {
            return Ok(reading);
        }
        let mut pair = Buffer::zeroed(PAIR);
        self.read_at(&mut pair, Self::header_at(place.host_id, 0))?;
        self.try_place(&Self::place(place.host_id, &pair), cache)
    }

    fn try_place(&self, place: &Place, cache: &mut Cache) -> PortResult<SlotReading> {
        let mut complaints = place.complaints();
        for (copy, header) in place.newest_first() {
            let cached = cache.get(&place.host_id);
            if let Some((_, slot)) = cached.filter(|(known, _)| *known == header) {
                return Ok(SlotReading::Good {
                    slot: slot.clone(),
                    torn: !complaints.is_empty(),
                });
            }
            match self.payload(place.host_id, copy, &header)? {
                Ok(slot) => {
                    cache.insert(place.host_id, (header, slot.clone()));
                    return Ok(SlotReading::Good {
                        slot,
                        torn: !complaints.is_empty(),
                    });
                }
                Err(reason) => complaints.push(reason),
            }
        }
        cache.remove(&place.host_id);
        Ok(SlotReading::Broken {
            reason: complaints.join("; "),
        })
    }

    /// The slot of a copy; the inner error says what is wrong with it.
    fn payload(
        &self,
        host_id: u64,
        copy: usize,
        header: &Header,
    ) -> PortResult<Result<Slot, String>> {
        let length = header.length as usize;
        let mut buffer = Buffer::zeroed(length);
        self.read_at(&mut buffer, self.payload_at(host_id, copy))?;
        let payload = &buffer[..length];
        if !header.matches(payload) {
            return Ok(Err("torn content".to_owned()));
        }
        Ok(match serde_json::from_slice::<Slot>(payload) {
            Ok(slot) if slot.host_id == host_id => Ok(slot),
            Ok(slot) => Err(format!("the slot of host-id {}", slot.host_id)),
            Err(error) => Err(format!("not a slot: {error}")),
        })
    }

    /// Writes a node's place: over the copy that is not the newest good one.
    pub(super) fn write(&self, slot: &Slot) -> PortResult<()> {
        if slot.host_id == 0 || slot.host_id > u64::from(self.places) {
            return Err(PortError::from(Unmet::NoPlace {
                registry: self.name.clone(),
                places: self.places.into(),
                host_id: slot.host_id,
            }));
        }
        let payload = serde_json::to_vec(slot).map_err(|error| PortError::Io {
            what: "cannot write down a slot".to_owned(),
            reason: error.to_string(),
        })?;
        let mut pair = Buffer::zeroed(PAIR);
        self.read_at(&mut pair, Self::header_at(slot.host_id, 0))?;
        let place = Self::place(slot.host_id, &pair);
        let (copy, sequence) = self.next(&place)?;
        let header = Header::of(slot.host_id, sequence, &payload)
            .filter(|header| header.length as usize <= PAYLOAD)
            .ok_or_else(|| Unmet::RegistryFull {
                registry: self.name.clone(),
                bytes: payload.len(),
                most: PAYLOAD,
            })?;
        self.write_at(
            &Buffer::holding(&payload),
            self.payload_at(slot.host_id, copy),
        )?;
        let block = Buffer::holding(&header.to_block());
        self.write_at(&block, Self::header_at(slot.host_id, copy))?;
        self.sync()
    }

    /// Copy and sequence number of a place's next write.
    fn next(&self, place: &Place) -> PortResult<(usize, u64)> {
        let usable = place.newest_first();
        let sequence = usable.first().map_or(0, |(_, header)| header.sequence) + 1;
        for (copy, header) in usable {
            if self.payload(place.host_id, copy, &header)?.is_ok() {
                return Ok((1 - copy, sequence));
            }
        }
        Ok((0, sequence))
    }
}

#[cfg(test)]
mod tests;
