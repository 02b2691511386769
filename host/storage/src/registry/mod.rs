//! The registry on the LUN: a small LV that every node reads and in which each writes its own
//! place.
//!
//! On disk: a superblock; an index with two headers per place; two payloads per place. A place's
//! two copies are written in turn, so that the one before survives a torn write. The headers lie
//! together so that one read of the index tells which places changed; only those are read
//! further. Where things lie is `layout`'s to say, what a payload is `payload`'s.
//!
//! Everything goes past the page cache (O_DIRECT): other nodes write too.

#[cfg(any(test, feature = "fake"))]
mod fake;
mod header;
mod layout;
#[cfg(test)]
mod limits;
mod make;
mod payload;
#[cfg(test)]
mod released;
mod store;

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::OFlags;
use volward_model::volume::REGISTRY_VOLUME;
use volward_model::{Bytes, NumberedSlot, PoolName, RegistryLayout, Slot, VolumeId};
use volward_ports::{Applied, PortError, PortResult, Registry, Writes, Written};

use crate::blockdev;
use crate::worker::Worker;
use store::{Cache, Store};

/// A LUN that does not answer for so long hangs.
const DEADLINE: Duration = Duration::from_secs(20);

/// The registries of all pools, each with a thread of its own: a hanging LUN blocks nobody else.
#[derive(Debug, Default)]
pub struct LunRegistry {
    workers: Mutex<HashMap<PoolName, Arc<Worker<Conversation>>>>,
}

/// What a pool's thread keeps: the slots it has read, by dm UUID of the LV they came from; and the LV open, as long as
/// this node's slot says that something is attached. Deactivated by hand under an attachment, the registry would not
/// keep the lockspace from being stopped any more, and the leases would be gone without a word.
#[derive(Debug)]
struct Conversation {
    pool: PoolName,
    cache: HashMap<String, Cache>,
    kept: Option<File>,
}

/// The registry's LV, open.
struct Opened {
    /// Its dm UUID.
    uuid: String,
    id: VolumeId,
    file: File,
    size: Bytes,
    /// Bytes that the device writes as a whole.
    stride: u32,
    /// For sentences.
    name: String,
}

impl Conversation {
    /// Opens the registry's LV anew each time, by its identity (I12).
    fn open(&self, write: bool) -> PortResult<Opened> {
        let what = || PortError::Missing {
            what: format!("an active {}/{REGISTRY_VOLUME}", self.pool),
        };
        let uuid =
            blockdev::lv_uuid_named(self.pool.as_str(), REGISTRY_VOLUME)?.ok_or_else(what)?;
        let id = blockdev::lv_of(&uuid).ok_or_else(what)?;
        let device = blockdev::open(&uuid, write, OFlags::DIRECT)?;
        Ok(Opened {
            uuid,
            id,
            size: blockdev::size(device.number)?,
            stride: blockdev::write_unit(device.number),
            file: device.file,
            name: format!("{}/{REGISTRY_VOLUME}", self.pool),
        })
    }

    /// Open before anybody may rely on what the slot says, and until nobody does.
    fn write(&mut self, opened: Opened, slot: &Slot) -> PortResult<Written> {
        let store = Store::open(opened.file, opened.size, &opened.name)?;
        let nothing = slot.attachments.is_empty() && slot.unknown == 0;
        if !nothing {
            let open = format!("cannot keep {} open", opened.name);
            self.kept = Some(store.file.try_clone().map_err(blockdev::io(open))?);
        }
        let (before, count) = store.write(slot)?;
        if nothing {
            self.kept = None;
        }
        let before = Writes {
            registry: opened.id,
            count: before,
        };
        Ok(Written { before, count })
    }

    fn store<T>(
        &mut self,
        write: bool,
        call: impl FnOnce(&Store, &mut Cache) -> PortResult<T>,
    ) -> PortResult<T> {
        let opened = self.open(write)?;
        let store = Store::open(opened.file, opened.size, &opened.name)?;
        call(&store, self.cache.entry(opened.uuid).or_default())
    }
}

impl LunRegistry {
    /// No registry is opened before it is used.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn call<T: Send + 'static>(
        &self,
        pool: &PoolName,
        doing: &str,
        call: impl FnOnce(&mut Conversation) -> PortResult<T> + Send + 'static,
    ) -> PortResult<T> {
        let worker = {
            let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
            let worker = workers.entry(pool.clone()).or_insert_with(|| {
                Arc::new(Worker::start(Conversation {
                    pool: pool.clone(),
                    cache: HashMap::new(),
                    kept: None,
                }))
            });
            Arc::clone(worker)
        };
        worker.call(&format!("{doing} the registry of {pool}"), DEADLINE, call)
    }
}

impl Registry for LunRegistry {
    fn read(&self, pool: &PoolName) -> PortResult<Vec<NumberedSlot>> {
        self.call(pool, "reading", |conversation| {
            conversation.store(false, |store, cache| store.read(cache))
        })
    }

    fn write(&self, pool: &PoolName, slot: &Slot) -> PortResult<Written> {
        let slot = slot.clone();
        self.call(pool, "writing", move |conversation| {
            let opened = conversation.open(true)?;
            conversation.write(opened, &slot)
        })
    }

    fn writes(&self, pool: &PoolName, host_id: u64) -> PortResult<Writes> {
        self.call(pool, "reading", move |conversation| {
            let opened = conversation.open(false)?;
            let registry = opened.id;
            let store = Store::open(opened.file, opened.size, &opened.name)?;
            let count = store.writes(host_id)?;
            Ok(Writes { registry, count })
        })
    }

    fn format(&self, pool: &PoolName) -> PortResult<()> {
        self.call(pool, "formatting", |conversation| {
            let opened = conversation.open(true)?;
            Store::format(opened.file, opened.size, opened.stride, &opened.name)
        })
    }

    fn layout(&self, pool: &PoolName) -> PortResult<RegistryLayout> {
        self.call(pool, "reading", |conversation| {
            conversation.store(false, |store, _| Ok(store.layout.summary()))
        })
    }

    fn convert(&self, pool: &PoolName) -> PortResult<Applied> {
        self.call(pool, "converting", |conversation| {
            let opened = conversation.open(true)?;
            let store = Store::open(opened.file, opened.size, &opened.name)?;
            store.convert(opened.size, opened.stride)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::tests::{Lun, slot};

    #[test]
    fn the_registry_is_kept_open_while_something_is_attached() {
        let lun = Lun::fresh();
        let mut conversation = Conversation {
            pool: "san".parse().unwrap(),
            cache: HashMap::new(),
            kept: None,
        };
        let opened = || Opened {
            uuid: "LVM-x".to_owned(),
            id: VolumeId {
                vg: "v".repeat(32).parse().unwrap(),
                lv: "r".repeat(32).parse().unwrap(),
            },
            file: lun.handle(),
            size: lun.size(),
            stride: 512,
            name: "san/registry".to_owned(),
        };
        let full = slot(1, 1, 1);
        let empty = Slot {
            attachments: Vec::new(),
            ..full.clone()
        };
        assert!(!full.attachments.is_empty());
        for (slot, is_kept) in [
            (&empty, false),
            (&full, true),
            (&full, true),
            (&empty, false),
        ] {
            conversation.write(opened(), slot).unwrap();
            assert_eq!(conversation.kept.is_some(), is_kept);
        }
        // A slot that cannot be written says nothing new of what is attached.
        conversation.write(opened(), &full).unwrap();
        let nowhere = Slot {
            host_id: 0,
            ..empty
        };
        conversation.write(opened(), &nowhere).unwrap_err();
        assert!(conversation.kept.is_some());
    }
}
