//! What a policy is told, as plain owned data: make it with struct literals in tests.

pub use crate::bindings::volward::policy::facts::{
    Access, Attachment, AttachmentState, Home, Hydration, Origin, Purpose, Sharing, Space,
};

/// Who asks for what, where, and when: the whole of what a decision rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// This request, a UUID.
    pub id: String,
    /// Who is on the other end of the socket; from peer credentials.
    pub origin: Origin,
    /// Their uid; from peer credentials, not from the message.
    pub caller_uid: u32,
    /// What the attachment is for.
    pub purpose: Purpose,
    /// The virtual machine's UUID.
    pub instance: String,
    /// Its name, for people.
    pub instance_name: String,
    /// Set by whoever wrote the domain XML: never proof of anything.
    pub hints: Vec<(String, String)>,
    /// What is asked for, in the caller's order: all are attached or none.
    pub disks: Vec<Disk>,
    /// What the instance has on this node already.
    pub held: Vec<Disk>,
    /// The node that decides.
    pub node: Node,
    /// The other node of a migration.
    pub peer: Option<Node>,
    /// Milliseconds since the Unix epoch; constant during the decision.
    pub now_ms: u64,
    /// The node's local time minus UTC.
    pub utc_offset_minutes: i32,
}

/// One volume, as asked for and as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Disk {
    /// Identity: `VG-UUID:LV-UUID`.
    pub id: String,
    /// Its pool; for people.
    pub pool: String,
    /// Its name in the pool; for people.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Marked shareable by `volward volume set`.
    pub shareable: bool,
    /// The LV's tags, Volward's own excepted.
    pub tags: Vec<String>,
    /// Where the current data is.
    pub home: Home,
    /// Every attachment in the cluster, the asking instance's own on this node excepted.
    pub attachments: Vec<Attachment>,
    /// The hydration on this node, if one is loaded.
    pub hydration: Option<Hydration>,
    /// What the caller wishes, defaults resolved; a policy narrows from here.
    pub asked_sharing: Sharing,
    /// What the caller wishes, defaults resolved; a policy narrows from here.
    pub asked_access: Access,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// From the daemon's configuration.
    pub labels: Vec<(String, String)>,
    /// The local pool, where there is one.
    pub local: Option<Space>,
    /// Hundredths of a percent of the last minute (`some avg60` of /proc/pressure/io).
    pub io_pressure: Option<u32>,
    /// How many attachments it has, those under way included, this request's own not. For the
    /// deciding node only.
    pub attachments: Option<u32>,
}

impl Request {
    /// The node's local hour, 0 to 23.
    #[must_use]
    pub fn local_hour(&self) -> u8 {
        const HOUR_MS: i128 = 3_600_000;
        let local = i128::from(self.now_ms) + i128::from(self.utc_offset_minutes) * 60_000;
        // Below 24, whatever the clock says.
        (local.div_euclid(HOUR_MS)).rem_euclid(24) as u8
    }
}

impl Disk {
    /// `pool/name`, for people.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.pool, self.name)
    }
}

impl Default for Request {
    /// An operator's request to boot an instance without a disk; a start for tests.
    fn default() -> Self {
        Self {
            id: String::new(),
            origin: Origin::Operator,
            caller_uid: 0,
            purpose: Purpose::Boot,
            instance: String::new(),
            instance_name: String::new(),
            hints: Vec::new(),
            disks: Vec::new(),
            held: Vec::new(),
            node: Node::default(),
            peer: None,
            now_ms: 0,
            utc_offset_minutes: 0,
        }
    }
}

impl Default for Disk {
    /// A free volume at home in its pool, asked for exclusively and read-write; a start for tests.
    fn default() -> Self {
        Self {
            id: String::new(),
            pool: String::new(),
            name: String::new(),
            size: 0,
            shareable: false,
            tags: Vec::new(),
            home: Home::Pool,
            attachments: Vec::new(),
            hydration: None,
            asked_sharing: Sharing::Exclusive,
            asked_access: Access::ReadWrite,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_hour_follows_the_offset_over_midnight() {
        let at = |now_ms, utc_offset_minutes| {
            Request {
                now_ms,
                utc_offset_minutes,
                ..Request::default()
            }
            .local_hour()
        };
        assert_eq!(at(0, 0), 0);
        assert_eq!(at(0, -1), 23);
        assert_eq!(at(23 * 3_600_000, 90), 0);
        assert_eq!(at(u64::MAX, i32::MIN), at(u64::MAX, i32::MIN) % 24);
    }
}
