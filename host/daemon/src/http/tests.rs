use super::testing::Served;

#[test]
fn a_pool_that_cannot_be_read_is_said_beside_the_clusters_attachments() {
    // The test's daemon has no LVM to ask.
    let served = Served::new("[[pool]]\nname = \"vg9\"\n", |_| {});
    let reply = served.client().cluster().unwrap();
    assert!(reply.attachments.is_empty(), "{reply:?}");
    let [sentence] = &reply.unreadable[..] else {
        panic!("{reply:?}")
    };
    assert!(sentence.starts_with("pool vg9: "), "{sentence}");
    // Programs that ask as before get the list they got.
    assert!(served.client().attachments(true).unwrap().is_empty());
}
