"""Operations on volumes, asked of the real daemon over storage in memory, and of peers that answer late."""

import json
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

from tests.fake_daemon import CINDER, NOVA, FakeCluster
from tests.servers import answering, request_of, serving
from tests.test_daemon import as_user, disk, instance
from volward_openstack import attachments, operations
from volward_openstack.client import Client
from volward_openstack.problems import NoDaemon, Refusal, Unusable
from volward_openstack.shapes import OperationView

MIB = 1 << 20


def making(client: Client, name: str, size: int = 8 * MIB) -> operations.Begin:
    return lambda operation: client.volume_create(
        {"id": operation, "pool": "san", "volume": name, "size": size}
    ).get("operation")


def deleting(client: Client, name: str) -> operations.Begin:
    return lambda operation: client.volume_delete({"id": operation, "pool": "san", "volume": name}).get(
        "operation"
    )


def growing(client: Client, name: str, size: int) -> operations.Begin:
    return lambda operation: client.volume_extend(
        {"id": operation, "pool": "san", "volume": name, "size": size}
    ).get("operation")


def sizes(client: Client) -> dict[str, int]:
    (pool,) = [pool for pool in client.pools() if pool["name"] == "san"]
    return {view["name"]: view["size"] for view in pool["volumes"]}


@pytest.fixture(name="wanted")
def _wanted() -> str:
    return f"test:{uuid.uuid4()}"


def test_a_volume_is_made_grown_and_deleted_and_whoever_asks_again_finds_it_done(
    cluster: FakeCluster, wanted: str
) -> None:
    name = f"volume-{uuid.uuid4()}"
    made = operations.done(cluster.n1, f"{wanted}:c", making(cluster.n1, name))
    assert made is not None
    assert made["state"] == "done"
    assert made["volume_id"]
    begin = mock.Mock(side_effect=ZeroDivisionError)
    assert operations.done(cluster.n1, f"{wanted}:c", begin) == made
    operations.done(cluster.n1, f"{wanted}:e", growing(cluster.n1, name, 16 * MIB))
    assert sizes(cluster.n2)[name] == 16 * MIB
    operations.done(cluster.n1, f"{wanted}:d", deleting(cluster.n1, name))
    assert name not in sizes(cluster.n2)
    # Under another id: what is gone is deleted.
    again = operations.done(cluster.n2, f"{wanted}:d2", deleting(cluster.n2, name))
    assert again is not None
    assert again["state"] == "done"


def test_what_came_to_nothing_is_asked_for_again_under_another_id(
    cluster: FakeCluster, volume: str, wanted: str
) -> None:
    whose = instance()
    attachments.attach(cluster.n2, disk(volume), whose)
    with pytest.raises(Refusal, match="attached to instance") as raised:
        operations.done(cluster.n1, wanted, deleting(cluster.n1, volume))
    assert (raised.value.kind, raised.value.code) == ("refused", "held-elsewhere")
    # What is refused is not on record; what failed is, and keeps its id.
    assert operations.known(cluster.n1, wanted) is None
    attachments.detach(cluster.n2, disk(volume), whose)
    for _ in range(3):
        cluster.happens("fail n1 change-tags")
    with pytest.raises(operations.Ended, match="a test's failure") as ended:
        operations.done(cluster.n1, wanted, deleting(cluster.n1, volume))
    assert ended.value.sentence.endswith(f"(storage); more: volward op show {wanted}")
    assert volume in sizes(cluster.n1)
    done = operations.done(cluster.n1, wanted, deleting(cluster.n1, volume))
    assert done is not None
    assert done["id"] == f"{wanted}:2"
    assert volume not in sizes(cluster.n1)


def test_a_volume_grows_while_an_instance_has_it_on_the_node_that_is_asked_or_on_another(
    cluster: FakeCluster, volume: str, wanted: str
) -> None:
    whose = instance()
    attachments.attach(cluster.n1, disk(volume), whose)
    operations.done(cluster.n2, wanted, growing(cluster.n2, volume, 128 * MIB))
    assert sizes(cluster.n1)[volume] == 128 * MIB
    operations.done(cluster.n1, f"{wanted}:2", growing(cluster.n1, volume, 256 * MIB))
    assert sizes(cluster.n2)[volume] == 256 * MIB
    attachments.detach(cluster.n1, disk(volume), whose)


def test_the_making_of_a_volume_is_taken_back_or_was_done(cluster: FakeCluster, wanted: str) -> None:
    assert operations.take_back(cluster.n1, wanted) is None
    name = f"volume-{uuid.uuid4()}"
    begun = making(cluster.n1, name)(wanted)
    assert begun is not None
    taken = operations.take_back(cluster.n1, wanted)
    assert taken is not None
    assert (taken["state"] == "done") == (name in sizes(cluster.n1))
    assert operations.take_back(cluster.n1, wanted) == taken


