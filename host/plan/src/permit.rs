//! The matrix of permitted operations: what whoever may have done on which node. One table, data;
//! the socket asks it before it reads a request's body, and `volward doctor` prints it.
//!
//! The roles of a node and the kinds of callers come from the configuration. Leases keep two nodes
//! apart whatever the table says: it is for the operator, who wants to know which nodes change what
//! a pool is made of. What a node does without being asked for it is in a table of its own, [`unasked()`].

use std::fmt;

use crate::refusal::Refusal;

mod unasked;

pub use unasked::{Account, Unasked, may_be_ordered, unasked};

/// What a node is for, in the configuration's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeRole {
    /// Volumes are made, deleted, grown, copied and renamed here.
    Control,
    /// Instances run here.
    Compute,
}

/// The roles of a node: one or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeRoles {
    /// It has [`NodeRole::Control`].
    pub control: bool,
    /// It has [`NodeRole::Compute`].
    pub compute: bool,
}

impl NodeRoles {
    /// Every combination that a configuration may ask for.
    pub const ALL: [Self; 3] = [
        Self {
            control: true,
            compute: true,
        },
        Self {
            control: true,
            compute: false,
        },
        Self {
            control: false,
            compute: true,
        },
    ];

    /// Those of a list; `None` if it is empty.
    #[must_use]
    pub fn of(roles: &[NodeRole]) -> Option<Self> {
        let roles = Self {
            control: roles.contains(&NodeRole::Control),
            compute: roles.contains(&NodeRole::Compute),
        };
        (roles.control || roles.compute).then_some(roles)
    }
}

impl Default for NodeRoles {
    /// Both: a node of which the configuration says nothing.
    fn default() -> Self {
        Self::ALL[0]
    }
}

impl fmt::Display for NodeRoles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match (self.control, self.compute) {
            (true, true) => "control and compute",
            (true, false) => "control",
            (false, _) => "compute",
        })
    }
}

/// A kind of caller, by its user id. Ordered as the table's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallerKind {
    /// The user id 0, and the daemon's own user: libvirt's hook, and people.
    Root,
    /// A service of OpenStack's that may be either of the next two; it attaches as both may.
    Openstack,
    /// Nova's compute service.
    Nova,
    /// Cinder's volume service.
    Cinder,
    /// Monitoring.
    Monitoring,
}

impl CallerKind {
    /// Every kind, in the order of the table's columns.
    pub const ALL: [Self; 5] = [
        Self::Root,
        Self::Openstack,
        Self::Nova,
        Self::Cinder,
        Self::Monitoring,
    ];
}

impl fmt::Display for CallerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Root => "root",
            Self::Openstack => "openstack",
            Self::Nova => "nova",
            Self::Cinder => "cinder",
            Self::Monitoring => "monitoring",
        })
    }
}

/// What a caller has done: a row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// To see what this node has and how it is.
    Look,
    /// To hear why a request was granted or refused.
    Explain,
    /// To attach volumes.
    Attach,
    /// To detach them, to have their data come home from this node's copies, which a detach does too, and to tell
    /// what became of an instance. Nowhere refused for the node's sake: a role that was taken from a node must not
    /// keep a guest's volumes.
    Detach,
    /// To make a volume.
    Create,
    /// To delete one.
    Delete,
    /// To grow one.
    Extend,
    /// To make one with another one's content, to stay or as a snapshot.
    Copy,
    /// To give one another pool.
    Move,
    /// To give one another name.
    Rename,
    /// To change what is allowed with a volume.
    Mark,
    /// To change what this node and its pools are, which policies serve, and to read the decision log,
    /// which holds every tenant's words.
    Administer,
}

impl Action {
    /// Every action, in the order of the table's rows.
    pub const ALL: [Self; 12] = [
        Self::Look,
        Self::Explain,
        Self::Attach,
        Self::Detach,
        Self::Create,
        Self::Delete,
        Self::Extend,
        Self::Copy,
        Self::Move,
        Self::Rename,
        Self::Mark,
        Self::Administer,
    ];
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Look => "look",
            Self::Explain => "explain",
            Self::Attach => "attach",
            Self::Detach => "detach",
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Extend => "extend",
            Self::Copy => "copy",
            Self::Move => "move",
            Self::Rename => "rename",
            Self::Mark => "mark",
            Self::Administer => "administer",
        })
    }
}

/// On which nodes a caller may have something done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum On {
    /// On none: it is not this caller's.
    None,
    /// On every node.
    Any,
    /// Where the node has this role.
    Role(NodeRole),
}

impl On {
    /// Whether a node of these roles is one of them.
    #[must_use]
    pub fn is_met_by(self, roles: NodeRoles) -> bool {
        match self {
            Self::None => false,
            Self::Any => true,
            Self::Role(NodeRole::Control) => roles.control,
            Self::Role(NodeRole::Compute) => roles.compute,
        }
    }
}

const NO: On = On::None;
const ANY: On = On::Any;
const CTL: On = On::Role(NodeRole::Control);
const CMP: On = On::Role(NodeRole::Compute);

