"""Live migration by nova's driver: both ends over storage in memory, and what libvirt's hook asks for between
them."""

import pytest

from tests.hosts.need import need

need("nova.test")

from nova import exception  # noqa: E402
from nova.compute import task_states  # noqa: E402

from tests.hosts.nova_node import Node, _case, _node  # noqa: E402
from volward_openstack import shapes  # noqa: E402

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
