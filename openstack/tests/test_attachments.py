"""What is asked of the daemon for what Cinder and nova say, without a daemon."""

import socket
import threading
import time
from typing import Any

import pytest

from tests.servers import answering, serving
from volward_openstack import attachments
from volward_openstack.attachments import BadProperties, Disk, Owner
from volward_openstack.client import Client
from volward_openstack.problems import NoDaemon, Refusal, VolwardError
from volward_openstack.shapes import AttachReply, AttachRequest, DetachReply, DetachRequest, Problem

DISK = Disk("san", "a", "read-write", False)
INSTANCE = Owner("11111111-2222-3333-4444-555555555555", "instance-1", "boot", [("project-id", "p")])


class Scripted(Client):
    """Answers with what it is given, one after the other, and keeps what it was asked."""

    def __init__(self, *answers: Any) -> None:
        super().__init__("/nonexistent")
        self.answers = list(answers)
        self.asked: list[Any] = []

    def attach(self, request: AttachRequest, patience: float | None = None) -> AttachReply:
        assert patience is None
        return self._next(request)  # type: ignore[no-any-return]

    def detach(self, request: DetachRequest, patience: float | None = None) -> DetachReply:
        assert patience is None
        return self._next(request)  # type: ignore[no-any-return]

    def _next(self, request: Any) -> Any:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def granted(access: str = "read-write", **more: Any) -> AttachReply:
    attached = {"pool": "san", "volume": "a", "device": "/dev/x", "access": access, "sharing": "exclusive"}
    return {"request": "r", "attached": [{**attached, **more}]}  # type: ignore[typeddict-item]


def refused(code: str, retry_after_ms: int | None, kind: str = "refused") -> Refusal:
    problem: Problem = {"kind": kind, "code": code, "message": "m", "retry_after_ms": retry_after_ms}
    return Refusal(problem)


