"""Live migration by nova's driver: both ends over storage in memory, and what libvirt's hook asks for between
them; and what the source's driver does before there is one."""

import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from tests.hosts.need import need

need("nova.test")

from nova import exception, objects  # noqa: E402
from nova.compute import task_states  # noqa: E402
from nova.compute import utils as compute_utils  # noqa: E402
from nova.virt.libvirt import driver as libvirt_driver  # noqa: E402

from tests.hosts.nova_node import Node, Server, _case, _node  # noqa: E402
from tests.until import until  # noqa: E402
from volward_openstack import nova_driver, shapes  # noqa: E402

pytestmark = pytest.mark.hosts

# Fixtures, which pytest finds by being here.
__all__ = ["_case", "_node"]


class Migration:
    """An instance with a volume on n1, which is to go to n2."""

    def __init__(self, source: Node, monkeypatch: pytest.MonkeyPatch) -> None:
        self.source = source
        self.cluster = source.cluster
        self.instance = source.instance()
        self.connection = source.connection()
        source.connect(self.connection, self.instance)
        monkeypatch.setenv("VOLWARD_SOCKET", self.cluster.socket("n2"))
        self.destination = Node(self.cluster, source.volume)
        self.instance.task_state = task_states.MIGRATING

    def holders(self) -> list[str]:
        views = self.cluster.n2.cluster()["attachments"]
        return sorted(view["node"] for view in views if view["volume"] == self.source.volume)

    def libvirts_hook(self) -> None:
        """What it asks for at the destination, once libvirt has begun."""
        wish: shapes.DiskRequest = {"pool": "san", "volume": self.source.volume, "access": "read-write"}
        self.cluster.n2.attach(
            {
                "instance": self.instance.uuid,
                "instance_name": self.instance.name,
                "purpose": "migration-in",
                "disks": [wish],
            }
        )


@pytest.fixture(name="migration")
def _migration(node: Node, volume: str, monkeypatch: pytest.MonkeyPatch) -> Migration:
    node.volume = volume
    return Migration(node, monkeypatch)


def test_an_instance_migrates_live_by_libvirts_hook_and_nova_gives_the_paths(migration: Migration) -> None:
    source, destination, instance = migration.source, migration.destination, migration.instance
    # Before libvirt has begun, nova connects at the destination: nothing is attached, and the path is known.
    arriving = destination.connection()
    destination.connect(arriving, instance)
    assert migration.holders() == ["n1"]
    assert arriving["data"]["device_path"].endswith(f"/{instance.uuid}/san/{source.volume}")
    assert f'<source dev="{arriving["data"]["device_path"]}"' in destination.xml(arriving)
    assert "readonly" not in destination.xml(arriving)
    # Then libvirt migrates it.
    migration.cluster.happens(f"migrating n1 {instance.uuid} on")
    migration.libvirts_hook()
    assert migration.holders() == ["n1", "n2"]
    # It has arrived: nova lets go of what it had at the source.
    source.disconnect(migration.connection, instance)
    migration.cluster.happens(f"migrating n1 {instance.uuid} off")
    assert migration.holders() == ["n2"]
    instance.task_state = None
    destination.disconnect(arriving, instance)
    assert migration.holders() == []


def test_a_live_migration_that_comes_to_nothing_leaves_the_volume_at_the_source(migration: Migration) -> None:
    arriving = migration.destination.connection()
    migration.destination.connect(arriving, migration.instance)
    # nova undoes what it has done at the destination.
    migration.destination.disconnect(arriving, migration.instance)
    assert migration.holders() == ["n1"]
    migration.source.disconnect(migration.connection, migration.instance)


def test_what_would_be_refused_to_libvirts_hook_is_refused_to_nova_before_anything_is_begun(
    migration: Migration,
) -> None:
    other = migration.destination.instance(task_state=task_states.MIGRATING)
    with pytest.raises(exception.NovaException, match="held-elsewhere"):
        migration.destination.connect(migration.destination.connection(), other)
    assert migration.holders() == ["n1"]
    migration.source.disconnect(migration.connection, migration.instance)


