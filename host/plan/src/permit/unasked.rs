//! The second table: what a node changes of a pool although no caller has asked its own socket for it: for the sake of its own
//! attachments, by what is on record, or on the word of another node. `volward doctor` prints this node's part of it.

use std::fmt;

use volward_model::Ordered;

use super::{ANY, Action, NodeRoles, On, Refusal, served};
use crate::step::Step;

/// Something that a node does unasked: a row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unasked {
    /// To write where a volume's data is into the tags of its LV: of one that it attaches with a local copy, and when that
    /// goes home, which may be long after the detach.
    SetHome,
    /// To switch autoactivation off of a volume that it attaches: one that was made past Volward.
    DisableAutoactivation,
    /// To carry an operation on to its end, or take it back, that is on its record: the role may have been taken away since.
    CarryOn,
    /// To grow a volume that it alone has attached, because another node says so.
    Extend,
    /// To copy one that it alone has attached, beneath its guest.
    Copy,
    /// To make a snapshot of one.
    Snapshot,
    /// To have one go to another disk of its pool.
    Relocate,
}

/// On whose account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// Its own.
    Own,
    /// Another node's, which was asked and may: that one's own matrix has let it pass.
    AnotherNode,
}

impl Unasked {
    /// Every row, in the order of the table.
    pub const ALL: [Self; 7] = [
        Self::SetHome,
        Self::DisableAutoactivation,
        Self::CarryOn,
        Self::Extend,
        Self::Copy,
        Self::Snapshot,
        Self::Relocate,
    ];

    /// What a node is told to do.
    #[must_use]
    pub fn of_order(order: &Ordered) -> Self {
        match order {
            Ordered::Grow { .. } => Self::Extend,
            Ordered::Copy { .. } => Self::Copy,
            Ordered::Snapshot { .. } => Self::Snapshot,
            Ordered::Relocate { .. } => Self::Relocate,
        }
    }

    /// What a step of an attach, a detach or a write-back changes of a shared pool's metadata; `None`: nothing. Copies
    /// are in the node's own local pool.
    #[must_use]
    pub fn of_step(step: &Step) -> Option<Self> {
        match step {
            Step::SetHome { .. } => Some(Self::SetHome),
            Step::DisableAutoactivation { .. } => Some(Self::DisableAutoactivation),
            Step::Lease { .. }
            | Step::Release { .. }
            | Step::Revalidate { .. }
            | Step::MakeCopy { .. }
            | Step::ZeroMetadata { .. }
            | Step::RemoveCopy { .. }
            | Step::LoadClone { .. }
            | Step::UnloadClone { .. }
            | Step::AwaitHydration { .. }
            | Step::CreateDevice { .. }
            | Step::RemoveDevice { .. }
            | Step::Publish { .. }
            | Step::Withdraw { .. }
            | Step::AskSource { .. }
            | Step::AskNoMore { .. }
            | Step::Link { .. }
            | Step::Unlink { .. }
            | Step::MakeWriteBackMetadata { .. }
            | Step::LoadWriteBack { .. }
            | Step::AwaitWriteBack { .. }
            | Step::TurnClone { .. }
            | Step::StandAtHome { .. }
            | Step::Restack { .. }
            | Step::UnloadWriteBack { .. } => None,
        }
    }
}

impl fmt::Display for Unasked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SetHome => "set-home",
            Self::DisableAutoactivation => "disable-autoactivation",
            Self::CarryOn => "carry-on",
            Self::Extend => "extend",
            Self::Copy => "copy",
            Self::Snapshot => "snapshot",
            Self::Relocate => "relocate",
        })
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Own => "by itself",
            Self::AnotherNode => "on another node's word",
        })
    }
}

/// The table. All of it is done whatever the node's role: a home is written by whoever has the copy, and the devices of a guest
/// are on one node, so that nobody else could lengthen them or copy what is written meanwhile.
const TABLE: [(Unasked, Account, On); 7] = [
    (Unasked::SetHome, Account::Own, ANY),
    (Unasked::DisableAutoactivation, Account::Own, ANY),
    (Unasked::CarryOn, Account::Own, ANY),
    (Unasked::Extend, Account::AnotherNode, ANY),
    (Unasked::Copy, Account::AnotherNode, ANY),
    (Unasked::Snapshot, Account::AnotherNode, ANY),
    (Unasked::Relocate, Account::AnotherNode, ANY),
];

