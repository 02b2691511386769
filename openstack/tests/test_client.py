"""The socket without a daemon behind it: each call ends in time, and says in a sentence what was wrong."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import answering, request_of, serving
from volward_openstack.client import Client, socket_path
from volward_openstack.problems import NoDaemon, NotAllowed, Refusal, TimedOut, Unusable

STATUS = '{"version": "0.1.0", "node": "n1", "quarantined": 0, "pools": ["san"], "news": 1}'


def wait_until(done: threading.Event) -> Callable[[socket.socket], None]:
    """Accepts, and says nothing until the test has ended."""
    return lambda _connection: assert_set(done)


def assert_set(done: threading.Event) -> None:
    assert done.wait(30)


def test_an_answer_is_read_whatever_a_later_daemon_has_added() -> None:
    with serving(answering("200 OK", STATUS)) as path:
        status = Client(path).status()
    assert (status["node"], status["pools"]) == ("n1", ["san"])


def test_a_request_says_how_long_its_caller_waits() -> None:
    seen: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        seen.append(request_of(connection))
        connection.sendall(b'HTTP/1.1 200 OK\r\n\r\n{"detached": []}')

    with serving(serve) as path:
        assert Client(path).detach({"instance": "i"}, patience=7.9) == {"detached": []}
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/detach HTTP/1.1\r\n")
    assert b"\r\nPrefer: wait=7\r\n" in head
    assert json.loads(body) == {"instance": "i"}


def test_a_refusal_carries_the_daemons_sentence_code_and_time() -> None:
    problem = {
        "kind": "refused",
        "code": "held-elsewhere",
        "message": "san/a is attached on node n2",
        "retry_after_ms": 4001,
        "request": "r",
        "details": ["d"],
    }
    with serving(answering("409 Conflict", json.dumps(problem))) as path, pytest.raises(Refusal) as raised:
        Client(path).status()
    said = raised.value
    assert (said.kind, said.code, said.retry_after_ms, said.details) == (
        "refused",
        "held-elsewhere",
        4001,
        ["d"],
    )
    assert said.sentence == (
        "san/a is attached on node n2 (held-elsewhere); try again in 5 s; why: volward explain r"
    )


def test_without_a_daemon_it_is_said_at_once(tmp_path: Path) -> None:
    missing, left = tmp_path / "sock", tmp_path / "left"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(left))
    for path in (missing, left):
        begun = time.monotonic()
        with pytest.raises(NoDaemon, match=f"not running on this node \\({path}\\)"):
            Client(str(path)).status()
        assert time.monotonic() - begun < 1


def test_a_socket_that_may_not_be_opened_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_sock: socket.socket, _path: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(NotAllowed, match="may not open"):
        Client("/run/sock").status()


def test_a_daemon_that_accepts_and_is_silent_is_waited_for_as_long_as_was_said() -> None:
    done = threading.Event()
    with serving(wait_until(done)) as path:
        begun = time.monotonic()
        with pytest.raises(TimedOut, match=r"did not answer within 0\.3 s"):
            Client(path).status(patience=0.3)
        assert 0.3 <= time.monotonic() - begun < 1.5
        done.set()


def test_an_answer_that_comes_a_byte_at_a_time_keeps_nobody_longer_than_the_deadline() -> None:
    done = threading.Event()

    def serve(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not done.wait(0.02):
            connection.sendall(b" ")

    with serving(serve) as path:
        begun = time.monotonic()
        with pytest.raises(TimedOut):
            Client(path).status(patience=0.4)
        assert 0.4 <= time.monotonic() - begun < 1.5
        done.set()


def test_a_request_that_nobody_reads_ends_too() -> None:
    done = threading.Event()
    with serving(wait_until(done)) as path:
        large = [("san", "v" * 100)] * 100_000
        with pytest.raises(TimedOut):
            Client(path).detach({"instance": "i", "volumes": large}, patience=0.3)
        done.set()


def test_a_full_backlog_is_not_waited_for_longer_than_the_deadline(tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        waiting = []
        while True:
            one = socket.socket(socket.AF_UNIX)
            one.setblocking(False)
            waiting.append(one)
            try:
                one.connect(path)
            except BlockingIOError:
                break
        begun = time.monotonic()
        with pytest.raises(TimedOut):
            Client(path).status(patience=0.3)
        assert 0.3 <= time.monotonic() - begun < 1.5
        for one in waiting:
            one.close()


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", "Remote end closed connection"),
        (b"HTTP/1.1 200 O", "RemoteDisconnected|IncompleteRead|BadStatusLine|status 200"),
        (b"SSH-2.0-x\r\n\r\n", "BadStatusLine"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", "in the middle of the answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}", "invalid literal"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", "IncompleteRead"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "Expecting value"),
        (b"HTTP/1.1 200 OK\r\n\r\n\xff", "status 200"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000, "status 200"),
        (b"HTTP/1.1 200 OK\r\n\r\n[]", "the answer is no object"),
        (b'HTTP/1.1 200 OK\r\n\r\n{"version": "0"}', "the answer has no node"),
        (
            b'HTTP/1.1 200 OK\r\n\r\n{"version": "0", "node": 1, "quarantined": 0, "pools": []}',
            "the answer.node is int instead of str",
        ),
        (
            b'HTTP/1.1 200 OK\r\n\r\n{"version": "0", "node": "n", "quarantined": true, "pools": []}',
            "the answer.quarantined is bool instead of int",
        ),
        (
            b'HTTP/1.1 200 OK\r\n\r\n{"version": "0", "node": "n", "quarantined": 0, "pools": [[]]}',
            r"the answer.pools\[0\] is list instead of str",
        ),
        (b"HTTP/1.1 500 Oh\r\n\r\n<html>", "status 500"),
        (b'HTTP/1.1 500 Oh\r\n\r\n{"message": "m"}', "status 500: the answer has no kind"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n{}", "got more than 100 headers"),
    ],
)
def test_half_an_answer_or_another_programs_is_no_answer(sent: bytes, reason: str) -> None:
    def serve(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(sent)

    with serving(serve) as path, pytest.raises(Unusable, match=reason) as raised:
        Client(path, patience=10).status()
    assert path in str(raised.value)


def test_a_daemon_that_answers_before_it_has_read_everything_is_heard() -> None:
    problem = json.dumps({"kind": "bad-request", "code": "bad-request", "message": "too large"})

    def serve(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(f"HTTP/1.1 413 No\r\nContent-Length: {len(problem)}\r\n\r\n{problem}".encode())
        connection.shutdown(socket.SHUT_RDWR)

    large = [("san", "v" * 100)] * 100_000
    with serving(serve) as path, pytest.raises(Refusal, match="too large"):
        Client(path, patience=10).detach({"instance": "i", "volumes": large})


def test_no_descriptor_is_left_open() -> None:
    def serve(connection: socket.socket) -> None:
        request_of(connection)

    with serving(serve) as path:
        for _ in range(3):
            with pytest.raises(Unusable):
                Client(path).status()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(50):
            with pytest.raises(Unusable):
                Client(path).status()
        # One more or less may be the server's.
        assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_a_container_says_where_the_socket_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOLWARD_SOCKET", raising=False)
    assert socket_path() == "/run/volward/volwardd.sock"
    monkeypatch.setenv("VOLWARD_SOCKET", "/host/sock")
    assert socket_path() == "/host/sock"
