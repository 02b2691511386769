//! Policies, by the socket and by the folder.

use super::*;

fn states(served: &Served) -> Vec<(String, Open<PolicyState>)> {
    let policies = served.client().policies().unwrap();
    policies.into_iter().map(|p| (p.name, p.state)).collect()
}

/// The test's daemon has no compiler, so whatever is dropped in is refused: it was looked at.
#[test]
fn what_is_dropped_into_the_folder_is_loaded_once_it_is_at_rest() {
    let served = Served::new("", |_| {});
    assert!(states(&served).is_empty());
    let path = served.policies().join("50-x.wasm");
    std::fs::write(&path, "no wasm").unwrap();
    let looked = (0..4_000).any(|_| {
        std::thread::sleep(Duration::from_millis(5));
        !states(&served).is_empty()
    });
    assert!(looked, "never looked at");
    assert_eq!(states(&served)[0].1, PolicyState::Refused);
}

#[test]
fn without_watching_the_folder_is_loaded_when_somebody_says_so() {
    let served = Served::for_policy("watch = \"off\"\n");
    let path = served.policies().join("50-x.wasm");
    std::fs::write(&path, "no wasm").unwrap();
    // As long as several looks take.
    std::thread::sleep(Duration::from_millis(100));
    assert!(states(&served).is_empty());
    let loaded = served.client().load_policies().unwrap();
    assert_eq!(loaded.len(), 1);
    assert_eq!(loaded[0].state, PolicyState::Refused, "{loaded:?}");
}

/// An earlier version may allow what the present one does not.
#[test]
fn only_root_may_roll_a_policy_back() {
    let uid = uid_that_is_not_root();
    let served = Served::for_users(&[uid], "", |_| {});
    let request = RollbackRequest {
        name: "x".into(),
        undo: false,
    };
    let refused = not_as_root(|| served.client().rollback_policy(&request)).unwrap_err();
    assert!(refused.to_string().contains("only root"), "{refused}");
}
