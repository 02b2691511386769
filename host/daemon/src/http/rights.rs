//! Which kind of caller a user id is, by the configuration. What each kind may have done on which node is
//! one table, in `plan::permit`.

use volward_plan::CallerKind;

use crate::config::ApiSection;

/// The kind of a user id; `None` if it may ask nothing. Who is in several lists has the greatest right of
/// them: Cinder's has what nova's has, and more.
pub(crate) fn kind_of(uid: u32, api: &ApiSection) -> Option<CallerKind> {
    if uid == 0 || uid == rustix::process::geteuid().as_raw() {
        Some(CallerKind::Root)
    } else if api.cinder_uids.contains(&uid) {
        Some(CallerKind::Cinder)
    } else if api.openstack_uids.contains(&uid) {
        Some(CallerKind::Openstack)
    } else if api.nova_uids.contains(&uid) {
        Some(CallerKind::Nova)
    } else if api.monitoring_uids.contains(&uid) {
        Some(CallerKind::Monitoring)
    } else {
        None
    }
}

/// The user ids of a kind, as the configuration has them.
pub(crate) fn uids_of(kind: CallerKind, api: &ApiSection) -> &[u32] {
    match kind {
        CallerKind::Root => &[0],
        CallerKind::Openstack => &api.openstack_uids,
        CallerKind::Nova => &api.nova_uids,
        CallerKind::Cinder => &api.cinder_uids,
        CallerKind::Monitoring => &api.monitoring_uids,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_in_several_lists_has_the_greater_right() {
        let api = ApiSection {
            openstack_uids: vec![1, 2],
            nova_uids: vec![2, 3, 5],
            cinder_uids: vec![3, 4],
            monitoring_uids: vec![4, 5, 6],
        };
        let kinds = [1, 2, 3, 4, 5, 6, 7].map(|uid| kind_of(uid, &api));
        assert_eq!(
            kinds,
            [
                Some(CallerKind::Openstack),
                Some(CallerKind::Openstack),
                Some(CallerKind::Cinder),
                Some(CallerKind::Cinder),
                Some(CallerKind::Nova),
                Some(CallerKind::Monitoring),
                None,
            ]
        );
        assert_eq!(kind_of(0, &api), Some(CallerKind::Root));
        for kind in CallerKind::ALL {
            assert!(!uids_of(kind, &api).is_empty(), "{kind}");
        }
    }
}
