//! What is wrong on this node and known without a look at anything that may hang: what is cut off, what is tried
//! again, leases that are lost. `status` and the end of `doctor` say it.

use volward_control::Unfinished;
use volward_control::ports::StoredAttachment;
use volward_plan::fence::Standing;

use crate::wiring::Daemon;

/// A volume and whose it is, for people.
fn named(of: &StoredAttachment) -> String {
    let (volume, instance, name) = (&of.volume, of.instance, &of.instance_name);
    match name.is_empty() {
        true => format!("{volume} of instance {instance}"),
        false => format!("{volume} of instance {instance} ({name})"),
    }
}

/// What is cut off, or is to be: in a few words, and with the reason.
pub(crate) fn cut_off(daemon: &Daemon) -> Vec<(String, String)> {
    let fenced = daemon.node.fenced();
    let attachments = daemon.node.attachments();
    let cut = attachments.iter().filter_map(|a| {
        let fenced = fenced.get(&a.key())?;
        let how = match fenced.cut {
            true => "",
            false => "I/O that was in flight has not ended yet; ",
        };
        Some((named(a), format!("{how}{}", fenced.reason)))
    });
    cut.collect()
}

/// What failed for now and is tried again: in a few words, and as a sentence.
pub(crate) fn unfinished(daemon: &Daemon) -> Vec<(String, String)> {
    let few = |one: &Unfinished| {
        let of: Vec<String> = one.attachments.iter().map(named).collect();
        format!("{} of {}", one.operation, of.join(", "))
    };
    let found = daemon.node.unfinished();
    let all = found.iter().map(|one| (few(one), one.sentence()));
    all.collect()
}

/// Pools whose leases are not sound.
pub(crate) fn leases(daemon: &Daemon) -> Vec<String> {
    let standings = daemon.node.lease_standings().into_iter();
    let unsound = standings.filter_map(|(pool, standing)| {
        let how = match standing {
            Standing::Unknown | Standing::Sound => return None,
            Standing::Late { ago, cut_in } => format!(
                "last renewed {} s ago, and attachments are cut off in {} s",
                ago.as_secs(),
                cut_in.as_secs()
            ),
            Standing::Leaving => "sanlock was told to leave the lockspace".to_owned(),
            Standing::Lost { reason, .. } => format!("lost: {reason}"),
        };
        Some(format!("{pool}: {how}"))
    });
    unsound.collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use volward_simulation::{Say, detach_ask, instance};

    use super::super::faults::{daemon, stage};
    use super::super::reply;
    use crate::http::status;

    /// Where every I/O of a guest fails, nobody is told that it goes on.
    #[test]
    fn what_is_cut_off_what_is_tried_again_and_lost_leases_are_said_without_a_look() {
        let stage = stage(Say::AsAsked);
        let folder = tempfile::tempdir().unwrap();
        let daemon = daemon(&stage, folder.path());
        let well = status::of(&daemon);
        assert_eq!(
            (well.cut_off, well.unfinished, well.leases),
            (Vec::new(), Vec::new(), Vec::new())
        );
        stage.n1.kernel.set_renewed_ago(Duration::from_secs(500));
        for _ in 0..2 {
            daemon.node.follow_leases();
            stage.n1.tasks.run_all();
        }
        let now = status::of(&daemon);
        let of = format!("san/a of instance {} (guest-1)", instance(1));
        assert!(
            now.cut_off.len() == 1 && now.cut_off[0].starts_with(&of),
            "{now:?}"
        );
        assert!(now.cut_off[0].contains("500 s ago"), "{now:?}");
        assert!(
            now.leases.iter().any(|l| l.starts_with("san: lost")),
            "{now:?}"
        );
        let found = reply(&daemon);
        assert_eq!(found.cut_off, std::slice::from_ref(&of));
        assert!(found.unfinished.is_empty());

        stage.n1.kernel.fail_on(
            "remove-device",
            volward_control::ports::PortError::Io {
                what: "the device".into(),
                reason: "Input/output error".into(),
            },
        );
        stage.n1.node.detach(&detach_ask(instance(1))).unwrap();
        let now = status::of(&daemon);
        assert_eq!(now.unfinished.len(), 1, "{now:?}");
        assert!(now.unfinished[0].starts_with("detach of san/a"), "{now:?}");
        assert_eq!(reply(&daemon).unfinished, [format!("detach of {of}")]);
    }
}
