//! Facts of which everything may be left out, as scenarios have them.

use serde::{Deserialize, Serialize};

use super::words::{Access, AttachmentState, Home, Origin, Purpose, Sharing};
use crate::facts as owned;

/// Noon of the first of January 2026, UTC.
const NOON_MS: u64 = 1_767_268_800_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Facts {
    request: Request,
    node: Node,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<Node>,
    pub(super) disks: Vec<Disk>,
    held: Vec<Disk>,
    now_ms: u64,
    utc_offset_minutes: i32,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            request: Request::default(),
            node: Node::empty("node1"),
            peer: None,
            disks: Vec::new(),
            held: Vec::new(),
            now_ms: NOON_MS,
            utc_offset_minutes: 0,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Request {
    id: String,
    origin: Origin,
    caller_uid: u32,
    purpose: Purpose,
    instance: String,
    instance_name: String,
    hints: Vec<(String, String)>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            id: uuid(1),
            origin: Origin::Libvirt,
            caller_uid: 0,
            purpose: Purpose::Boot,
            instance: uuid(2),
            instance_name: "guest".to_owned(),
            hints: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Node {
    name: String,
    #[serde(default)]
    labels: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    local: Option<Space>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    io_pressure: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attachments: Option<u32>,
}

impl Node {
    /// A node that says it has nothing: what the published format has where none is given.
    fn empty(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            labels: Vec::new(),
            local: None,
            io_pressure: None,
            attachments: Some(0),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Space {
    total: u64,
    free: u64,
    promised: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Disk {
    id: Option<String>,
    pool: String,
    name: Option<String>,
    size: u64,
    shareable: bool,
    tags: Vec<String>,
    home: Home,
    attachments: Vec<Attachment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hydration: Option<Hydration>,
    asked_sharing: Sharing,
    asked_access: Access,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            id: None,
            pool: "vg0".to_owned(),
            name: None,
            size: 10 << 30,
            shareable: false,
            tags: Vec::new(),
            home: Home::POOL,
            attachments: Vec::new(),
            hydration: None,
            asked_sharing: Sharing::Exclusive,
            asked_access: Access::ReadWrite,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Attachment {
    volume: Option<String>,
    instance: String,
    node: String,
    sharing: Sharing,
    access: Access,
    since_ms: u64,
    state: AttachmentState,
}

impl Default for Attachment {
    fn default() -> Self {
        Self {
            volume: None,
            instance: uuid(3),
            node: "node2".to_owned(),
            sharing: Sharing::Exclusive,
            access: Access::ReadWrite,
            since_ms: 0,
            state: AttachmentState::Attached,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hydration {
    regions_total: u64,
    regions_hydrated: u64,
    region_bytes: u32,
    running: bool,
    stalled_ms: u64,
}

fn uuid(n: u8) -> String {
    format!("00000000-0000-0000-0000-{n:012}")
}

/// A made-up LVM UUID: the word, zeros, the number.
fn lvm_uuid(word: &str, n: usize) -> String {
    let letters = format!("{word}{n:0>width$}", width = 32 - word.len());
    let groups = [0..6, 6..10, 10..14, 14..18, 18..22, 22..26, 26..32];
    groups.map(|group| &letters[group]).join("-")
}

impl Facts {
    /// With the identities and names that were left out.
    pub(super) fn whole(mut self) -> Self {
        let mut pools: Vec<String> = Vec::new();
        for (word, disks) in [("disk", &mut self.disks), ("held", &mut self.held)] {
            for (n, disk) in disks.iter_mut().enumerate() {
                if !pools.contains(&disk.pool) {
                    pools.push(disk.pool.clone());
                }
                let pool = pools.iter().position(|pool| *pool == disk.pool);
                disk.complete(pool.unwrap_or_default() + 1, word, n + 1);
            }
        }
        self
    }

    /// As a policy is told it.
    pub(super) fn request(self) -> owned::Request {
        let Request {
            id,
            origin,
            caller_uid,
            purpose,
            instance,
            instance_name,
            hints,
        } = self.request;
        let owned = |disks: Vec<Disk>| disks.into_iter().map(Disk::owned).collect();
        owned::Request {
            id,
            origin: origin.into(),
            caller_uid,
            purpose: purpose.into(),
            instance,
            instance_name,
            hints,
            disks: owned(self.disks),
            held: owned(self.held),
            node: self.node.owned(),
            peer: self.peer.map(Node::owned),
            now_ms: self.now_ms,
            utc_offset_minutes: self.utc_offset_minutes,
        }
    }
}

impl Node {
    fn owned(self) -> owned::Node {
        owned::Node {
            name: self.name,
            labels: self.labels,
            local: self.local.map(|local| owned::Space {
                total: local.total,
                free: local.free,
                promised: local.promised,
            }),
            io_pressure: self.io_pressure,
            attachments: self.attachments,
        }
    }
}

impl Disk {
    fn complete(&mut self, pool: usize, word: &str, n: usize) {
        let id = self
            .id
            .get_or_insert_with(|| format!("{}:{}", lvm_uuid("pool", pool), lvm_uuid(word, n)));
        for attachment in &mut self.attachments {
            attachment.volume.get_or_insert_with(|| id.clone());
        }
        self.name.get_or_insert_with(|| format!("{word}{n}"));
    }

    fn owned(self) -> owned::Disk {
        let attachments = self.attachments.into_iter();
        owned::Disk {
            id: self.id.unwrap_or_default(),
            pool: self.pool,
            name: self.name.unwrap_or_default(),
            size: self.size,
            shareable: self.shareable,
            tags: self.tags,
            home: self.home.into(),
            attachments: attachments.map(Attachment::owned).collect(),
            hydration: self.hydration.map(|hydration| owned::Hydration {
                regions_total: hydration.regions_total,
                regions_hydrated: hydration.regions_hydrated,
                region_bytes: hydration.region_bytes,
                running: hydration.running,
                stalled_ms: hydration.stalled_ms,
            }),
            asked_sharing: self.asked_sharing.into(),
            asked_access: self.asked_access.into(),
        }
    }
}

impl Attachment {
    fn owned(self) -> owned::Attachment {
        owned::Attachment {
            node: self.node,
            instance: self.instance,
            sharing: self.sharing.into(),
            access: self.access.into(),
            since_ms: self.since_ms,
            state: self.state.into(),
        }
    }
}