/// The table. Cinder attaches on any node, and so does what may be Cinder: it copies images to and from
/// volumes where it runs, which is a control node; it marks what its types call multi-attach. Whoever may only be Cinder deletes nothing: the list of
/// those is as old as attaching, and what was put there was promised no more.
const TABLE: [(Action, [On; 5]); 12] = [
    //                    root openst nova cinder monitoring
    (Action::Look, /*  */ [ANY, ANY, ANY, ANY, ANY]),
    (Action::Explain, /**/ [ANY, ANY, ANY, ANY, NO]),
    (Action::Attach, /**/ [CMP, ANY, CMP, ANY, NO]),
    (Action::Detach, /**/ [ANY, ANY, ANY, ANY, NO]),
    (Action::Create, /**/ [CTL, NO, NO, CTL, NO]),
    (Action::Delete, /**/ [CTL, NO, NO, CTL, NO]),
    (Action::Extend, /**/ [CTL, NO, NO, CTL, NO]),
    (Action::Copy, /*  */ [CTL, NO, NO, CTL, NO]),
    (Action::Move, /*  */ [CTL, NO, NO, CTL, NO]),
    (Action::Rename, /**/ [CTL, NO, NO, CTL, NO]),
    (Action::Mark, /*  */ [CTL, NO, NO, CTL, NO]),
    (Action::Administer, /**/ [ANY, NO, NO, NO, NO]),
];

/// Where that caller may have that done.
#[must_use]
pub fn place(action: Action, caller: CallerKind) -> On {
    // Rows and columns are in the order of the enums, which a test looks at.
    TABLE[action as usize].1[caller as usize]
}

/// Whether that caller may have that done on a node of these roles.
///
/// # Errors
/// [`CallerMayNot`](crate::RefusalCode::CallerMayNot) where it is not the caller's on any node; else
/// [`NotControl`](crate::RefusalCode::NotControl) or [`NotCompute`](crate::RefusalCode::NotCompute).
pub fn permit(action: Action, caller: CallerKind, roles: NodeRoles) -> Result<(), Refusal> {
    match place(action, caller) {
        On::None => Err(Refusal::caller_may_not(action, caller)),
        on => served(on, action, roles),
    }
}

/// Whether a node of these roles is one of those.
fn served(on: On, action: Action, roles: NodeRoles) -> Result<(), Refusal> {
    match on {
        On::Role(role) if !on.is_met_by(roles) => Err(Refusal::not_of_role(action, role)),
        On::None | On::Any | On::Role(_) => Ok(()),
    }
}

/// The callers that may have it done on some node.
#[must_use]
pub fn callers(action: Action) -> Vec<CallerKind> {
    let may = |caller: &CallerKind| place(action, *caller) != On::None;
    CallerKind::ALL.into_iter().filter(may).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RefusalCode;

    #[test]
    fn rows_and_columns_are_where_they_are_looked_up() {
        for (row, (action, _)) in TABLE.iter().enumerate() {
            assert_eq!(*action as usize, row);
            assert_eq!(Action::ALL[row], *action);
        }
        for (column, caller) in CallerKind::ALL.into_iter().enumerate() {
            assert_eq!(caller as usize, column);
        }
    }

    /// The whole matrix, as it was reviewed: `x` permitted, the code otherwise.
    #[test]
    fn the_matrix_is_as_reviewed() {
        let mut text = String::new();
        for roles in NodeRoles::ALL {
            for action in Action::ALL {
                for caller in CallerKind::ALL {
                    let said = match permit(action, caller, roles) {
                        Ok(()) => "x".to_owned(),
                        Err(refusal) => refusal.code.to_string(),
                    };
                    text += &format!("{roles}, {action}, {caller}: {said}\n");
                }
            }
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/permit.txt");
        #[expect(clippy::disallowed_methods, reason = "golden files are read by path")]
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        #[expect(clippy::disallowed_methods, reason = "golden files are read by path")]
        let reviewed = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(text, reviewed, "UPDATE_GOLDEN=1 rewrites {path}");
    }

    /// The matrix, without the callers: a control node operates, a compute node attaches, one that
    /// is both does everything.
    #[test]
    fn a_role_that_a_node_lacks_is_named_and_both_roles_lack_nothing() {
        let operate = [
            Action::Create,
            Action::Delete,
            Action::Extend,
            Action::Copy,
            Action::Move,
            Action::Rename,
            Action::Mark,
        ];
        for caller in CallerKind::ALL {
            for action in Action::ALL {
                let code = |roles| permit(action, caller, roles).err().map(|r| r.code);
                let [both, control, compute] = NodeRoles::ALL.map(code);
                let is_callers = callers(action).contains(&caller);
                assert_eq!(both.is_none(), is_callers, "{action} {caller}");
                if !is_callers {
                    let may_not = Some(RefusalCode::CallerMayNot);
                    assert_eq!([both, control, compute], [may_not; 3]);
                    continue;
                }
                let on_compute = operate.contains(&action).then_some(RefusalCode::NotControl);
                assert_eq!(compute, on_compute, "{action} {caller}");
                let copies_itself = matches!(caller, CallerKind::Cinder | CallerKind::Openstack);
                let guests = action == Action::Attach && !copies_itself;
                let on_control = guests.then_some(RefusalCode::NotCompute);
                assert_eq!(control, on_control, "{action} {caller}");
            }
        }
    }

    /// Whatever a node is called: a detach is nobody's to refuse who may attach.
    #[test]
    fn who_may_attach_may_detach_on_every_node() {
        for caller in callers(Action::Attach) {
            assert_eq!(place(Action::Detach, caller), On::Any);
        }
    }

    #[test]
    fn a_list_of_roles_is_one_or_both() {
        use NodeRole::{Compute, Control};
        assert_eq!(NodeRoles::of(&[]), None);
        assert_eq!(
            NodeRoles::of(&[Compute, Control]),
            Some(NodeRoles::default())
        );
        assert_eq!(NodeRoles::of(&[Control, Control]), Some(NodeRoles::ALL[1]));
        assert_eq!(NodeRoles::of(&[Compute]), Some(NodeRoles::ALL[2]));
    }
}
