//! Who has asked for an attachment, as a number: a bit each. It informs, and a bit that is not known says nothing.

use std::collections::BTreeSet;

use volward_model::{Access, AskedFor, AttachmentKey, Claim};

fn bit(claim: Claim) -> u32 {
    match claim {
        Claim::Libvirt => 1,
        Claim::Openstack => 2,
        Claim::Operator => 4,
        Claim::Other => 8,
    }
}

/// Who has asked.
pub(super) fn bits(of: &AskedFor) -> u32 {
    of.claims.iter().copied().map(bit).sum()
}

/// The access asked for, and who has asked, of an attachment; `None` where neither is told.
pub(super) fn of(of: AttachmentKey, (access, bits): (Option<Access>, u32)) -> Option<AskedFor> {
    let told = |claim: &Claim| bits & bit(*claim) != 0;
    let claims: BTreeSet<Claim> = Claim::ALL.into_iter().filter(told).collect();
    (access.is_some() || !claims.is_empty()).then_some(AskedFor { of, access, claims })
}