class Copied:
    """An instance on n1, whose volume is on a local copy."""

    def __init__(self, node: Node, mode: str, pace: int) -> None:
        self.node = node
        self.happens = node.cluster.happens
        server = Server(node)
        self.instance, self.connection = server.instance, server.connection
        self.happens(f"copies n1 {mode}")
        self.happens(f"copying n1 {pace}")
        node.connect(self.connection, self.instance)
        until(lambda: self.state() in ("writes-only", "complete") or pace == 0)
        self.happens("copying n1 0")

    def state(self) -> str | None:
        """Of the copy; None where there is none."""
        views = self.node.cluster.n1.hydrations()
        found = [view["state"] for view in views if view["volume"] == self.node.volume]
        return found[0] if found else None

    def can_leave(self) -> Any:
        """What nova-compute asks its driver at the source, first of all."""
        other = {"driver_volume_type": "iscsi", "data": {"target_lun": 1}}
        mapping = [{"connection_info": one} for one in (other, self.connection, None)]
        wanted = objects.LibvirtLiveMigrateData(filename="f", block_migration=False)
        of_nova = libvirt_driver.LibvirtDriver
        with (
            mock.patch.object(of_nova, "_check_shared_storage_test_file", return_value=True),
            mock.patch.object(of_nova, "_is_shared_block_storage", return_value=True),
        ):
            return self.node.driver.check_can_live_migrate_source(
                self.node.context, self.instance, wanted, {"block_device_mapping": mapping}
            )

    def refused(self) -> str:
        """What the person reads who asked for the migration."""
        with pytest.raises(exception.MigrationPreCheckError) as raised:
            self.can_leave()
        return str(compute_utils.exception_to_dict(raised.value)["message"])

    def end(self) -> None:
        self.happens("copies n1 none")
        self.happens("copying n1 1000000")
        self.node.disconnect(self.connection, self.instance)
        until(lambda: self.state() is None)
        self.happens("copying n1 0")


@pytest.fixture(name="copied")
def _copied(node: Node, volume: str) -> Iterator[Any]:
    made = []

    def make(mode: str, pace: int) -> Copied:
        node.volume = volume
        made.append(Copied(node, mode, pace))
        return made[-1]

    yield make
    for one in made:
        one.end()


def test_before_a_migration_the_sources_copy_comes_home(copied: Any) -> None:
    found = copied("background", 1_000_000)
    assert found.state() == "complete"
    found.happens("copying n1 16")
    assert found.can_leave().is_shared_block_storage is True
    assert found.state() is None
    # And where there is none, nothing is waited for.
    begun = time.monotonic()
    found.can_leave()
    assert time.monotonic() - begun < 10


def test_a_copy_that_takes_longer_than_novas_nodes_wait_for_each_other_is_said_and_comes_home(
    copied: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = copied("background", 1_000_000)
    # As an operator sets it.
    monkeypatch.setattr(nova_driver, "_answered_within", lambda: 8.0)
    begun = time.monotonic()
    said = found.refused()
    assert 5 < time.monotonic() - begun < 8
    assert said.startswith(f"Migration pre-check error: volward: the data of san/{found.node.volume} comes")
    assert said.endswith("it goes on by itself: migrate again then")
    found.happens("copying n1 1000000")
    until(lambda: found.state() is None)
    found.can_leave()


@pytest.mark.parametrize(
    ("mode", "pace", "why"),
    [("background", 0, "before all of it is there"), ("writes-only", 1, "takes what its guest writes")],
)
def test_a_copy_that_is_not_whole_is_refused_at_once(copied: Any, mode: str, pace: int, why: str) -> None:
    found = copied(mode, pace)
    begun = time.monotonic()
    said = found.refused()
    assert time.monotonic() - begun < 10
    assert f"san/{found.node.volume} cannot come home" in said
    assert why in said


def test_without_a_daemon_a_migration_is_refused_before_it_begins(
    copied: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = copied("background", 1_000_000)
    with monkeypatch.context() as patched:
        patched.setenv("VOLWARD_SOCKET", "/nonexistent")
        assert "not running on this node" in found.refused()
    assert found.state() == "complete"


def test_the_bound_is_novas_own_and_known_before_anything_was_sent() -> None:
    assert nova_driver._answered_within() == 60
    with mock.patch.object(nova_driver, "CONF", mock.Mock(rpc_response_timeout=90)):
        assert nova_driver._answered_within() == 90
