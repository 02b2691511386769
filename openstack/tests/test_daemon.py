"""The client against the real daemon over storage in memory. Each exchange is held against the document."""

import json
import os
import time
import uuid
from collections.abc import Callable
from typing import Literal

import pytest

from tests.fake_daemon import NOVA, STRANGER, FakeCluster
from volward_openstack import attachments, shapes
from volward_openstack.attachments import Disk, Owner
from volward_openstack.client import Client
from volward_openstack.problems import NoDaemon, Refusal, TimedOut


def instance() -> Owner:
    return Owner(str(uuid.uuid4()), "instance-00000001", "boot", [("project-id", "p")])


def disk(volume: str, **more: object) -> Disk:
    return Disk(**{"pool": "san", "volume": volume, "access": "read-write", "shared": False} | more)  # type: ignore[arg-type]


def as_user(uid: int, work: Callable[[], object]) -> object:
    """Runs it in a process of that user; what it returns must be JSON."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setresuid(uid, uid, uid)
            answer = json.dumps(work())
        except BaseException as error:
            answer = json.dumps(f"{type(error).__name__}: {error}")
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answers:
        text = answers.read()
    os.waitpid(child, 0)
    return json.loads(text)


def test_a_volume_comes_and_goes_and_neither_is_done_twice(cluster: FakeCluster, volume: str) -> None:
    whose = instance()
    first = attachments.attach(cluster.n1, disk(volume), whose)
    assert (first["access"], first["sharing"], first.get("already")) == ("read-write", "exclusive", False)
    assert first["device"].endswith(f"/{whose.uuid}/san/{volume}")
    assert attachments.attach(cluster.n1, disk(volume), whose)["already"] is True
    assert attachments.paths(cluster.n1, disk(volume), whose) == [first["device"]]
    assert first["device"] in attachments.all_paths(cluster.n1)
    confirmed = cluster.n1.confirm(
        {"instance": whose.uuid, "event": "started", "volumes": [("san", volume), ("san", "other")]}
    )
    assert [list(pair) for pair in confirmed["missing"]] == [["san", "other"]]
    gone = attachments.detach(cluster.n1, disk(volume), whose)
    assert [one["volume"] for one in gone["detached"]] == [volume]
    assert attachments.detach(cluster.n1, disk(volume), whose)["detached"] == []
    assert attachments.paths(cluster.n1, disk(volume), whose) == []
    # Each of these was held against the document.
    assert {("POST", "/v1/attach", 200), ("POST", "/v1/detach", 200)} < cluster.n1.seen


@pytest.mark.parametrize(
    ("access", "shared"), [("read-write", False), ("read-write", True), ("read-only", False)]
)
def test_libvirts_hook_which_asks_after_nova_finds_it_attached_and_its_release_is_nova_s_detach(
    cluster: FakeCluster, shareable: str, access: Literal["read-write", "read-only"], shared: bool
) -> None:
    whose = instance()
    granted = attachments.attach(cluster.n1, disk(shareable, access=access, shared=shared), whose)
    # What the hook makes of the disk that nova then writes into the domain.
    asked: shapes.DiskRequest = {"pool": "san", "volume": shareable, "access": access}
    if shared:
        asked["sharing"] = "shared"
    again = cluster.n1.attach(
        {"instance": whose.uuid, "instance_name": whose.name, "purpose": "boot", "disks": [asked]}
    )["attached"][0]
    assert again == {**granted, "already": True}
    # The guest has ended, and nova cleans up after it.
    assert len(cluster.n1.detach({"instance": whose.uuid})["detached"]) == 1
    assert attachments.detach(cluster.n1, disk(shareable), whose)["detached"] == []


def test_what_another_node_has_is_refused_with_the_daemons_sentence(
    cluster: FakeCluster, volume: str
) -> None:
    holder = instance()
    attachments.attach(cluster.n1, disk(volume), holder)
    with pytest.raises(Refusal) as raised:
        attachments.attach(cluster.n2, disk(volume), instance())
    refusal = raised.value
    assert (refusal.kind, refusal.code) == ("refused", "held-elsewhere")
    assert f"san/{volume}" in refusal.sentence
    assert holder.uuid in refusal.sentence
    assert f"volward explain {refusal.request}" in refusal.sentence
    everywhere = cluster.n2.cluster()
    assert everywhere["unreadable"] == []
    assert [view["node"] for view in everywhere["attachments"] if view["volume"] == volume] == ["n1"]
    # Cold migration: the source lets go first.
    attachments.detach(cluster.n1, disk(volume), holder)
    attachments.attach(cluster.n2, disk(volume), holder)
    attachments.detach(cluster.n2, disk(volume), holder)


def test_two_instances_of_a_node_each_have_their_own_attachment(cluster: FakeCluster, shareable: str) -> None:
    one, other = instance(), instance()
    shared = disk(shareable, shared=True)
    devices = {attachments.attach(cluster.n1, shared, whose)["device"] for whose in (one, other)}
    assert len(devices) == 2
    attachments.detach(cluster.n1, shared, one)
    assert attachments.paths(cluster.n1, shared, one) == []
    assert len(attachments.paths(cluster.n1, shared, other)) == 1
    attachments.detach(cluster.n1, shared, other)


def test_sharing_without_the_mark_is_refused(cluster: FakeCluster, volume: str) -> None:
    with pytest.raises(Refusal, match="shareable"):
        attachments.attach(cluster.n1, disk(volume, shared=True), instance())


def test_read_only_is_granted_where_it_is_asked_for(cluster: FakeCluster, volume: str) -> None:
    whose = instance()
    assert attachments.attach(cluster.n1, disk(volume, access="read-only"), whose)["access"] == "read-only"
    attachments.detach(cluster.n1, disk(volume), whose)


def test_storage_that_fails_is_said_and_nothing_is_left(cluster: FakeCluster, volume: str) -> None:
    cluster.happens("fail n1 activate")
    whose = instance()
    with pytest.raises(Refusal, match="a test's failure") as raised:
        attachments.attach(cluster.n1, disk(volume), whose)
    assert raised.value.kind == "storage"
    assert attachments.paths(cluster.n1, disk(volume), whose) == []
    attachments.attach(cluster.n2, disk(volume), whose)
    attachments.detach(cluster.n2, disk(volume), whose)


def test_read_write_without_a_watchdog_is_refused(cluster: FakeCluster, volume: str) -> None:
    cluster.happens("watchdog n1 off")
    with pytest.raises(Refusal, match="watchdog"):
        attachments.attach(cluster.n1, disk(volume), instance())
    cluster.happens("watchdog n1 on")


def test_a_volume_or_pool_that_does_not_exist_is_named(cluster: FakeCluster) -> None:
    for missing in (disk("no-such-volume"), Disk("vg9", "a", "read-write", False)):
        with pytest.raises(Refusal, match=str(missing.volume if missing.pool == "san" else "vg9")) as raised:
            attachments.attach(cluster.n1, missing, instance())
        assert raised.value.kind == "not-found"
        attachments.detach(cluster.n1, missing, instance())


def test_a_detach_that_has_to_wait_for_the_guest_is_told_of_and_done_when_it_lets_go(
    cluster: FakeCluster, volume: str
) -> None:
    whose = instance()
    attachments.attach(cluster.n1, disk(volume), whose)
    cluster.happens(f"open n1 {volume} {whose.uuid} on")
    with pytest.raises(Refusal, match=volume) as raised:
        attachments.detach(cluster.n1, disk(volume), whose)
    assert raised.value.kind == "quarantined"
    cluster.happens(f"open n1 {volume} {whose.uuid} off")
    attachments.detach(cluster.n1, disk(volume), whose)
    assert attachments.paths(cluster.n1, disk(volume), whose) == []


def test_a_pool_that_does_not_answer_refuses_and_keeps_status_and_properties_from_nobody(
    cluster: FakeCluster, volume: str
) -> None:
    cluster.happens("silent n1 on")
    with pytest.raises(Refusal):
        attachments.attach(cluster.n1, disk(volume), instance())
    begun = time.monotonic()
    assert attachments.node_properties(cluster.socket("n1"))["volward"]["node"] == "n1"
    assert time.monotonic() - begun < 0.5
    cluster.happens("silent n1 off")


def test_pools_and_findings_are_read(cluster: FakeCluster, volume: str, shareable: str) -> None:
    marks = {view["name"]: view["shareable"] for view in cluster.pool()["volumes"]}
    assert (marks[volume], marks[shareable]) == (False, True)
    assert any(check["verdict"] == "ok" for check in cluster.n1.doctor()["checks"])


def test_novas_user_may_attach_and_a_stranger_may_not_even_look(cluster: FakeCluster, volume: str) -> None:
    path, whose = cluster.socket("n1"), instance()

    def attached() -> object:
        granted = attachments.attach(Client(path), disk(volume), whose)
        attachments.detach(Client(path), disk(volume), whose)
        return granted["access"]

    assert as_user(NOVA, attached) == "read-write"
    said = as_user(STRANGER, lambda: Client(path).status())
    assert str(said).startswith(f"Refusal: user id {STRANGER} may not ask")
    # Who may not ask is told so where Cinder refuses.
    properties = as_user(STRANGER, lambda: attachments.node_properties(path)["volward"]["why"])
    assert "openstack-uids" in str(properties)


def test_a_daemon_that_has_ended_is_said_to_be_gone() -> None:
    cluster = FakeCluster()
    path = cluster.socket("n1")
    cluster.close()
    with pytest.raises(NoDaemon):
        Client(path).status()


def test_a_caller_that_waits_for_nothing_is_told_that_it_took_too_long(
    cluster: FakeCluster, volume: str
) -> None:
    with pytest.raises((TimedOut, Refusal)):
        cluster.n1.attach(
            {
                "instance": str(uuid.uuid4()),
                "instance_name": "",
                "purpose": "hot-plug",
                "disks": [{"pool": "san", "volume": volume, "access": "read-write"}],
                "only_while_waiting": True,
            },
            patience=0.0001,
        )