def test_cinders_user_makes_marks_and_deletes_and_novas_does_not(cluster: FakeCluster, wanted: str) -> None:
    path, name = cluster.socket("n1"), f"volume-{uuid.uuid4()}"

    def work() -> object:
        client = Client(path)
        operations.done(client, f"{wanted}:c", making(client, name))
        marked = client.volume_set({"pool": "san", "volume": name, "shareable": True})["shareable"]
        gone = operations.done(client, f"{wanted}:d", deleting(client, name))
        return [marked, gone and gone["state"]]

    assert as_user(CINDER, work) == [True, "done"]
    assert "caller-may-not" in str(as_user(NOVA, lambda: _code(work)))


def _code(work: Callable[[], object]) -> object:
    try:
        return work()
    except Refusal as refusal:
        return refusal.code


def view(state: str, **more: Any) -> OperationView:
    whole = {
        "id": "o",
        "operation": "create",
        "pool": "san",
        "volume": "v",
        "state": state,
        "done": 1,
        "total": 2,
        "started_ms": 0,
        "changed_ms": 0,
    }
    return {**whole, **more}  # type: ignore[typeddict-item]


@pytest.fixture(name="hurried")
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "PAUSE", 0.01)


def one_after_another(answers: Iterator[tuple[str, object]]) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        status, body = next(answers)
        answering(status, json.dumps(body))(connection)

    return serve


@pytest.mark.usefixtures("hurried")
def test_a_daemon_that_is_restarted_is_waited_for_and_for_ever_it_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    states = iter(
        [
            ("200 OK", view("running")),
            ("200 OK", view("waiting", trouble="the LUN is silent")),
            ("500 Oops", "no problem of a daemon"),
            ("200 OK", view("done", volume_id="x:y")),
        ]
    )
    with serving(one_after_another(states)) as path:
        assert operations.ended(Client(path), view("running"))["volume_id"] == "x:y"
    monkeypatch.setattr(operations, "ABSENCE", 0.05)
    begun = time.monotonic()
    with pytest.raises(NoDaemon, match="the operation o goes on with the daemon"):
        operations.ended(Client(path), view("running"))
    assert time.monotonic() - begun < 5


@pytest.mark.usefixtures("hurried")
def test_an_answer_that_was_lost_is_looked_for_under_the_id() -> None:
    missing = {"kind": "not-found", "code": "not-found", "message": "no operation"}
    states = iter([("404 Not Found", missing), ("200 OK", view("done"))])
    with serving(one_after_another(states)) as path:
        client = Client(path)
        begin = mock.Mock(side_effect=Unusable("the connection ended"))
        assert operations.done(client, "o", begin) == view("done")
        begin.assert_called_once_with("o")
    states = iter([("404 Not Found", missing)] * 2)
    with serving(one_after_another(states)) as path, pytest.raises(Unusable):
        operations.done(Client(path), "o", begin)


@pytest.mark.usefixtures("hurried")
def test_what_passes_by_itself_is_asked_for_again_and_what_does_not_is_not() -> None:
    open_one = {"kind": "refused", "code": "operation-open", "message": "not ended", "retry_after_ms": 100}
    for_good = {"kind": "refused", "code": "no-space", "message": "pool san has 1 MiB free"}
    with serving(answering("404 Not Found", json.dumps({**for_good, "kind": "not-found"}))) as path:
        client = Client(path)
        begin = mock.Mock(side_effect=[Refusal(open_one), view("done")])  # type: ignore[arg-type]
        assert operations.done(client, "o", begin) == view("done")
        begin = mock.Mock(side_effect=Refusal(for_good))  # type: ignore[arg-type]
        with pytest.raises(Refusal, match="pool san has 1 MiB free"):
            operations.done(client, "o", begin)
        assert begin.call_count == 1


def test_one_that_was_cancelled_says_so() -> None:
    ended = operations.Ended(view("cancelled"))
    assert ended.sentence == "the create of san/v was cancelled (cancelled); more: volward op show o"


def test_the_wait_is_the_daemons_and_the_call_is_given_longer() -> None:
    asked: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        asked.append(request_of(connection))
        body = json.dumps(view("done"))
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(f"{head}{body}".encode())

    with serving(serve) as path:
        Client(path, patience=5).operation("cinder:create:1", 30)
    (text,) = asked
    assert text.startswith(b"GET /v1/operations/cinder%3Acreate%3A1?wait_ms=30000 HTTP/1.1\r\n")
    assert b"Prefer: wait=35" in text
