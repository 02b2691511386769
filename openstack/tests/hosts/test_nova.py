"""nova's own classes, with ours among them: its libvirt fixture stands in for libvirt, and volwardd over
storage in memory is asked."""

import importlib.util
import inspect
import sys
import uuid
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from tests.conftest import missing
from tests.hosts.need import SENTENCE, need, run
from tests.test_operations import growing

need("nova.test")

from nova import exception, objects, test  # noqa: E402
from nova.compute import power_state, task_states, vm_states  # noqa: E402
from nova.compute import utils as compute_utils  # noqa: E402
from nova.tests.fixtures import libvirt as fakelibvirt  # noqa: E402
from nova.virt import driver as virt_driver  # noqa: E402
from nova.virt.libvirt import driver as libvirt_driver  # noqa: E402
from nova.virt.libvirt.volume import volume as libvirt_volume  # noqa: E402

from tests.hosts.nova_node import Node, _case, _node  # noqa: E402
from volward_openstack import compute, nova_driver, operations, register  # noqa: E402
from volward_openstack.client import Client  # noqa: E402

pytestmark = pytest.mark.hosts

# Fixtures, which pytest finds by being here.
__all__ = ["_case", "_node"]


@pytest.fixture(name="unregistered")
def _unregistered(case: Any) -> Iterator[None]:
    assert case is not None

    def forget() -> None:
        sys.modules.pop(compute.MODULE, None)
        libvirt_driver.VOLUME_DRIVERS.pop("volward", None)

    forget()
    yield
    forget()


@pytest.mark.usefixtures("unregistered")
class TestTheWaysIn:
    def test_the_file_below_nova(self) -> None:
        if importlib.util.find_spec(compute.MODULE) is None:
            missing(SENTENCE.format(compute.MODULE))
        loaded = virt_driver.load_compute_driver(None, "volward.LibvirtDriver")
        assert type(loaded) is nova_driver.LibvirtDriver
        assert libvirt_driver.VOLUME_DRIVERS["volward"] == register.VOLUME_DRIVER
        assert str(sys.modules[compute.MODULE].__file__).endswith("nova/virt/volward/__init__.py")

    def test_the_program(self) -> None:
        compute.provide()
        loaded = virt_driver.load_compute_driver(None, "volward.LibvirtDriver")
        assert type(loaded) is nova_driver.LibvirtDriver
        assert libvirt_driver.VOLUME_DRIVERS["volward"] == register.VOLUME_DRIVER


def test_the_program_is_nova_compute_with_our_driver() -> None:
    """In a process of its own: nova decides there how threads work, before anything else is imported."""
    script = """
        import sys
        from volward_openstack import compute
        import nova.cmd.compute
        nova.cmd.compute.main = lambda: print("nova-compute with", sys.modules[compute.MODULE].__name__)
        compute.main()
    """
    assert run(script) == "nova-compute with volward_openstack.nova_driver"


def signatures(base: type) -> None:
    """nova's own check that every subclass's methods take what nova gives them. Types, which nova's methods
    have not, are not compared."""

    class Check(test.SubclassSignatureTestCase):
        def _get_base_class(self) -> type:
            return base

    def untyped(function: Any) -> Any:
        return getfullargspec(function)._replace(annotations={})

    getfullargspec = inspect.getfullargspec
    check = Check("test_signatures")
    check.setUp()
    try:
        # The check of nova 26 looks for what a class has of Python 2, and finds nothing.
        with (
            mock.patch.object(inspect, "getfullargspec", untyped),
            mock.patch.object(inspect, "ismethod", inspect.isfunction),
        ):
            check.test_signatures()
    finally:
        check.doCleanups()


def test_our_methods_take_what_nova_gives() -> None:
    assert issubclass(nova_driver.LibvirtVolwardVolumeDriver, libvirt_volume.LibvirtBaseVolumeDriver)
    signatures(libvirt_volume.LibvirtBaseVolumeDriver)
    signatures(libvirt_driver.LibvirtDriver)