@pytest.fixture(name="slept")
def _slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses, which take no time and count all the same."""
    pauses: list[float] = []
    start = time.monotonic()
    monkeypatch.setattr(time, "sleep", pauses.append)
    monkeypatch.setattr(time, "monotonic", lambda: start + sum(pauses))
    return pauses


def test_our_access_is_asked_for_and_cinders_mode_where_there_is_none() -> None:
    for mode, ours, wanted in [
        ("rw", None, "read-write"),
        (None, None, "read-write"),
        ("ro", None, "read-only"),
        ("ro", "read-write", "read-write"),
        ("rw", "read-only", "read-only"),
    ]:
        section = {"pool": "san", "volume": "a"} | ({"access": ours} if ours else {})
        properties = {"access_mode": mode, "volward": section}
        assert attachments.disk(properties) == Disk("san", "a", wanted, False)  # type: ignore[arg-type]
    shared = attachments.disk({"multiattach": True, "volward": {"pool": "san", "volume": "a"}})
    assert shared.shared


@pytest.mark.parametrize(
    "properties",
    [{}, {"volward": None}, {"volward": {"pool": "san"}}, {"volward": {"pool": "san", "volume": 1}}],
)
def test_connection_information_of_another_driver_is_named(properties: dict[str, Any]) -> None:
    with pytest.raises(BadProperties, match="of another driver"):
        attachments.disk(properties)


def test_an_access_that_does_not_exist_is_named() -> None:
    with pytest.raises(BadProperties, match="'ro' is none of read-write, read-only"):
        attachments.disk({"volward": {"pool": "san", "volume": "a", "access": "ro"}})


def test_a_service_has_the_same_id_for_the_same_volume_and_node_and_no_other() -> None:
    def of(volume: str, host: str) -> Owner:
        return attachments.owner({"volward": {"pool": "san", "volume": volume}}, host)

    assert of("a", "n1") == of("a", "n1")
    assert len({of("a", "n1").uuid, of("b", "n1").uuid, of("a", "n2").uuid}) == 3
    assert of("a", "n1").purpose == {"other": "volume-service"}


def test_a_hint_that_is_too_long_is_cut_between_characters() -> None:
    section = {"pool": "san", "volume": "a"}
    instance = {"uuid": "u", "name": "n", "purpose": "boot", "hints": {"display-name": "a" + "é" * 600}}
    whose = attachments.owner({"volward": {**section, "instance": instance}}, "n1")
    assert whose.hints == [("display-name", "a" + "é" * 511)]


def test_an_attach_says_all_there_is_to_say_and_is_called_off_with_its_caller() -> None:
    client = Scripted(granted())
    assert attachments.attach(client, DISK, INSTANCE)["device"] == "/dev/x"
    assert client.asked == [
        {
            "instance": INSTANCE.uuid,
            "instance_name": "instance-1",
            "purpose": "boot",
            "hints": [("project-id", "p")],
            "disks": [
                {
                    "pool": "san",
                    "volume": "a",
                    "access": "read-write",
                    "accept_narrowing": True,
                }
            ],
            "only_while_waiting": True,
        }
    ]
    client = Scripted(granted())
    attachments.attach(client, Disk("san", "a", "read-write", True), INSTANCE)
    assert client.asked[0]["disks"][0]["sharing"] == "shared"


def test_what_passes_by_itself_is_asked_again_for_half_a_minute(slept: list[float]) -> None:
    client = Scripted(refused("busy", 2000), refused("returning", 10_000), granted())
    attachments.attach(client, DISK, INSTANCE)
    assert slept == [2.0, 10.0]
    slept.clear()
    client = Scripted(*[refused("returning", 12_000)] * 4)
    with pytest.raises(Refusal):
        attachments.attach(client, DISK, INSTANCE)
    assert (slept, len(client.asked)) == ([12.0, 12.0], 3)
    # Sanlock needs longer than that to call a node dead: its time is told, and not waited for.
    slept.clear()
    with pytest.raises(Refusal, match="m") as raised:
        attachments.attach(Scripted(refused("held-elsewhere", 140_000)), DISK, INSTANCE)
    assert "try again in 140 s" in raised.value.sentence
    assert slept == []


def test_a_time_of_nothing_is_no_hurry(slept: list[float]) -> None:
    client = Scripted(*[refused("busy", 0)] * 5, granted())
    attachments.attach(client, DISK, INSTANCE)
    assert len(slept) == 5
    assert min(slept) >= 0.1


@pytest.mark.parametrize("kind", ["denied", "storage", "quarantined", "faulted", "forbidden", "internal"])
def test_a_denial_or_a_failure_is_not_asked_again(kind: str, slept: list[float]) -> None:
    client = Scripted(refused("x", 1000, kind))
    with pytest.raises(Refusal):
        attachments.attach(client, DISK, INSTANCE)
    assert (slept, len(client.asked)) == ([], 1)


def test_an_access_that_is_not_known_is_given_back_unless_it_was_there_before() -> None:
    client = Scripted(granted("append-only"), {"detached": []})
    with pytest.raises(VolwardError, match="'append-only', which this version does not know"):
        attachments.attach(client, DISK, INSTANCE)
    assert client.asked[1] == {"instance": INSTANCE.uuid, "volumes": [("san", "a")]}
    client = Scripted(granted("append-only", already=True))
    with pytest.raises(VolwardError):
        attachments.attach(client, DISK, INSTANCE)


def test_an_answer_about_another_volume_is_no_grant() -> None:
    with pytest.raises(VolwardError, match="does not name san/a"):
        attachments.attach(Scripted(granted(volume="b")), DISK, INSTANCE)


def test_a_detach_of_what_is_unknown_is_done_and_other_refusals_are_not() -> None:
    assert attachments.detach(Scripted(refused("not-found", None, "not-found")), DISK, INSTANCE) == {
        "detached": []
    }
    with pytest.raises(Refusal):
        attachments.detach(Scripted(refused("quarantined", None, "quarantined")), DISK, INSTANCE)


def test_a_detach_without_a_daemon_says_what_to_do() -> None:
    with pytest.raises(NoDaemon, match=f"volward detach {INSTANCE.uuid} san/a"):
        attachments.detach(Client("/nonexistent"), DISK, INSTANCE)


def test_a_node_that_has_much_to_do_is_told_of() -> None:
    """Else nothing is attached there, of ours and by Cinder's word."""
    well = answering("200 OK", '{"version": "0", "node": "n1", "quarantined": 0, "pools": []}')

    def late(connection: socket.socket) -> None:
        time.sleep(1.5)
        well(connection)

    with serving(late) as busy:
        assert attachments.node_properties(busy) == {"volward": {"api": 1, "node": "n1"}}


def test_a_node_is_told_of_in_a_moment_whatever_the_daemon_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "PROPERTIES_PATIENCE", 0.4)
    done = threading.Event()

    def wait(_connection: socket.socket) -> None:
        assert done.wait(30)

    with serving(wait) as silent:
        begun = time.monotonic()
        silence = attachments.node_properties(silent)["volward"]
        took = time.monotonic() - begun
        done.set()
    assert took < 0.5
    assert silence["node"] is None
    assert "did not answer within 0.4 s" in silence["why"]
    gone = attachments.node_properties("/nonexistent")["volward"]
    assert gone["api"] == 1
    assert "not running on this node" in gone["why"]
    with serving(answering("200 OK", "[")) as mad:
        assert "cannot be used" in attachments.node_properties(mad)["volward"]["why"]
    with serving(
        answering("200 OK", '{"version": "0", "node": "n1", "quarantined": 0, "pools": []}')
    ) as well:
        assert attachments.node_properties(well) == {"volward": {"api": 1, "node": "n1"}}


def test_no_error_at_all_leaves_the_properties(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("x")

    monkeypatch.setattr(Client, "status", broken)
    assert attachments.node_properties()["volward"]["why"] == "RuntimeError: x"
