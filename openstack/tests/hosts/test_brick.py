"""The connector in the real os-brick, over the real daemon with storage in memory."""

import inspect
import socket
import time
import uuid
from typing import Any
from unittest import mock

import pytest

from tests.fake_daemon import FakeCluster
from tests.hosts.need import need
from tests.test_operations import growing

need("os_brick")

from os_brick import exception, utils  # noqa: E402
from os_brick.initiator import connector as brick  # noqa: E402
from os_brick.initiator import initiator_connector  # noqa: E402
from os_brick.tests.initiator import test_connector  # noqa: E402

from volward_openstack import attachments, operations, register  # noqa: E402
from volward_openstack.connector import VolwardBrickError, VolwardConnector  # noqa: E402

pytestmark = pytest.mark.hosts


@pytest.fixture(autouse=True)
def _registered() -> None:
    register.connector()


@pytest.fixture(name="properties")
def _properties(cluster: FakeCluster, volume: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("VOLWARD_SOCKET", cluster.socket("n1"))
    instance = {"uuid": str(uuid.uuid4()), "name": "instance-1", "purpose": "boot", "hints": {}}
    return {"access_mode": "rw", "volward": {"pool": "san", "volume": volume, "instance": instance}}


class OsBricksOwnTests(test_connector.ConnectorTestCase):
    """What os-brick's tests of every connector begin with; its own fakes stand in for processes."""

    def setUp(self) -> None:
        super().setUp()
        register.connector()
        self.connector = VolwardConnector("", execute=self.fake_execute)

    def test_get_connector_properties(self) -> None:
        said = VolwardConnector.get_connector_properties("sudo", multipath=True, enforce_multipath=True)
        assert list(said) == ["volward"]

    def test_get_search_path(self) -> None:
        assert self.connector.get_search_path() == "/dev/volward"

    def test_no_process_is_started(self) -> None:
        with pytest.raises(exception.BrickException):
            self.connector.connect_volume(self.fake_connection())
        assert self.cmds == []


class OsBricksOwnPropertiesTests(test_connector.ConnectorUtilsTestCase):
    """Every connector is asked for the node's properties, ours beside the others."""

    def setUp(self) -> None:
        super().setUp()
        register.connector()
        # They compare all that is said with a list that has not ours.
        patched = mock.patch.object(VolwardConnector, "get_connector_properties", return_value={})
        patched.start()
        self.addCleanup(patched.stop)


def test_the_factory_builds_our_connector_on_every_architecture(cluster: FakeCluster) -> None:
    del cluster
    for arch in (None, "x86_64", "aarch64", "s390x", "ppc64", "ppc64le"):
        for protocol in ("volward", "VOLWARD"):
            built = brick.InitiatorConnector.factory(protocol, None, arch=arch, use_multipath=True)
            assert type(built) is VolwardConnector


def test_registering_again_changes_nothing() -> None:
    before = list(brick.unix_connector_list)
    register.connector()
    assert brick.unix_connector_list == before
    assert before.count(register.CONNECTOR) == 1


def test_every_method_takes_what_os_bricks_callers_give() -> None:
    for name in initiator_connector.InitiatorConnector.__abstractmethods__:
        theirs = inspect.signature(getattr(initiator_connector.InitiatorConnector, name))
        ours = inspect.signature(getattr(VolwardConnector, name))
        names = [key for key, one in theirs.parameters.items() if one.kind is one.POSITIONAL_OR_KEYWORD]
        assert [key for key in ours.parameters if key in names] == names, name


def test_the_node_is_in_the_properties_of_the_host(cluster: FakeCluster, monkeypatch: Any) -> None:
    monkeypatch.setattr(brick, "unix_connector_list", [register.CONNECTOR])
    monkeypatch.setenv("VOLWARD_SOCKET", cluster.socket("n2"))
    said = brick.get_connector_properties(None, "10.0.0.1", True, True, host="h")
    assert said["volward"] == {"api": 1, "node": "n2"}
    assert (said["ip"], said["host"]) == ("10.0.0.1", "h")
    monkeypatch.setenv("VOLWARD_SOCKET", "/nonexistent")
    begun = time.monotonic()
    said = brick.get_connector_properties(None, "10.0.0.1", True, True)
    assert time.monotonic() - begun < 0.5
    assert "not running on this node" in said["volward"]["why"]


def test_a_volume_is_connected_and_disconnected(cluster: FakeCluster, properties: dict[str, Any]) -> None:
    built = brick.InitiatorConnector.factory("VOLWARD", None)
    section = properties["volward"]
    info = built.connect_volume(properties)
    device = info["path"]
    assert device.endswith(f"/{section['instance']['uuid']}/san/{section['volume']}")
    assert (info["type"], info["access"]) == ("block", "read-write")
    assert built.get_volume_paths(properties) == [device]
    assert device in built.get_all_available_volumes()
    built.disconnect_volume(properties, info)
    built.disconnect_volume(properties, info)
    assert built.get_volume_paths(properties) == []
    assert device not in [view.get("device") for view in cluster.n1.attachments()]


def test_a_service_connects_without_an_instance(cluster: FakeCluster, properties: dict[str, Any]) -> None:
    del properties["volward"]["instance"]
    built = brick.InitiatorConnector.factory("VOLWARD", None)
    built.connect_volume(properties)
    (view,) = [one for one in cluster.n1.attachments() if one["volume"] == properties["volward"]["volume"]]
    assert uuid.UUID(view["instance"]).version == 5
    # Another process of the same host ends it.
    brick.InitiatorConnector.factory("VOLWARD", None).disconnect_volume(properties, None)
    assert built.get_volume_paths(properties) == []
    assert socket.gethostname()


def test_the_daemons_sentence_is_the_exceptions(cluster: FakeCluster, properties: dict[str, Any]) -> None:
    built = brick.InitiatorConnector.factory("VOLWARD", None)
    built.connect_volume(properties)
    other = {**properties["volward"]["instance"], "uuid": str(uuid.uuid4())}
    with pytest.raises(exception.BrickException) as raised:
        built.connect_volume({"volward": {**properties["volward"], "instance": other}})
    said = str(raised.value)
    assert said.startswith(f"volward: san/{properties['volward']['volume']} is attached")
    assert "volward explain" in said
    built.disconnect_volume(properties, None)
    cluster.happens("fail n1 activate")
    with pytest.raises(VolwardBrickError, match="a test's failure"):
        built.connect_volume(properties)


def test_an_encryptor_is_given_a_link_of_its_own(properties: dict[str, Any]) -> None:
    built = brick.InitiatorConnector.factory("VOLWARD", None)
    properties["encrypted"] = True
    made: list[str] = []
    with (
        mock.patch.object(utils.priv_rootwrap, "link_root", lambda _to, link, **_: made.append(link)),
        mock.patch.object(utils.priv_rootwrap, "unlink_root", lambda link, **_: made.remove(link)),
    ):
        info = built.connect_volume(properties)
        assert info["path"].startswith("/dev/disk/by-id/os-brick+")
        assert info["path"].endswith(f"+san+{properties['volward']['volume']}")
        assert made == [info["path"]]
        # The daemon is told of the volume, and the link goes with it.
        built.disconnect_volume({**properties, "device_path": info["path"]}, None)
        assert made == []
    assert built.get_volume_paths(properties) == []


def test_a_link_that_cannot_be_made_leaves_nothing_attached(properties: dict[str, Any]) -> None:
    built = brick.InitiatorConnector.factory("VOLWARD", None)
    properties["encrypted"] = True
    failing = mock.patch.object(utils.priv_rootwrap, "link_root", side_effect=OSError("no root"))
    with failing, pytest.raises(OSError, match="no root"):
        built.connect_volume(properties)
    assert built.get_volume_paths(properties) == []


def test_without_a_daemon_a_disconnect_fails_unless_errors_are_ignored(
    properties: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOLWARD_SOCKET", "/nonexistent")
    built = brick.InitiatorConnector.factory("VOLWARD", None)
    for more in ({}, {"force": True}, {"ignore_errors": True}):
        with pytest.raises(exception.BrickException, match="volward detach"):
            built.disconnect_volume(properties, None, **more)
    built.disconnect_volume(properties, None, force=True, ignore_errors=True)


def test_the_size_is_that_of_the_device(
    properties: dict[str, Any], cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = brick.InitiatorConnector.factory("VOLWARD", None)
    built.connect_volume(properties)
    assert built.extend_volume(properties) == 64 << 20
    volume = properties["volward"]["volume"]
    operations.done(cluster.n1, f"t:{uuid.uuid4()}", growing(cluster.n1, volume, 128 << 20))
    assert built.extend_volume(properties, 128 << 20) == 128 << 20
    monkeypatch.setattr(attachments, "OVERLAP", 0.1)
    with pytest.raises(exception.BrickException, match="134217728 bytes, and 268435456 were asked for"):
        built.extend_volume(properties, 256 << 20)
    built.disconnect_volume(properties, None)
    # It is as large as it is, and nobody here has it.
    assert built.extend_volume(properties, 256 << 20) == 256 << 20