def test_a_signature_that_differs_is_found() -> None:
    class Base:
        def connect(self, one: int) -> None:
            raise NotImplementedError

    class Other(Base):
        def connect(self) -> None:  # type: ignore[override]
            raise NotImplementedError

    assert issubclass(Other, Base)
    with pytest.raises(Exception, match="connect"):
        signatures(Base)


def test_a_volume_is_connected_configured_and_disconnected(node: Node) -> None:
    connection, instance = node.connection(), node.instance()
    node.connect(connection, instance)
    path = connection["data"]["device_path"]
    assert path.endswith(f"/{instance.uuid}/san/{node.volume}")
    xml = node.xml(connection)
    assert f'<source dev="{path}"/>' in xml
    assert 'io="native"' in xml
    assert "<readonly/>" not in xml
    # The instance is told to the daemon, and not kept in nova's database.
    assert "instance" not in connection["data"]["volward"]
    node.disconnect(connection, instance)
    assert node.attached() == []
    node.disconnect(connection, instance)


def test_what_is_granted_read_only_is_read_only_for_libvirt(node: Node) -> None:
    connection, instance = node.connection(access="read-only"), node.instance()
    node.connect(connection, instance)
    assert connection["data"]["volward"]["granted"] == "read-only"
    assert "<readonly/>" in node.xml(connection)
    node.disconnect(connection, instance)


def test_an_encrypted_volume_has_its_own_path_where_qemu_decrypts_and_the_encryptors_elsewhere(
    node: Node,
) -> None:
    connection, instance = node.connection(), node.instance()
    connection["data"]["encrypted"] = True
    with mock.patch("os_brick.privileged.rootwrap.link_root"):
        node.connect(connection, instance)
    link = connection["data"]["device_path"]
    assert link.startswith("/dev/disk/by-id/os-brick+")
    device = f"/{instance.uuid}/san/{node.volume}"
    assert f'<source dev="{link}"/>' in node.xml(connection)
    secret = mock.Mock(UUIDString=lambda: str(uuid.uuid4()))
    with mock.patch.object(node.driver._host, "find_secret", return_value=secret):
        xml = node.xml(connection)
    assert f'{device}"/>' in xml
    assert "<encryption" in xml
    with mock.patch("os_brick.privileged.rootwrap.unlink_root") as unlinked:
        node.disconnect(connection, instance)
    unlinked.assert_called_once()
    assert node.attached() == []


def test_a_guest_is_given_the_disk_and_if_it_is_not_the_volume_is_let_go(node: Node) -> None:
    connection, guest = node.connection(), mock.MagicMock()
    instance = node.instance(system_metadata={}, image_ref="", flavor=objects.Flavor(extra_specs={}))
    node.driver._host.get_guest = mock.Mock(return_value=guest)
    attach = (node.context, connection, instance, "/dev/vdb", "virtio")
    with (
        mock.patch.object(node.driver, "_build_device_metadata", return_value=None),
        mock.patch.object(objects.Instance, "save"),
    ):
        node.driver.attach_volume(*attach, encryption={})
        conf = guest.attach_device.call_args.args[0]
        assert conf.source_path == connection["data"]["device_path"]
        assert node.attached() == [instance.uuid]
        guest.attach_device.side_effect = fakelibvirt.libvirtError("qemu says no")
        with pytest.raises(fakelibvirt.libvirtError):
            node.driver.attach_volume(*attach, encryption={})
    assert node.attached() == []


def test_two_instances_of_one_volume_are_both_disconnected(node: Node) -> None:
    pairs = [({**node.connection(), "multiattach": True}, node.instance()) for _ in range(2)]
    for connection, instance in pairs:
        node.connect(connection, instance)
    assert set(node.attached()) == {instance.uuid for _, instance in pairs}
    assert "<shareable/>" in node.xml(pairs[0][0])
    # nova itself would ask Cinder and the database here, and leave the first one connected.
    node.driver._volume_api = None
    for connection, instance in pairs:
        node.disconnect(connection, instance)
    assert node.attached() == []


