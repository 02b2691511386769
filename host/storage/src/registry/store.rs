//! Reading and writing places on an open file: the LV's device, or a plain file in tests.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use volward_model::{NewerSlot, NumberedSlot, Slot, SlotReading};
use volward_ports::{PortError, PortResult, Unmet};

use super::header::{Found, Header};
use super::layout::{Layout, SEGMENT};
use super::payload::{self, CannotEncode, Decoded};
use crate::blockdev::io;
use crate::buffer::Buffer;

/// What a segment's flag holds once a place of it was written. All writers write the same, so it
/// does not matter who comes first.
const FLAG: &[u8; 8] = b"VWSEGM02";

/// Slots read before: valid as long as layout and header are still the same.
#[derive(Debug, Default)]
pub(super) struct Cache {
    layout: Option<Layout>,
    places: HashMap<u64, (Header, Content)>,
}

/// A payload that was read.
#[derive(Clone, Debug)]
enum Content {
    Slot(Arc<Slot>),
    Newer(NewerSlot),
}

impl Content {
    fn reading(self, torn: bool) -> SlotReading {
        match self {
            Self::Slot(slot) => SlotReading::Good { slot, torn },
            Self::Newer(newer) => SlotReading::Newer(newer),
        }
    }
}

#[derive(Debug)]
pub(super) struct Store {
    pub(super) file: File,
    pub(super) layout: Layout,
    pub(super) name: String,
}

/// The copies of one place, and which of them a reader believes.
pub(super) struct Place {
    host_id: u64,
    pub(super) copies: [Found; 2],
}

impl Place {
    /// The copies with a usable header, newest first: number of the copy and header.
    fn newest_first(&self) -> Vec<(usize, Header)> {
        let mut usable: Vec<(usize, Header)> = (0..)
            .zip(&self.copies)
            .filter_map(|(copy, found)| match found {
                Found::Header(header) => Some((copy, *header)),
                Found::Empty | Found::Newer | Found::Bad(_) => None,
            })
            .collect();
        usable.sort_by_key(|(_, header)| std::cmp::Reverse(header.sequence));
        usable
    }

    /// Why copies cannot be used.
    fn complaints(&self) -> Vec<String> {
        let bad = self.copies.iter().filter_map(|found| match found {
            Found::Bad(reason) => Some(reason.clone()),
            Found::Empty | Found::Newer | Found::Header(_) => None,
        });
        bad.collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.copies.iter().all(|found| *found == Found::Empty)
    }

    fn is_newer(&self) -> bool {
        self.copies.contains(&Found::Newer)
    }

    /// How often it was written; `None` where a copy that cannot be read may be the newest.
    fn writes(&self) -> Option<u64> {
        let readable = |found: &Found| matches!(found, Found::Empty | Found::Header(_));
        let newest = self.newest_first().first().map(|(_, h)| h.sequence);
        self.copies
            .iter()
            .all(readable)
            .then(|| newest.unwrap_or_default())
    }
}

impl Store {
    pub(super) fn read_at(&self, buffer: &mut [u8], at: u64) -> PortResult<()> {
        self.file
            .read_exact_at(buffer, at)
            .map_err(io(format!("cannot read {}", self.name)))
    }

    pub(super) fn write_at(&self, bytes: &[u8], at: u64) -> PortResult<()> {
        self.file
            .write_all_at(bytes, at)
            .map_err(io(format!("cannot write {}", self.name)))
    }

    pub(super) fn sync(&self) -> PortResult<()> {
        self.file
            .sync_data()
            .map_err(io(format!("cannot flush {}", self.name)))
    }

    fn stride(&self) -> usize {
        self.layout.stride as usize
    }

    /// Every place that was ever written.
    pub(super) fn read(&self, cache: &mut Cache) -> PortResult<Vec<NumberedSlot>> {
        if cache.layout != Some(self.layout) {
            cache.places.clear();
            cache.layout = Some(self.layout);
        }
        let mut slots = Vec::new();
        for place in self.places()? {
            let host_id = place.host_id;
            let reading = self.read_place(&place, cache)?;
            slots.push(NumberedSlot { host_id, reading });
        }
        Ok(slots)
    }

