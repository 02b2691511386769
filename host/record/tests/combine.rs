//! Whatever policies answer, in whatever order, together they grant no more than the
//! narrowest of them, and no more than was asked for; one more policy never widens.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy does not take helpers of tests for tests"
)]

use proptest::collection::vec;
use proptest::prelude::*;
use volward_record::{
    Answer, Combined, CopyFate, CopyMode, DiskAnswer, Facts, PluginVerdict, Verdict, VolumeId,
};

fn plugin(n: usize, monitored: bool, verdict: Verdict) -> PluginVerdict {
    PluginVerdict {
        plugin: format!("p{n}"),
        digest: String::new(),
        interface: String::new(),
        monitored,
        config: Default::default(),
        verdict,
        log: Vec::new(),
        micros: 0,
    }
}

/// Facts and what some policies say of them. Answers are anything a policy could be made to say,
/// also what the sandbox would not let through: disks left out, named twice, or nobody's.
fn asked() -> impl Strategy<Value = (Facts, Vec<PluginVerdict>)> {
    volward_samples::facts().prop_flat_map(|facts| {
        let volumes: Vec<VolumeId> = facts.disks.iter().map(|d| d.id).collect();
        let verdict = prop_oneof![
            6 => volward_samples::answer(volumes).prop_map(Verdict::Granted),
            4 => volward_samples::narrowed(&facts).prop_map(Verdict::Granted),
            2 => volward_samples::verdict(&facts),
        ];
        let all = vec((verdict, any::<bool>()), 0..6).prop_map(|all| {
            let all = all.into_iter().enumerate();
            all.map(|(n, (verdict, monitored))| plugin(n, monitored, verdict))
                .collect()
        });
        (Just(facts), all)
    })
}

/// Whether a disk's grant is no wider than a limit, in what counts: how it is shared, whether it
/// may write, and what is copied.
fn within(granted: &DiskAnswer, limit: &DiskAnswer) -> bool {
    let copied = |disk: &DiskAnswer| disk.granted_copy().map_or(CopyMode::None, |plan| plan.mode);
    granted.sharing >= limit.sharing
        && granted.access >= limit.access
        && granted.copy_at_most <= limit.copy_at_most
        && copied(granted) <= limit.copy_at_most
}

/// Everything a set of verdicts forbids: a denial or a fault, or less than this for a disk.
fn counting(plugins: &[PluginVerdict]) -> impl Iterator<Item = &Verdict> {
    plugins.iter().filter(|p| !p.monitored).map(|p| &p.verdict)
}