def test_other_drivers_volumes_are_left_to_nova(node: Node) -> None:
    other = libvirt_volume.LibvirtVolumeDriver(node.driver._host)
    theirs = mock.patch.object(libvirt_driver.LibvirtDriver, "_should_disconnect_target", return_value=False)
    with theirs as asked:
        said = node.driver._should_disconnect_target(node.context, node.instance(), True, other, "v")
    assert said is False
    asked.assert_called_once()


def test_the_daemons_sentence_is_the_instances_fault(node: Node) -> None:
    holder = (node.connection(), node.instance())
    node.connect(*holder)
    with pytest.raises(exception.NovaException) as raised:
        node.connect(node.connection(), node.instance())
    shown = compute_utils.exception_to_dict(raised.value)["message"]
    assert shown.startswith(f"volward: san/{node.volume} is attached")
    node.disconnect(*holder)


def test_without_a_daemon_nothing_is_connected_and_nothing_is_called_disconnected(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOLWARD_SOCKET", "/nonexistent")
    for call in (node.connect, node.disconnect):
        with pytest.raises(exception.NovaException, match="not running on this node"):
            call(node.connection(), node.instance())


def test_what_was_grown_under_a_guest_is_told_to_the_guest(node: Node) -> None:
    connection, instance = node.connection(), node.instance()
    node.connect(connection, instance)
    client = node.cluster.n1
    operations.done(client, f"t:{uuid.uuid4()}", growing(client, node.volume, 128 << 20))
    guest = mock.Mock()
    guest.get_power_state.return_value = power_state.RUNNING
    with (
        mock.patch.object(node.driver._host, "get_guest", return_value=guest),
        mock.patch.object(libvirt_driver.encryptors, "get_encryption_metadata", return_value={}),
    ):
        node.driver.extend_volume(node.context, connection, instance, 128 << 20)
    # libvirt finds the disk by its path.
    guest.get_block_device.assert_called_once_with(connection["data"]["device_path"])
    guest.get_block_device.return_value.resize.assert_called_once_with(128 << 20)
    node.disconnect(connection, instance)


def test_connection_information_of_another_driver_is_named(node: Node) -> None:
    other = {"driver_volume_type": "volward", "data": {"device_path": "/dev/sdb"}}
    with pytest.raises(exception.NovaException, match="of another driver"):
        node.connect(other, node.instance())


def test_the_purpose_follows_novas_task(node: Node) -> None:
    for task, vm_state, purpose in [
        (None, vm_states.ACTIVE, "hot-plug"),
        (None, vm_states.PAUSED, "hot-plug"),
        (None, vm_states.STOPPED, "boot"),
        (task_states.SPAWNING, vm_states.BUILDING, "boot"),
        (task_states.POWERING_ON, vm_states.STOPPED, "boot"),
        (task_states.RESIZE_FINISH, vm_states.ACTIVE, "boot"),
        (task_states.MIGRATING, vm_states.ACTIVE, "migration-in"),
    ]:
        instance = node.instance(task_state=task, vm_state=vm_state)
        assert nova_driver._purpose(instance) == purpose, (task, vm_state)


def test_the_daemon_is_told_whose_it_is(node: Node) -> None:
    attach = mock.patch.object(Client, "attach", side_effect=ZeroDivisionError)
    connection = node.connection()
    with attach as asked, pytest.raises(ZeroDivisionError):
        node.connect(connection, node.instance())
    (request,) = asked.call_args.args
    # As libvirt and its hook call it.
    assert request["instance_name"] == "instance-00000001"
    assert dict(request["hints"]) == {
        "display-name": "web",
        "project-id": "p",
        "user-id": "u",
        "volume-id": connection["serial"],
    }