    /// The places that were ever written, by as much of the index as can have some: the first
    /// segment comes with the flags, the others where their flag is set, neighbours at once.
    pub(super) fn places(&self) -> PortResult<Vec<Place>> {
        let mut places = Vec::new();
        let end = u64::from(self.layout.places);
        if self.layout.segments() == 0 {
            self.index(1, end, 0, &mut places)?;
            return Ok(places);
        }
        let flags = self.layout.segments() as usize * self.stride();
        let head = self.index(1, end.min(SEGMENT), flags, &mut places)?;
        let used: Vec<bool> = head[..flags]
            .chunks_exact(self.stride())
            .map(|flag| flag.iter().any(|byte| *byte != 0))
            .collect();
        let mut segment = 1;
        while segment < used.len() {
            let run = used[segment..].iter().take_while(|used| **used).count();
            let first = segment as u64 * SEGMENT + 1;
            let last = end.min((segment + run) as u64 * SEGMENT);
            if run > 0 {
                self.index(first, last, 0, &mut places)?;
            }
            segment += run + 1;
        }
        Ok(places)
    }

    /// Reads the headers of some places, with so many bytes before them, which are returned.
    fn index(
        &self,
        first: u64,
        last: u64,
        before: usize,
        places: &mut Vec<Place>,
    ) -> PortResult<Buffer> {
        let pair = 2 * self.stride();
        let length = before + (last + 1 - first) as usize * pair;
        let mut buffer = Buffer::zeroed(length);
        let at = self.layout.header_at(first, 0) - before as u64;
        self.read_at(&mut buffer[..length], at)?;
        let pairs = buffer[before..length].chunks_exact(pair);
        let found = (first..)
            .zip(pairs)
            .map(|(host_id, pair)| self.parse(host_id, pair));
        places.extend(found.filter(|place| !place.is_empty()));
        Ok(buffer)
    }

    fn parse(&self, host_id: u64, pair: &[u8]) -> Place {
        let (first, second) = pair.split_at(self.stride());
        let most = self.layout.place_size;
        Place {
            host_id,
            copies: [first, second].map(|block| Header::read(block, host_id, most)),
        }
    }

    pub(super) fn place(&self, host_id: u64) -> PortResult<Place> {
        let length = 2 * self.stride();
        let mut pair = Buffer::zeroed(length);
        self.read_at(&mut pair[..length], self.layout.header_at(host_id, 0))?;
        Ok(self.parse(host_id, &pair[..length]))
    }

    /// A place that cannot be read at first is looked at once more: its node may have written it
    /// twice between our look at its header and at its payload.
    fn read_place(&self, place: &Place, cache: &mut Cache) -> PortResult<SlotReading> {
        match self.try_place(place, cache)? {
            SlotReading::Broken { .. } | SlotReading::Good { torn: true, .. } => {
                self.try_place(&self.place(place.host_id)?, cache)
            }
            reading => Ok(reading),
        }
    }

    /// The newest copy whose checksum is right, whether it is understood or not. One that is not
    /// is never replaced by the copy before it: that one says what was.
    fn try_place(&self, place: &Place, cache: &mut Cache) -> PortResult<SlotReading> {
        if place.is_newer() {
            return Ok(SlotReading::Newer(NewerSlot {
                node: None,
                generation: None,
                held: None,
                reason: "its header is of a later version".to_owned(),
            }));
        }
        let mut complaints = place.complaints();
        for (copy, header) in place.newest_first() {
            let torn = !complaints.is_empty();
            let cached = cache.places.get(&place.host_id);
            if let Some((_, content)) = cached.filter(|(known, _)| *known == header) {
                return Ok(content.clone().reading(torn));
            }
            let payload = self.payload(place.host_id, copy, &header)?;
            let payload = &payload[..header.length as usize];
            if !header.matches(payload) {
                complaints.push("torn content".to_owned());
                continue;
            }
            let content = match payload::decode(payload, place.host_id) {
                Decoded::Slot(slot) => Content::Slot(Arc::new(slot)),
                Decoded::Newer(newer) => Content::Newer(newer),
                Decoded::Foreign(host_id) => {
                    complaints.push(format!("the slot of host-id {host_id}"));
                    break;
                }
            };
            let known = (header, content.clone());
            cache.places.insert(place.host_id, known);
            return Ok(content.reading(torn));
        }
        cache.places.remove(&place.host_id);
        Ok(SlotReading::Broken {
            reason: complaints.join("; "),
        })
    }

