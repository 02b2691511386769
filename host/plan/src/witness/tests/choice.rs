//! What a person may choose, and what he is told of another choice.

use super::*;

/// A number that was typed wrong is no sign of a node's life.
#[test]
fn a_wrong_generation_is_named_as_the_reason() {
    let (at, seen) = (home(split("n2"), 3), seen());
    let volume = seen.info.volume.clone();
    let chosen = |owner: &Owner, generation| {
        let heard = testimony(&node("n1"), &at, &seen, owner);
        let right = home(HomeState::Pool, generation);
        choose(&heard, &at, &volume, &at, &right).map_err(|refusal| refusal.message)
    };
    let gone = Owner::Gone("the data is on n2, which is dead".to_owned());
    let lives = Owner::MayLive("the data is on n2, which may be alive".to_owned());
    assert_eq!(chosen(&gone, 5), Ok(()));
    let message = chosen(&gone, 4).unwrap_err();
    assert!(!message.contains("alive"), "{message}");
    assert!(
        message.contains("pool:::4 is not among") && message.contains("of generation 5"),
        "{message}"
    );
    let message = chosen(&lives, 5).unwrap_err();
    assert!(message.contains("may be alive"), "{message}");
}

#[test]
fn what_is_on_another_node_is_given_up_only_where_that_node_is_gone() {
    let seen = seen();
    let gone = Owner::Gone("the data is on n2, which is dead".to_owned());
    let lives = Owner::MayLive("the data is on n2, which may be alive".to_owned());
    let at = home(split("n2"), 3);
    let heard = testimony(&node("n1"), &at, &seen, &gone);
    assert_eq!(heard.homes, [home(HomeState::Pool, 5)]);
    assert!(
        heard.ways_out[1].contains("--set-home pool:::5 --instead-of split:n2:")
            && heard.ways_out[1].contains(" --because REASON`;"),
        "{:?}",
        heard.ways_out
    );
    let heard = testimony(&node("n1"), &at, &seen, &lives);
    assert_eq!(heard.homes, []);
    assert!(
        heard.ways_out[0].contains("written back there"),
        "{heard:?}"
    );
    // Half written back, the pool's own content is neither.
    let half = HomeState::Returning {
        node: node("n2"),
        copy: lv('c'),
    };
    let heard = testimony(&node("n1"), &home(half, 4), &seen, &gone);
    assert!(heard.ways_out[1].contains("partly"), "{heard:?}");
}

/// What the copy lacks was in the pool when it was made, and is not there any more.
#[test]
fn i19_a_copy_that_was_given_up_is_no_way_back_once_another_copy_was_written_back() {
    let given = GivenUp::new(node("n1"), lv('c'), 1, 1_795_900_000, (0, "burnt"));
    let mut seen = with_copy(used(1));
    seen.info.tags.push(given.tag());
    let way_back = |generation| {
        let at = home(HomeState::Pool, generation);
        let heard = testimony(&node("n1"), &at, &seen, &Owner::Here);
        let offered = heard
            .ways_out
            .iter()
            .any(|way| way.contains("--set-home split"));
        assert_eq!(offered, !heard.homes.is_empty(), "{heard:?}");
        assert!(heard.ways_out.iter().any(|way| way.contains("--discard")));
        offered
    };
    assert!(way_back(3), "as it was given up");
    assert!(!way_back(6), "another copy was written back since");
}

/// As after the node was installed anew, or its local disk was replaced.
#[test]
fn i19_a_copy_that_its_node_has_not_got_any_more_is_given_up_with_a_reason() {
    let at = home(split("n1"), 3);
    let heard = |copies: LocalCopies| {
        let mut seen = seen();
        seen.witnesses.copies = copies;
        let without = is_without_its_copy(&node("n1"), &at, &seen);
        (testimony(&node("n1"), &at, &seen, &Owner::Here), without)
    };
    for (copies, first) in [
        (LocalCopies::Found(Vec::new()), "bring the disk"),
        (LocalCopies::NoPool, "put the local pool back"),
    ] {
        let (heard, without) = heard(copies);
        assert!(without);
        assert_eq!(heard.homes, [home(HomeState::Pool, 5)]);
        let [way] = &heard.ways_out[..] else {
            panic!("{heard:?}")
        };
        assert!(way.starts_with(first), "{way}");
        assert!(way.contains("is lost"), "{way}");
        assert!(
            way.contains("--set-home pool:::5 --instead-of split:n1:"),
            "{way}"
        );
        assert!(way.ends_with(" --because REASON`"), "{way}");
    }
    // Nobody knows what is in a pool that cannot be read.
    let (heard, without) = heard(LocalCopies::Silent("it does not answer".to_owned()));
    assert!(!without && heard.homes.is_empty(), "{heard:?}");
    assert!(!is_without_its_copy(&node("n1"), &at, &with_copy(used(3))));
    assert!(
        !is_without_its_copy(&node("n2"), &at, &seen()),
        "it is node 1's"
    );
    let half = home(returning(), 4);
    let heard = testimony(&node("n1"), &half, &seen(), &Owner::Here);
    assert!(heard.ways_out[0].contains("partly"), "{heard:?}");
}
