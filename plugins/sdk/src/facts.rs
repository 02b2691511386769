//! What a policy is told. Each field is a [`Fact`], read when it is looked at; tests make them of
//! plain values, in struct literals.
//!
//! One table says it all: a row is a field, its value in [`Default`], how the daemon is asked for
//! it, and where it is in a decision record (for scenarios).

#[cfg(target_family = "wasm")]
use crate::bindings::volward::policy::clock;
pub use crate::bindings::volward::policy::facts::{
    Access, Attachment, AttachmentState, Home, Hydration, Origin, Purpose, Sharing, Space,
};
pub use crate::bindings::volward::policy::operations::OperationKind;
pub use crate::fact::Fact;

macro_rules! told {
    (
        $(#[$about:meta])*
        $name:ident, lent by $lend:ident, recorded as $recorded:ident {
            $(
                $(#[$doc:meta])*
                $field:ident: $type:ty = $default:expr;
                    asked |$raw:pat_param| $ask:expr;
                    recorded |$facts:pat_param| $find:expr;
            )+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name { $($(#[$doc])* pub $field: Fact<$type>,)+ }

        impl Default for $name {
            /// A start for tests: everything empty, as nobody would refuse it.
            fn default() -> Self {
                Self { $($field: Fact::from($default),)+ }
            }
        }

        #[cfg(target_family = "wasm")]
        impl $name {
            /// What is behind a handle of the daemon's.
            pub(crate) const fn behind(handle: u32) -> Self {
                Self {
                    $($field: Fact::behind(handle, |handle| {
                        crate::handles::$lend(handle, |$raw| $ask)
                    }),)+
                }
            }
        }

        #[cfg(not(target_family = "wasm"))]
        impl From<&volward_record::$recorded> for $name {
            fn from(facts: &volward_record::$recorded) -> Self {
                $(let $field: $type = { let $facts = facts; $find };)+
                Self { $($field: $field.into(),)+ }
            }
        }
    };
}

told! {
    /// Who asks for what, where, and when: the whole of what a decision rests on. By default an
    /// operator boots an instance without a disk.
    Request, lent by request, recorded as Facts {
        /// This request, a UUID.
        id: String = String::new();
            asked |request| request.id();
            recorded |facts| facts.request.id.to_string();
        /// Who is on the other end of the socket; from peer credentials.
        origin: Origin = Origin::Operator;
            asked |request| request.origin();
            recorded |facts| (&facts.request.origin).into();
        /// Their uid; from peer credentials, not from the message.
        caller_uid: u32 = 0;
            asked |request| request.caller_uid();
            recorded |facts| facts.request.caller_uid;
        /// What the attachment is for.
        purpose: Purpose = Purpose::Boot;
            asked |request| request.purpose();
            recorded |facts| (&facts.request.purpose).into();
        /// The virtual machine's UUID.
        instance: String = String::new();
            asked |request| request.instance();
            recorded |facts| facts.request.instance.to_string();
        /// Its name, for people.
        instance_name: String = String::new();
            asked |request| request.instance_name();
            recorded |facts| facts.request.instance_name.clone();
        /// Set by whoever wrote the domain XML: never proof of anything.
        hints: Vec<(String, String)> = Vec::new();
            asked |request| request.hints();
            recorded |facts| facts.request.hints.clone();
        /// What is asked for, in the caller's order: all are attached or none.
        disks: Vec<Disk> = Vec::new();
            asked |request| request.disks().iter().map(|disk| Disk::behind(disk.take_handle())).collect();
            recorded |facts| facts.disks.iter().map(Disk::from).collect();
        /// What the instance has on this node already.
        held: Vec<Disk> = Vec::new();
            asked |request| request.held().iter().map(|disk| Disk::behind(disk.take_handle())).collect();
            recorded |facts| facts.held.iter().map(Disk::from).collect();
        /// The node that decides.
        node: Node = Node::default();
            asked |request| Node::behind(request.node().take_handle());
            recorded |facts| (&facts.node).into();
        /// The other node of a migration.
        peer: Option<Node> = None;
            asked |request| request.peer().map(|node| Node::behind(node.take_handle()));
            recorded |facts| facts.peer.as_ref().map(Node::from);
        /// Milliseconds since the Unix epoch; constant during the decision.
        now_ms: u64 = 0;
            asked |_| clock::now_ms();
            recorded |facts| facts.now_ms;
        /// The node's local time minus UTC.
        utc_offset_minutes: i32 = 0;
            asked |_| clock::utc_offset_minutes();
            recorded |facts| facts.utc_offset_minutes;
    }
}

told! {
    /// What is to be done with a volume, by whom, where, and when. By default an operator makes a volume
    /// without a name.
    Operation, lent by operation, recorded as Facts {
        /// This request, a UUID.
        id: String = String::new();
            asked |operation| operation.id();
            recorded |facts| facts.request.id.to_string();
        /// Which operation.
        kind: OperationKind = OperationKind::Create;
            asked |operation| operation.kind();
            recorded |facts| kind(facts);
        /// Who is on the other end of the socket; from peer credentials.
        origin: Origin = Origin::Operator;
            asked |operation| operation.origin();
            recorded |facts| (&facts.request.origin).into();
        /// Their uid; from peer credentials, not from the message.
        caller_uid: u32 = 0;
            asked |operation| operation.caller_uid();
            recorded |facts| facts.request.caller_uid;
        /// What the caller says beside it, such as Cinder's `project-id`: proof of nothing but that.
        hints: Vec<(String, String)> = Vec::new();
            asked |operation| operation.hints();
            recorded |facts| facts.request.hints.clone();
        /// The pool of the volume that is made, or that there is.
        pool: String = String::new();
            asked |operation| operation.pool();
            recorded |facts| facts.operation.as_ref().map(|told| told.pool.to_string()).unwrap_or_default();
        /// The volume as it is; of a copy and a snapshot their source. None for create.
        volume: Option<Disk> = None;
            asked |operation| operation.volume().map(|disk| Disk::behind(disk.take_handle()));
            recorded |facts| facts.disks.first().map(Disk::from);
        /// The name that the volume gets: create, copy, snapshot, rename.
        new_name: Option<String> = None;
            asked |operation| operation.new_name();
            recorded |facts| facts.operation.as_ref().and_then(|told| Some(told.new_name.as_ref()?.to_string()));
        /// Bytes that the volume is to have: create, extend, copy, snapshot.
        new_size: Option<u64> = None;
            asked |operation| operation.new_size();
            recorded |facts| facts.operation.as_ref().and_then(|told| Some(told.new_size?.0));
        /// The node that decides, and carries it out.
        node: Node = Node::default();
            asked |operation| Node::behind(operation.node().take_handle());
            recorded |facts| (&facts.node).into();
        /// Milliseconds since the Unix epoch; constant during the decision.
        now_ms: u64 = 0;
            asked |_| clock::now_ms();
            recorded |facts| facts.now_ms;
        /// The node's local time minus UTC.
        utc_offset_minutes: i32 = 0;
            asked |_| clock::utc_offset_minutes();
            recorded |facts| facts.utc_offset_minutes;
    }
}

#[cfg(not(target_family = "wasm"))]
fn kind(facts: &volward_record::Facts) -> OperationKind {
    let told = facts.operation.as_ref();
    told.map_or(OperationKind::Create, |told| (&told.kind).into())
}

told! {
    /// One volume, as asked for and as it is. By default it is free, at home in its pool, and asked
    /// for exclusively and read-write.
    Disk, lent by disk, recorded as DiskFacts {
        /// Identity: `VG-UUID:LV-UUID`.
        id: String = String::new();
            asked |disk| disk.id();
            recorded |facts| facts.id.to_string();
        /// Its pool; for people.
        pool: String = String::new();
            asked |disk| disk.pool();
            recorded |facts| facts.pool.to_string();
        /// Its name in the pool; for people.
        name: String = String::new();
            asked |disk| disk.name();
            recorded |facts| facts.name.to_string();
        /// Bytes.
        size: u64 = 0;
            asked |disk| disk.size();
            recorded |facts| facts.size.0;
        /// Marked shareable by `volward volume set`.
        shareable: bool = false;
            asked |disk| disk.shareable();
            recorded |facts| facts.shareable;
        /// The LV's tags, Volward's own excepted.
        tags: Vec<String> = Vec::new();
            asked |disk| disk.tags();
            recorded |facts| facts.tags.clone();
        /// Where the current data is.
        home: Home = Home::Pool;
            asked |disk| disk.home();
            recorded |facts| (&facts.home).into();
        /// Every attachment in the cluster, the asking instance's own on this node excepted.
        attachments: Vec<Attachment> = Vec::new();
            asked |disk| disk.attachments();
            recorded |facts| facts.attachments.iter().map(Into::into).collect();
        /// The hydration on this node, if one is loaded.
        hydration: Option<Hydration> = None;
            asked |disk| disk.hydration();
            recorded |facts| facts.hydration.as_ref().map(Into::into);
        /// What the caller wishes, defaults resolved; a policy narrows from here.
        asked_sharing: Sharing = Sharing::Exclusive;
            asked |disk| disk.asked_sharing();
            recorded |facts| facts.asked_sharing.into();
        /// What the caller wishes, defaults resolved; a policy narrows from here.
        asked_access: Access = Access::ReadWrite;
            asked |disk| disk.asked_access();
            recorded |facts| facts.asked_access.into();
    }
}

told! {
    /// A node.
    Node, lent by node, recorded as NodeFacts {
        /// Its name.
        name: String = String::new();
            asked |node| node.name();
            recorded |facts| facts.name.to_string();
        /// From the daemon's configuration.
        labels: Vec<(String, String)> = Vec::new();
            asked |node| node.labels();
            recorded |facts| facts.labels.clone();
        /// The local pool, where there is one.
        local: Option<Space> = None;
            asked |node| node.local();
            recorded |facts| facts.local.as_ref().map(Into::into);
        /// Hundredths of a percent of the last minute (`some avg60` of /proc/pressure/io).
        io_pressure: Option<u32> = None;
            asked |node| node.io_pressure();
            recorded |facts| facts.io_pressure;
        /// How many attachments it has, those under way included, this request's own not. For the
        /// deciding node only.
        attachments: Option<u32> = None;
            asked |node| node.attachments();
            recorded |facts| facts.attachments;
    }
}

impl Request {
    /// The node's local hour, 0 to 23.
    #[must_use]
    pub fn local_hour(&self) -> u8 {
        const HOUR_MS: i128 = 3_600_000;
        let local = i128::from(*self.now_ms) + i128::from(*self.utc_offset_minutes) * 60_000;
        // Below 24, whatever the clock says.
        (local.div_euclid(HOUR_MS)).rem_euclid(24) as u8
    }

    /// The instance's name, for people; its UUID where whoever asks gave no name, as an operator may.
    #[must_use]
    pub fn name_or_uuid(&self) -> &str {
        match self.instance_name.is_empty() {
            true => &self.instance,
            false => &self.instance_name,
        }
    }
}

impl Operation {
    /// `pool/name` of the volume that it is about; of one that is made the new name. For people.
    #[must_use]
    pub fn full_name(&self) -> String {
        match (&*self.volume, &*self.new_name) {
            (Some(volume), _) => volume.full_name(),
            (None, Some(name)) => format!("{}/{name}", self.pool),
            (None, None) => format!("a volume in {}", self.pool),
        }
    }
}

impl Disk {
    /// `pool/name`, for people.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.pool, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_without_a_name_is_its_uuid_to_people() {
        let mut request = Request {
            instance: "aaaaaaaa-0000-0000-0000-00000000000a".into(),
            ..Request::default()
        };
        assert_eq!(
            request.name_or_uuid(),
            "aaaaaaaa-0000-0000-0000-00000000000a"
        );
        request.instance_name = "web1".into();
        assert_eq!(request.name_or_uuid(), "web1");
    }

    #[test]
    fn the_local_hour_follows_the_offset_over_midnight() {
        let at = |now_ms: u64, utc_offset_minutes: i32| {
            Request {
                now_ms: now_ms.into(),
                utc_offset_minutes: utc_offset_minutes.into(),
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