    /// What lies where a copy's payload is: no more of it than the header says is used.
    pub(super) fn payload(&self, host_id: u64, copy: usize, header: &Header) -> PortResult<Buffer> {
        let mut buffer = Buffer::zeroed(header.length as usize);
        self.read_at(&mut buffer, self.layout.payload_at(host_id, copy))?;
        Ok(buffer)
    }

    /// How often a place was written; `None` where that cannot be told.
    pub(super) fn writes(&self, host_id: u64) -> PortResult<Option<u64>> {
        self.has_place(host_id)?;
        Ok(self.place(host_id)?.writes())
    }

    fn has_place(&self, host_id: u64) -> PortResult<()> {
        if (1..=u64::from(self.layout.places)).contains(&host_id) {
            return Ok(());
        }
        Err(PortError::from(Unmet::NoPlace {
            registry: self.name.clone(),
            places: self.layout.places.into(),
            host_id,
        }))
    }

    /// Writes a node's place: over the copy that is not the newest whole one. Answers how often it was written before, and
    /// by now.
    pub(super) fn write(&self, slot: &Slot) -> PortResult<(Option<u64>, u64)> {
        let host_id = slot.host_id;
        self.has_place(host_id)?;
        let payload = self.encoded(slot)?;
        let place = self.place(host_id)?;
        let (copy, sequence) = self.next(&place)?;
        let header = Header::of(host_id, sequence, &payload).ok_or_else(|| PortError::Io {
            what: "cannot write down a slot".to_owned(),
            reason: format!("{} bytes", payload.len()),
        })?;
        self.flag(host_id)?;
        self.put(host_id, copy, &payload, &header.to_block())?;
        // What a later version of this very node left, before it was replaced by this one.
        let other = 1 - copy;
        if place.copies[other] == Found::Newer {
            let zeroes = Buffer::zeroed(self.stride());
            let at = self.layout.header_at(host_id, other);
            self.write_at(&zeroes[..self.stride()], at)?;
        }
        self.sync()?;
        Ok((place.writes(), sequence))
    }

    fn encoded(&self, slot: &Slot) -> PortResult<Vec<u8>> {
        let most = self.layout.place_size;
        payload::encode(slot, self.layout.format, most).map_err(|error| match error {
            CannotEncode::TooLarge(bytes) => PortError::from(Unmet::RegistryFull {
                registry: self.name.clone(),
                bytes,
                most: most as usize,
            }),
            CannotEncode::Failed(reason) => PortError::Io {
                what: "cannot write down a slot".to_owned(),
                reason,
            },
        })
    }

    /// Payload, then the header that makes it the place's content.
    pub(super) fn put(
        &self,
        host_id: u64,
        copy: usize,
        payload: &[u8],
        header: &[u8],
    ) -> PortResult<()> {
        if !payload.is_empty() {
            let at = self.layout.payload_at(host_id, copy);
            self.write_at(&Buffer::holding(payload), at)?;
        }
        let stride = self.stride();
        let block = Buffer::holding(&header[..stride.min(header.len())]);
        self.write_at(&block[..stride], self.layout.header_at(host_id, copy))
    }

    /// Makes readers look at the place's segment: durably, before there is anything to see.
    pub(super) fn flag(&self, host_id: u64) -> PortResult<()> {
        let segment = (host_id - 1) / SEGMENT;
        if segment == 0 || segment >= self.layout.segments() {
            return Ok(());
        }
        let (at, stride) = (self.layout.flag_at(segment), self.stride());
        let mut flag = Buffer::zeroed(stride);
        self.read_at(&mut flag[..stride], at)?;
        if flag[..stride].iter().any(|byte| *byte != 0) {
            return Ok(());
        }
        flag[..FLAG.len()].copy_from_slice(FLAG);
        self.write_at(&flag[..stride], at)?;
        self.sync()
    }

    /// Copy and sequence number of a place's next write.
    fn next(&self, place: &Place) -> PortResult<(usize, u64)> {
        let usable = place.newest_first();
        let sequence = usable.first().map_or(0, |(_, header)| header.sequence) + 1;
        for (copy, header) in usable {
            let payload = self.payload(place.host_id, copy, &header)?;
            if header.matches(&payload[..header.length as usize]) {
                return Ok((1 - copy, sequence));
            }
        }
        Ok((0, sequence))
    }
}

#[cfg(test)]
pub(super) mod tests;
