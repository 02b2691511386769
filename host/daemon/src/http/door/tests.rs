use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream as Client;

use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use axum::routing::get;
use tempfile::TempDir;

use super::*;

/// Serves `GET /`, which takes half a second, in the background.
fn serve(may_ask: bool, limits: Limits) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let door = Door::new(UnixListener::bind(path).unwrap(), move |_| may_ask, limits);
            let slow = || async {
                sleep(Duration::from_millis(500)).await;
                "done"
            };
            let app: IntoMakeServiceWithConnectInfo<axum::Router, Peer> = axum::Router::new()
                .route("/", get(slow))
                .into_make_service_with_connect_info();
            ready.send(()).unwrap();
            drop(axum::serve(door, app).await);
        });
    });
    is_ready.recv().unwrap();
    folder
}

fn connect(folder: &TempDir) -> Client {
    let client = Client::connect(folder.path().join("socket")).unwrap();
    let patience = Some(Duration::from_secs(20));
    client.set_read_timeout(patience).unwrap();
    client
}

fn ask(client: &mut Client) {
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
}

fn is_answered(client: &mut Client) -> bool {
    let mut first = [0; 12];
    client.read_exact(&mut first).is_ok() && first == *b"HTTP/1.1 200"
}

fn limits(connections: usize, first_byte: Duration) -> Limits {
    Limits {
        each_caller: connections,
        strangers: connections,
        first_byte,
        between: Duration::from_secs(60),
        answer: Duration::from_secs(60),
    }
}

#[test]
fn a_connection_that_says_no_more_after_its_first_byte_or_its_answer_is_ended() {
    // Each by a door of its own: what is short for the one would be for the other's answer, too.
    let short = Duration::from_millis(800);
    let long = limits(4, Duration::from_secs(20));
    let of_half = serve(
        true,
        Limits {
            answer: short,
            ..long
        },
    );
    let of_idle = serve(
        true,
        Limits {
            between: short,
            ..long
        },
    );
    let mut half = connect(&of_half);
    half.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let mut idle = connect(&of_idle);
    ask(&mut idle);
    assert!(is_answered(&mut idle));
    for client in [&mut half, &mut idle] {
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).unwrap();
    }
}

#[test]
fn idle_connections_are_bounded_and_end_and_then_others_are_served() {
    for may_ask in [true, false] {
        let folder = serve(may_ask, limits(4, Duration::from_secs(1)));
        let mut idle: Vec<Client> = (0..10).map(|_| connect(&folder)).collect();
        // The last six find no place: their end comes at once, and before the others'.
        let mut late = connect(&folder);
        assert_eq!(late.read(&mut [0]).unwrap(), 0);
        assert_eq!(idle[9].read(&mut [0]).unwrap(), 0);
        // The first four say nothing for a second, and make place.
        assert!(idle[0].read(&mut [0]).is_ok_and(|n| n == 0));
        let mut served = connect(&folder);
        ask(&mut served);
        assert!(is_answered(&mut served));
    }
}

#[test]
fn a_client_that_closes_its_writing_side_gets_its_answer_and_an_end() {
    let folder = serve(true, limits(4, Duration::from_secs(5)));
    let mut client = connect(&folder);
    ask(&mut client);
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
    assert!(answer.ends_with("done"), "{answer:?}");
}

#[test]
fn a_client_that_closes_its_writing_side_after_its_answer_gets_an_end_too() {
    let folder = serve(true, limits(4, Duration::from_secs(5)));
    let mut client = connect(&folder);
    ask(&mut client);
    assert!(is_answered(&mut client));
    client.shutdown(Shutdown::Write).unwrap();
    let mut rest = String::new();
    client.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("done"), "{rest:?}");
}

#[test]
fn who_waits_for_an_answer_is_not_called_silent() {
    let folder = serve(true, limits(4, Duration::from_millis(100)));
    let mut client = connect(&folder);
    ask(&mut client);
    assert!(is_answered(&mut client));
}