/// A ranking of outcomes by how much they allow: nothing but a grant allows anything.
fn allows(combined: &Combined) -> Option<&Answer> {
    match combined {
        Combined::Granted(answer) => Some(answer),
        Combined::Advised(_) | Combined::Denied(_) | Combined::Faulted(_) => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn d_the_grant_is_never_wider_than_the_request_nor_than_the_narrowest_answer(
        (facts, plugins) in asked()
    ) {
        let combined = Combined::attach(&facts, &plugins);
        let refusals = counting(&plugins)
            .any(|v| matches!(v, Verdict::Denied(_) | Verdict::Faulted(_)));
        let Some(answer) = allows(&combined) else {
            prop_assert!(refusals, "nobody refuses, and nothing is granted");
            return Ok(());
        };
        prop_assert!(!refusals, "somebody refuses, and it is granted");
        let request = Answer::as_asked(&facts);
        let disks: Vec<_> = answer.disks.iter().map(|d| d.volume).collect();
        let asked: Vec<_> = request.disks.iter().map(|d| d.volume).collect();
        prop_assert_eq!(disks, asked, "only what was asked for, all of it");
        for (granted, asked) in answer.disks.iter().zip(&request.disks) {
            prop_assert!(within(granted, asked));
            for verdict in counting(&plugins) {
                let Verdict::Granted(theirs) = verdict else { continue };
                for limit in theirs.disks.iter().filter(|d| d.volume == granted.volume) {
                    prop_assert!(within(granted, limit), "{:?} beyond {:?}", granted, limit);
                }
            }
        }
    }

    #[test]
    fn d_one_more_policy_never_widens_wherever_it_stands(
        (facts, plugins) in asked(),
        place in any::<prop::sample::Index>(),
    ) {
        prop_assume!(!plugins.is_empty());
        let mut fewer = plugins.clone();
        let taken = fewer.remove(place.index(plugins.len()));
        let (before, after) = (
            Combined::attach(&facts, &fewer),
            Combined::attach(&facts, &plugins),
        );
        if let Some(after) = allows(&after) {
            let before = allows(&before);
            prop_assert!(before.is_some(), "it was refused without {:?}", taken);
            for (before, after) in before.unwrap().disks.iter().zip(&after.disks) {
                // A copy may be proposed by the new one, within everybody's ceiling.
                prop_assert!(after.sharing >= before.sharing);
                prop_assert!(after.access >= before.access);
                prop_assert!(after.copy_at_most <= before.copy_at_most);
                let copied = after.granted_copy().map_or(CopyMode::None, |plan| plan.mode);
                prop_assert!(copied <= before.copy_at_most);
            }
        }
        if taken.monitored {
            prop_assert_eq!(before, after, "a monitored policy has an effect");
        }
    }

    #[test]
    fn d_what_is_granted_does_not_depend_on_the_order(
        (facts, plugins, shuffled) in asked().prop_flat_map(|(facts, plugins)| {
            (Just(facts), Just(plugins.clone()), Just(plugins).prop_shuffle())
        })
    ) {
        let (one, other) = (
            Combined::attach(&facts, &plugins),
            Combined::attach(&facts, &shuffled),
        );
        prop_assert_eq!(std::mem::discriminant(&one), std::mem::discriminant(&other));
        if let (Some(one), Some(other)) = (allows(&one), allows(&other)) {
            for (one, other) in one.disks.iter().zip(&other.disks) {
                // Which copy is proposed does depend on it, what is allowed does not.
                prop_assert_eq!(
                    (one.sharing, one.access, one.copy_at_most),
                    (other.sharing, other.access, other.copy_at_most)
                );
            }
        }
    }

    /// What was written is never lost to a majority: one policy that would write back, or keep,
    /// is enough.
    #[test]
    fn d_a_copys_fate_is_never_less_safe_than_the_safest_advice(
        granted in vec((volward_samples::volume(), volward_samples::copy_fate()), 0..4),
        advice in vec(
            vec((volward_samples::volume(), proptest::option::of(volward_samples::copy_fate())), 0..4),
            0..5,
        ),
    ) {
        let plugins: Vec<_> = advice
            .into_iter()
            .enumerate()
            .map(|(n, advice)| plugin(n, false, Verdict::Advised(advice)))
            .collect();
        let Combined::Advised(fates) = Combined::detach(&granted, &plugins) else {
            panic!("detach cannot be refused")
        };
        prop_assert_eq!(fates.len(), granted.len());
        let danger = |fate: CopyFate| match fate {
            CopyFate::WriteBack => 0,
            CopyFate::Keep => 1,
            CopyFate::Discard => 2,
        };
        for ((volume, fate), (granted_volume, granted_fate)) in fates.iter().zip(&granted) {
            prop_assert_eq!(volume, granted_volume);
            let said: Vec<CopyFate> = counting(&plugins)
                .filter_map(|v| match v { Verdict::Advised(a) => Some(a), _ => None })
                .flatten()
                .filter(|(v, _)| v == volume)
                .filter_map(|(_, fate)| *fate)
                .collect();
            prop_assert!(said.iter().all(|s| danger(*fate) <= danger(*s)), "{:?}", said);
            if said.is_empty() {
                prop_assert_eq!(fate, granted_fate);
            }
        }
    }
}
