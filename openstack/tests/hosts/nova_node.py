"""A compute node with nova's libvirt driver in our version. nova's libvirt fixture stands in for libvirt."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from nova import context as nova_context
from nova import objects, test
from nova.compute import vm_states
from nova.tests import fixtures as nova_fixtures
from nova.virt import fake as fake_virt

from tests.fake_daemon import FakeCluster
from volward_openstack import nova_driver, register
from volward_openstack.client import Client

DISK_INFO = {"bus": "virtio", "dev": "vdb", "type": "disk"}


@pytest.fixture(name="case")
def _case() -> Iterator[Any]:
    """What nova's own tests begin with. A class that is seen here pytest would run itself, in another way."""

    class Case(test.NoDBTestCase):
        def runTest(self) -> None:  # noqa: N802
            """No test: its set-up is wanted."""

    case = Case("runTest")
    case.setUp()
    case.useFixture(nova_fixtures.LibvirtFixture())
    yield case
    case.doCleanups()


class Node:
    """A compute node with nova's libvirt driver in our version, and a volume."""

    def __init__(self, cluster: FakeCluster, volume: str) -> None:
        register.volume_driver()
        self.cluster = cluster
        self.volume = volume
        self.context = nova_context.get_admin_context()
        self.driver = nova_driver.LibvirtDriver(fake_virt.FakeVirtAPI(), False)

    def instance(self, **more: Any) -> Any:
        values = {
            "id": 1,
            "uuid": str(uuid.uuid4()),
            "display_name": "web",
            "project_id": "p",
            "user_id": "u",
            "host": "h",
            "vm_state": vm_states.ACTIVE,
            "task_state": None,
        }
        return objects.Instance(self.context, **values | more)

    def connection(self, **more: Any) -> dict[str, Any]:
        data = {"access_mode": "rw", "volward": {"pool": "san", "volume": self.volume} | more}
        return {"driver_volume_type": "volward", "serial": str(uuid.uuid4()), "data": data}

    def connect(self, connection: dict[str, Any], instance: Any) -> None:
        self.driver._connect_volume(self.context, connection, instance, encryption={})

    def disconnect(self, connection: dict[str, Any], instance: Any) -> None:
        self.driver._disconnect_volume(self.context, connection, instance, encryption={})

    def xml(self, connection: dict[str, Any]) -> str:
        volumes = self.driver._get_volume_driver(connection)
        return str(volumes.get_config(connection, DISK_INFO).to_xml())

    def attached(self) -> list[str]:
        """The instances that have the volume."""
        views = Client(self.cluster.socket("n1")).attachments()
        return [view["instance"] for view in views if view["volume"] == self.volume]


@pytest.fixture(name="node")
def _node(case: Any, cluster: FakeCluster, shareable: str, monkeypatch: pytest.MonkeyPatch) -> Node:
    assert case is not None
    monkeypatch.setenv("VOLWARD_SOCKET", cluster.socket("n1"))
    return Node(cluster, shareable)
