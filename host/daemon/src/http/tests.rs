use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;
use volward_api::{ClientError, DetachRequest, ProblemCode, StatusReply};

use super::openapi;
use super::routes::table;
use super::testing::Served;

/// Neither root nor anybody on a machine that runs tests.
const NOBODYS_UID: u32 = 47_110;

/// Runs on a thread whose user is not root; says which. A test run by root becomes another user
/// there, and any other stays who it is. The kernel looks at the thread that connects.
fn not_as_root<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let on_thread = || {
        if rustix::process::geteuid().is_root() {
            let uid = rustix::process::Uid::from_raw(NOBODYS_UID);
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
        }
        work()
    };
    std::thread::scope(|scope| scope.spawn(on_thread).join().unwrap())
}

fn uid_that_is_not_root() -> u32 {
    not_as_root(|| rustix::process::geteuid().as_raw())
}

/// Status and body.
fn ask(socket: &Path, method: &str, target: &str) -> (u16, Value) {
    let mut stream = UnixStream::connect(socket).unwrap();
    let request = format!("{method} {target} HTTP/1.1\r\nHost: v\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, serde_json::from_str(body).unwrap())
}

#[test]
fn a_foreign_user_gets_forbidden_whatever_is_asked() {
    let served = Served::for_users(&[], "", |_| {});
    let socket = served.socket();
    let reads: Vec<_> = table().into_iter().filter(|r| r.method == "get").collect();
    assert!(reads.len() > 5);
    for route in reads {
        let (status, body) = not_as_root(|| ask(&socket, "GET", route.path));
        assert_eq!(
            (status, body["code"].as_str()),
            (403, Some("forbidden")),
            "{}",
            route.path
        );
    }
    let all = DetachRequest {
        instance: "11111111-2222-3333-4444-555555555555".parse().unwrap(),
        volumes: vec![],
        not_after: None,
        dry_run: false,
    };
    let refused = not_as_root(|| served.client().detach(&all)).unwrap_err();
    let problem = refused.problem().unwrap();
    assert_eq!(problem.kind, ProblemCode::Forbidden);
    let uid = uid_that_is_not_root().to_string();
    assert!(
        problem.message.contains(&uid) && problem.message.contains("openstack-uids"),
        "{problem:?}"
    );
}

#[test]
fn a_user_of_openstack_uids_may_ask_and_another_may_not() {
    let uid = uid_that_is_not_root();
    let ask_where = |uids: &[u32]| -> Result<StatusReply, ClientError> {
        let served = Served::for_users(uids, "", |_| {});
        not_as_root(|| served.client().status())
    };
    assert_eq!(ask_where(&[7, uid]).unwrap().node, "n1");
    let other = ask_where(&[uid + 1]).unwrap_err();
    assert_eq!(
        other.problem().map(|p| p.kind),
        Some(ProblemCode::Forbidden)
    );
}

#[test]
fn the_openapi_document_is_served_over_the_socket() {
    let served = Served::new("", |_| {});
    let (status, document) = ask(&served.socket(), "GET", "/openapi.json");
    assert_eq!(status, 200);
    assert_eq!(document, openapi::document());
    // And what is nowhere in it points to it.
    let (status, problem) = ask(&served.socket(), "GET", "/v2/status");
    assert_eq!(status, 404);
    let message = problem["message"].as_str().unwrap();
    assert!(message.contains("/openapi.json"), "{message}");
}

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