/// On whose account, and on which nodes, that is done unasked.
#[must_use]
pub fn unasked(what: Unasked) -> (Account, On) {
    // Rows are in the order of the enum, which a test looks at.
    let (_, account, on) = TABLE[what as usize];
    (account, on)
}

/// Whether a node of these roles does what another one tells it.
///
/// # Errors
/// [`NotControl`](crate::RefusalCode::NotControl) or [`NotCompute`](crate::RefusalCode::NotCompute) where the table says so.
pub fn may_be_ordered(order: &Ordered, roles: NodeRoles) -> Result<(), Refusal> {
    let action = match order {
        Ordered::Grow { .. } => Action::Extend,
        Ordered::Copy { .. } | Ordered::Snapshot { .. } => Action::Copy,
        Ordered::Relocate { .. } => Action::Move,
    };
    let (_, on) = unasked(Unasked::of_order(order));
    served(on, action, roles)
}

#[cfg(test)]
mod tests {
    use volward_model::{Bytes, LvmUuid};

    use super::*;
    use crate::permit::{NodeRole, permit};
    use crate::{CallerKind, RefusalCode};

    fn orders() -> [Ordered; 4] {
        let name = || "new".parse().unwrap();
        let disk: LvmUuid = "d".repeat(32).parse().unwrap();
        [
            Ordered::Grow {
                size: Bytes::mib(8),
            },
            Ordered::Copy {
                name: name(),
                size: None,
            },
            Ordered::Snapshot { name: name() },
            Ordered::Relocate { disk },
        ]
    }

    #[test]
    fn rows_are_where_they_are_looked_up() {
        for (row, (what, ..)) in TABLE.iter().enumerate() {
            assert_eq!(*what as usize, row);
            assert_eq!(Unasked::ALL[row], *what);
        }
    }

    /// The whole table, as it was reviewed: on which nodes of each role that is done.
    #[test]
    fn the_table_is_as_reviewed() {
        let mut text = String::new();
        for what in Unasked::ALL {
            let (account, on) = unasked(what);
            let nodes = NodeRoles::ALL
                .into_iter()
                .filter(|roles| on.is_met_by(*roles));
            let nodes: Vec<String> = nodes.map(|roles| roles.to_string()).collect();
            text += &format!("{what}, {account}: {}\n", nodes.join("; "));
        }
        let all = "control and compute; control; compute";
        let reviewed = format!(
            "set-home, by itself: {all}\n\
             disable-autoactivation, by itself: {all}\n\
             carry-on, by itself: {all}\n\
             extend, on another node's word: {all}\n\
             copy, on another node's word: {all}\n\
             snapshot, on another node's word: {all}\n\
             relocate, on another node's word: {all}\n"
        );
        assert_eq!(text, reviewed);
    }

    /// What one node has another one do is an action that no caller could have had done there: so the table has to say it.
    #[test]
    fn a_compute_node_does_as_told_what_its_own_callers_may_not_have_done() {
        let compute = NodeRoles::of(&[NodeRole::Compute]).unwrap();
        for order in orders() {
            assert_eq!(may_be_ordered(&order, compute), Ok(()));
            let (account, _) = unasked(Unasked::of_order(&order));
            assert_eq!(account, Account::AnotherNode);
        }
        for action in [Action::Extend, Action::Copy, Action::Move] {
            let refused = permit(action, CallerKind::Root, compute).unwrap_err();
            assert_eq!(refused.code, RefusalCode::NotControl);
        }
        // Whatever is told is in the table, and nothing else is told.
        let told: Vec<Unasked> = orders().iter().map(Unasked::of_order).collect();
        let of_others = Unasked::ALL
            .into_iter()
            .filter(|what| unasked(*what).0 == Account::AnotherNode);
        assert_eq!(told, of_others.collect::<Vec<_>>());
    }

    /// A row that names a role is asked, in the words of the first table.
    #[test]
    fn a_row_with_a_role_refuses_other_nodes() {
        let compute = NodeRoles::of(&[NodeRole::Compute]).unwrap();
        let on = On::Role(NodeRole::Control);
        let refused = served(on, Action::Extend, compute).unwrap_err();
        assert_eq!(refused.code, RefusalCode::NotControl);
        assert_eq!(served(on, Action::Extend, NodeRoles::default()), Ok(()));
    }
}
