use super::*;

const SOON: Patience = Patience(Duration::from_millis(50));

fn pools(names: &[&str]) -> BTreeSet<PoolName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

async fn all_of(places: &Places, pools: &BTreeSet<PoolName>, patience: Patience) -> Vec<Place> {
    let mut all = Vec::new();
    for _ in 0..EACH_POOL {
        all.push(places.in_pools(pools, patience).await.unwrap());
    }
    all
}

#[tokio::test]
async fn one_pools_full_places_keep_back_that_pool_and_no_other() {
    let places = Places::new(pools(&["a", "b"]));
    let mut hang = Vec::new();
    for _ in 0..EACH_POOL {
        hang.push(places.in_pools(&pools(&["a"]), SOON).await.unwrap());
    }
    let Failure(problem) = places
        .in_pools(&pools(&["a", "b"]), SOON)
        .await
        .unwrap_err();
    assert_eq!(problem.code, "busy");
    assert!(problem.message.contains("pool a"), "{problem:?}");
    // Nothing of b is kept by who waited for a in vain.
    for _ in 0..EACH_POOL {
        hang.push(places.in_pools(&pools(&["b"]), SOON).await.unwrap());
    }
    hang.clear();
    places.in_pools(&pools(&["a", "b"]), SOON).await.unwrap();
}

#[tokio::test]
async fn readers_of_one_kind_keep_back_no_other_kind() {
    let places = Places::new(pools(&["a"]));
    let mut readers = Vec::new();
    for _ in 0..EACH_KIND {
        readers.push(places.to_look(CallerKind::Monitoring, SOON).await.unwrap());
    }
    assert!(places.to_look(CallerKind::Monitoring, SOON).await.is_err());
    places.to_look(CallerKind::Root, SOON).await.unwrap();
    places.in_pools(&pools(&["a"]), SOON).await.unwrap();
}

/// The caller is gone; its work in a thread is not.
#[tokio::test]
async fn a_place_goes_with_the_work_and_not_with_the_caller() {
    let places = Arc::new(Places::new(pools(&["a"])));
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let place = places.to_look(CallerKind::Root, SOON).await.unwrap();
    let work = within(place, async {
        let place = taken();
        drop(tokio::task::spawn_blocking(move || {
            let _until_the_end = ended.recv();
            drop(place);
        }));
    });
    work.await;
    let free = || places.kinds[&CallerKind::Root].free.available_permits();
    assert_eq!(free(), EACH_KIND - 1);
    drop(end);
    while free() < EACH_KIND {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// As fast as time passes in the test: nothing is timed.
#[tokio::test(start_paused = true)]
async fn who_cannot_be_answered_in_time_is_told_at_once_and_when_to_ask_again() {
    let places = Arc::new(Places::new(pools(&["a"])));
    let a = pools(&["a"]);
    // A request takes four seconds here.
    let one = places.in_pools(&a, SOON).await.unwrap();
    tokio::time::advance(Duration::from_secs(4)).await;
    drop(one);
    let mut working = all_of(&places, &a, SOON).await;
    // One that waits a minute is let in; the next one would wait 8 s, and has 5.
    let patient = {
        let (places, a) = (Arc::clone(&places), a.clone());
        let minute = Patience(Duration::from_secs(60));
        tokio::spawn(async move { places.in_pools(&a, minute).await.map(drop) })
    };
    tokio::task::yield_now().await;
    let began = Instant::now();
    let five = Patience(Duration::from_secs(5));
    let Failure(problem) = places.in_pools(&a, five).await.unwrap_err();
    assert_eq!(began.elapsed(), Duration::ZERO, "at once");
    assert_eq!(problem.code, "busy");
    assert_eq!(problem.retry_after_ms, Some(8_000));
    assert!(problem.message.contains("1 others wait"), "{problem:?}");
    working.clear();
    patient.await.unwrap().unwrap();
    // What was refused waits no more.
    assert_eq!(
        places.pools[&"a".parse().unwrap()]
            .waiting
            .load(Ordering::SeqCst),
        0
    );
}

/// Many at once take longer than those before them did, which is seen when the first of them end.
#[tokio::test(start_paused = true)]
async fn who_gets_a_place_too_late_is_told_and_begins_nothing() {
    let places = Arc::new(Places::new(pools(&["a"])));
    let a = pools(&["a"]);
    let minute = Patience(Duration::from_secs(60));
    let mut working = all_of(&places, &a, minute).await;
    let second = {
        let (places, a) = (Arc::clone(&places), a.clone());
        tokio::spawn(async move { places.in_pools(&a, minute).await.map(drop) })
    };
    tokio::task::yield_now().await;
    tokio::time::advance(Duration::from_secs(40)).await;
    working.clear();
    let Failure(problem) = second.await.unwrap().unwrap_err();
    assert_eq!(problem.code, "busy");
    assert_eq!(problem.retry_after_ms, Some(40_000));
    assert!(problem.message.contains("after 40 s"), "{problem:?}");
    // Who comes now has all his time.
    places.in_pools(&a, minute).await.unwrap();
}

/// One that takes half as long again as the last one must be in time, too.
#[tokio::test(start_paused = true)]
async fn who_would_be_answered_in_time_only_by_the_skin_of_his_teeth_is_told() {
    for (waits, is_let_in) in [(15, true), (19, false)] {
        let places = Arc::new(Places::new(pools(&["a"])));
        let a = pools(&["a"]);
        let minute = Patience(Duration::from_secs(60));
        let mut working = all_of(&places, &a, minute).await;
        tokio::time::advance(Duration::from_secs(29) - Duration::from_secs(waits)).await;
        let second = {
            let (places, a) = (Arc::clone(&places), a.clone());
            tokio::spawn(async move { places.in_pools(&a, minute).await.map(drop) })
        };
        tokio::task::yield_now().await;
        tokio::time::advance(Duration::from_secs(waits)).await;
        // Each took 29 s, so the next one may take 43.5.
        working.clear();
        assert_eq!(second.await.unwrap().is_ok(), is_let_in, "after {waits} s");
    }
}

#[tokio::test]
async fn places_are_given_in_the_order_of_arrival() {
    let places = Arc::new(Places::new(pools(&["a"])));
    let a = pools(&["a"]);
    let minute = Patience(Duration::from_secs(60));
    let mut working = all_of(&places, &a, minute).await;
    let (order, ordered) = std::sync::mpsc::channel();
    let mut waiting = Vec::new();
    for n in 0..8 {
        let (places, a, order) = (Arc::clone(&places), a.clone(), order.clone());
        waiting.push(tokio::spawn(async move {
            let place = places.in_pools(&a, minute).await.unwrap();
            order.send(n).unwrap();
            drop(place);
        }));
        tokio::task::yield_now().await;
    }
    working.truncate(EACH_POOL - 1);
    for one in waiting {
        one.await.unwrap();
    }
    drop(order);
    assert_eq!(ordered.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7]);
}
