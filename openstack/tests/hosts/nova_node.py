"""A compute node with nova's libvirt driver in our version. nova's libvirt fixture stands in for libvirt."""

import uuid
from collections.abc import Iterator
from typing import Any

import fixtures
import pytest
from nova import context as nova_context
from nova import objects, test
from nova.compute import vm_states
from nova.network import model as network
from nova.tests import fixtures as nova_fixtures
from nova.tests.unit import fake_instance
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
    case.flags(instances_path=case.useFixture(fixtures.TempDir()).path)
    # Of what is not asked about here, and is in a database.
    case.stub_out("nova.objects.Instance.save", lambda *_, **__: None)
    for method in ("_build_device_metadata", "_register_undefined_instance_details"):
        case.stub_out(f"nova.virt.libvirt.driver.LibvirtDriver.{method}", lambda *_: None)
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

    def attached(self, node: str = "n1") -> list[str]:
        """The instances that have the volume on a node."""
        views = Client(self.cluster.socket(node)).attachments()
        return [view["instance"] for view in views if view["volume"] == self.volume]


class Mapping(dict[str, Any]):
    """A volume of an instance, as nova's drivers are told of it; nova would keep what they add."""

    def save(self) -> None:
        """Nowhere."""


class Server:
    """An instance with all that nova has on record of it, which boots from the volume of its node. Its driver
    is asked as nova's manager asks it, and the daemon as libvirt's hook does, for libvirt is none here."""

    def __init__(self, node: Node) -> None:
        self.node = node
        record = {"uuid": str(uuid.uuid4()), "display_name": "web", "image_ref": "", "host": "fake-mini"}
        loaded = ["system_metadata", "metadata", "numa_topology", "pci_requests", "pci_devices", "vcpu_model"]
        self.instance = fake_instance.fake_instance_obj(
            node.context,
            vm_state=vm_states.ACTIVE,
            root_device_name="/dev/vda",
            expected_attrs=[*loaded, "device_metadata", "trusted_certs"],
            **record,
        )
        self.instance.info_cache = objects.InstanceInfoCache(network_info=network.NetworkInfo())
        self.connected_by(node)

    @property
    def driver(self) -> Any:
        return self.node.driver

    def connected_by(self, node: Node) -> None:
        """Cinder has been asked for the connection anew, by the node that is to have it."""
        self.node = node
        self.connection = node.connection()
        self.mapping = Mapping(
            connection_info=self.connection,
            mount_device="/dev/vda",
            disk_bus="virtio",
            device_type="disk",
            boot_index=0,
            guest_format=None,
            delete_on_termination=False,
            volume_id=self.connection["serial"],
            attachment_id=str(uuid.uuid4()),
        )
        self.devices = {
            "root_device_name": "/dev/vda",
            "swap": None,
            "ephemerals": [],
            "image": [],
            "block_device_mapping": [self.mapping],
        }

    def spawn(self) -> None:
        """Its guest is defined and started."""
        self.driver.spawn(
            self.node.context,
            self.instance,
            self.instance.image_meta,
            [],
            None,
            {},
            network_info=network.NetworkInfo(),
            block_device_info=self.devices,
        )

    def power_off(self) -> None:
        self.driver.power_off(self.instance)

    def power_on(self) -> None:
        self.driver.power_on(self.node.context, self.instance, network.NetworkInfo(), self.devices)

    def destroy(self, destroy_disks: bool = True) -> None:
        self.driver.destroy(
            self.node.context, self.instance, network.NetworkInfo(), self.devices, destroy_disks=destroy_disks
        )

    def state(self) -> Any:
        """As libvirt has it."""
        return self.driver.get_info(self.instance).state

    def released(self, node: str = "n1") -> None:
        """By libvirt's hook: the guest has ended."""
        client = self.node.cluster.n1 if node == "n1" else self.node.cluster.n2
        client.detach({"instance": self.instance.uuid})


@pytest.fixture(name="node")
def _node(case: Any, cluster: FakeCluster, shareable: str, monkeypatch: pytest.MonkeyPatch) -> Node:
    assert case is not None
    monkeypatch.setenv("VOLWARD_SOCKET", cluster.socket("n1"))
    return Node(cluster, shareable)
