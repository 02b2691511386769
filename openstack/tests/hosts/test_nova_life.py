"""What becomes of a server's volume in nova's calls between its boot and its end: nova's libvirt driver, over
the real daemons with storage in memory. What nova-compute's manager does around them is said with them."""

import inspect
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import pytest

from tests.fake_daemon import FakeCluster
from tests.hosts.need import need

need("nova.test")

from nova import exception, objects  # noqa: E402
from nova.compute import power_state, task_states  # noqa: E402
from nova.compute import utils as compute_utils  # noqa: E402
from nova.network import model as network  # noqa: E402

from tests.hosts.nova_node import Node, Server, _case, _node  # noqa: E402
from tests.until import until  # noqa: E402

pytestmark = pytest.mark.hosts

# Fixtures, which pytest finds by being here.
__all__ = ["_case", "_node"]


@pytest.fixture(name="server")
def _server(node: Node, volume: str) -> Server:
    """One that runs on n1."""
    node.volume = volume
    made = Server(node)
    made.spawn()
    assert node.attached() == [made.instance.uuid]
    return made


@pytest.fixture(name="other")
def _other(server: Server, monkeypatch: pytest.MonkeyPatch) -> Node:
    """The same volume, on n2."""
    cluster = server.node.cluster
    monkeypatch.setenv("VOLWARD_SOCKET", cluster.socket("n2"))
    return Node(cluster, server.node.volume)


def fault(raised: Any) -> str:
    """What nova writes down for the person who asked."""
    return str(compute_utils.exception_to_dict(raised.value)["message"])


def test_power_off_gives_the_volume_up_and_power_on_attaches_it(server: Server) -> None:
    server.power_off()
    # nova leaves it connected; libvirt's hook gives it back.
    server.released()
    assert server.node.attached() == []
    server.power_on()
    assert server.state() == power_state.RUNNING
    assert server.node.attached() == [server.instance.uuid]
    # A hard reboot is the same call, of a guest that runs.
    server.power_on()
    assert server.node.attached() == [server.instance.uuid]
    server.destroy()
    assert server.node.attached() == []


def test_a_server_that_was_off_does_not_start_while_another_node_has_its_volume(
    server: Server, other: Node
) -> None:
    server.power_off()
    server.released()
    thief = other.instance()
    connection = other.connection()
    other.connect(connection, thief)
    with pytest.raises(exception.NovaException) as raised:
        server.power_on()
    assert fault(raised).startswith(f"volward: san/{other.volume} is attached")
    assert "n2" in fault(raised)
    other.disconnect(connection, thief)
    server.power_on()
    assert server.node.attached() == [server.instance.uuid]
    server.destroy()


class TestANodeThatBooted:
    """nova-compute starts its servers again (`resume_guests_state_on_host_boot`), after volwardd is ready."""

    @pytest.fixture(name="down")
    def _down(self, server: Server) -> Server:
        # The power failed: nova was not asked, and what was attached went with the boot.
        server.driver._host.get_guest(server.instance).poweroff()
        server.released()
        return server

    def resume(self, server: Server) -> None:
        resume = server.driver.resume_state_on_host_boot
        # Of versions that know shares.
        shares: dict[str, Any] = {}
        if "share_info" in inspect.signature(resume).parameters:
            shares["share_info"] = []
        resume(
            server.node.context,
            server.instance,
            network.NetworkInfo(),
            block_device_info=server.devices,
            **shares,
        )

    def test_its_servers_have_their_volumes_again(self, down: Server) -> None:
        self.resume(down)
        assert down.state() == power_state.RUNNING
        assert down.node.attached() == [down.instance.uuid]
        # Of one that runs nova asks nothing.
        self.resume(down)
        assert down.node.attached() == [down.instance.uuid]
        down.destroy()
        assert down.node.attached() == []

    def test_a_volume_that_another_node_has_by_now_is_refused(self, down: Server, other: Node) -> None:
        thief, connection = other.instance(), other.connection()
        other.connect(connection, thief)
        with pytest.raises(exception.NovaException) as raised:
            self.resume(down)
        assert fault(raised).startswith(f"volward: san/{other.volume} is attached")
        assert down.node.attached() == []
        other.disconnect(connection, thief)
        self.resume(down)
        assert down.node.attached() == [down.instance.uuid]
        down.destroy()


def test_suspend_gives_the_volume_up_and_resume_leaves_the_attach_to_libvirts_hook(server: Server) -> None:
    server.driver.suspend(server.node.context, server.instance)
    server.released()
    server.instance.task_state = task_states.RESUMING
    server.driver.resume(server.node.context, server.instance, network.NetworkInfo(), server.devices)
    # nova asks for nothing.
    assert server.node.attached() == []
    server.instance.task_state = None
    # And what it does afterwards finds what the hook has attached, or nothing.
    server.destroy()
    assert server.node.attached() == []


class Resize:
    """A server that goes from n1 to n2, cold."""

    def __init__(self, server: Server, other: Node) -> None:
        self.server = server
        self.source, self.other = server.node, other
        self.migration = objects.Migration(source_compute="n1", dest_compute="n2", migration_type="resize")
        self.disks = ""

    def holders(self) -> list[str]:
        views = self.source.cluster.n1.cluster()["attachments"]
        return [view["node"] for view in views if view["volume"] == self.source.volume]

    def leaves(self) -> None:
        """nova disconnects at the source, and the manager has Cinder's attachment replaced by a new one."""
        server = self.server
        server.instance.task_state = task_states.RESIZE_MIGRATING
        # As with shared folders: nova copies nothing by ssh.
        with mock.patch.object(self.source.driver, "_is_path_shared_with", return_value=True):
            self.disks = self.source.driver.migrate_disk_and_power_off(
                server.node.context,
                server.instance,
                "n2",
                server.instance.flavor,
                network.NetworkInfo(),
                server.devices,
            )

    def arrives(self) -> None:
        """The destination has asked Cinder for the connection."""
        server = self.server
        server.instance.task_state = task_states.RESIZE_FINISH
        server.instance.old_flavor = server.instance.new_flavor = server.instance.flavor
        server.connected_by(self.other)
        self.other.driver.finish_migration(
            server.node.context,
            self.migration,
            server.instance,
            self.disks,
            network.NetworkInfo(),
            server.instance.image_meta,
            False,
            {},
            block_device_info=server.devices,
        )
        server.instance.task_state = None


@pytest.fixture(name="resize")
def _resize(server: Server, other: Node) -> Resize:
    return Resize(server, other)


def test_a_resize_goes_to_the_other_node_and_is_confirmed(resize: Resize) -> None:
    resize.leaves()
    assert resize.holders() == []
    resize.arrives()
    assert resize.holders() == ["n2"]
    context, instance = resize.source.context, resize.server.instance
    resize.source.driver.confirm_migration(context, resize.migration, instance, network.NetworkInfo())
    assert resize.holders() == ["n2"]
    resize.server.destroy()
    assert resize.holders() == []


def test_a_resize_is_reverted_and_the_source_has_the_volume_again(resize: Resize) -> None:
    resize.leaves()
    resize.arrives()
    # At the destination, and then at the source.
    resize.server.destroy(destroy_disks=False)
    assert resize.holders() == []
    resize.server.connected_by(resize.source)
    resize.source.driver.finish_revert_migration(
        resize.source.context,
        resize.server.instance,
        network.NetworkInfo(),
        resize.migration,
        resize.server.devices,
    )
    assert resize.holders() == ["n1"]
    resize.server.destroy()
    assert resize.holders() == []


def test_a_resize_whose_source_has_not_let_go_is_refused_at_the_destination(resize: Resize) -> None:
    with mock.patch.object(resize.source.driver, "_disconnect_volume"):
        resize.leaves()
    with pytest.raises(exception.NovaException) as raised:
        resize.arrives()
    assert "held-elsewhere" in fault(raised)
    assert resize.holders() == ["n1"]
    resize.server.released()


def test_a_server_is_shelved_here_and_unshelved_there(server: Server, other: Node) -> None:
    server.instance.task_state = task_states.SHELVING_OFFLOADING
    server.power_off()
    server.destroy()
    assert server.node.attached() == []
    server.connected_by(other)
    server.instance.task_state = task_states.UNSHELVING
    server.spawn()
    assert (other.attached("n1"), other.attached("n2")) == ([], [server.instance.uuid])
    server.destroy()
    assert other.attached("n2") == []


class TestARebuild:
    """nova powers the server off, detaches each volume, destroys the guest, and begins anew."""

    @staticmethod
    def detached(server: Server) -> None:
        server.instance.task_state = task_states.REBUILDING
        server.power_off()
        server.driver.detach_volume(
            server.node.context, server.connection, server.instance, "/dev/vda", encryption=None
        )

    def test_detaches_and_attaches_again(self, server: Server) -> None:
        self.detached(server)
        assert server.node.attached() == []
        server.destroy()
        server.connected_by(server.node)
        server.instance.task_state = task_states.REBUILD_SPAWNING
        server.spawn()
        assert server.node.attached() == [server.instance.uuid]
        server.destroy()

    def test_finds_nothing_to_detach_where_libvirts_hook_came_first(self, server: Server) -> None:
        server.power_off()
        server.released()
        self.detached(server)
        server.destroy()

    def test_fails_with_the_sentence_where_the_daemon_is_down_and_works_afterwards(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(volume_client(server), "path", "/nonexistent")
        with pytest.raises(exception.NovaException) as raised:
            self.detached(server)
        assert "the Volward daemon is not running on this node" in fault(raised)
        assert server.node.attached() == [server.instance.uuid]
        monkeypatch.undo()
        # The daemon is back, and has what the hook has noted meanwhile; nova is asked again.
        server.released()
        self.detached(server)
        server.destroy()


def volume_client(server: Server) -> Any:
    """What the node's driver of our volumes asks with."""
    return server.driver._get_volume_driver(server.connection).connector._client


def test_without_a_daemon_a_delete_ends_and_the_rest_is_the_hooks(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume_client(server), "path", "/nonexistent")
    # A guest that stays is not to lose its volume unseen.
    with pytest.raises(exception.NovaException, match="not running on this node"):
        server.power_on()
    server.destroy()
    assert server.node.attached() == [server.instance.uuid]
    server.released()


def test_instances_of_one_volume_let_go_of_it_at_once(node: Node) -> None:
    servers = [node.instance() for _ in range(6)]
    connections = [{**node.connection(), "multiattach": True} for _ in servers]
    pairs = list(zip(connections, servers, strict=True))
    # nova itself would ask Cinder whether another instance of the node has it.
    node.driver._volume_api = None
    with ThreadPoolExecutor(len(pairs)) as pool:
        list(pool.map(lambda pair: node.connect(*pair), pairs))
        assert sorted(node.attached()) == sorted(one.uuid for one in servers)
        # Each twice, as the hook and nova do.
        list(pool.map(lambda pair: node.disconnect(*pair), pairs * 2))
    assert node.attached() == []


def test_one_reads_what_another_one_writes(node: Node) -> None:
    writer, reader = node.instance(), node.instance()
    writes = {**node.connection(), "multiattach": True}
    reads = {**node.connection(access="read-only"), "multiattach": True}
    node.connect(writes, writer)
    node.connect(reads, reader)
    assert ("<readonly/>" in node.xml(writes), "<readonly/>" in node.xml(reads)) == (False, True)
    node.driver._volume_api = None
    node.disconnect(reads, reader)
    assert node.attached() == [writer.uuid]
    node.disconnect(writes, writer)


@pytest.fixture(name="lost")
def _lost(case: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on n1, of a cluster of its own: n1 is about to be lost."""
    assert case is not None
    cluster = FakeCluster()
    try:
        cluster.happens("volume disk")
        monkeypatch.setenv("VOLWARD_SOCKET", cluster.socket("n1"))
        server = Server(Node(cluster, "disk"))
        server.spawn()
        monkeypatch.setenv("VOLWARD_SOCKET", cluster.socket("n2"))
        yield server
    finally:
        cluster.close()


def test_an_evacuation_waits_for_sanlocks_time_and_goes_on_then(lost: Server) -> None:
    """nova rebuilds it on another node, where it connects the volume; the old node says nothing any more."""
    cluster = lost.node.cluster
    lost.connected_by(Node(cluster, "disk"))
    lost.instance.task_state = task_states.REBUILD_SPAWNING
    # The node has stopped renewing, and may still write.
    cluster.happens("member n1 fail")
    said = ""

    def is_told() -> bool:
        nonlocal said
        with pytest.raises(exception.NovaException) as raised:
            lost.spawn()
        said = fault(raised)
        return "try again in" in said

    until(is_told)
    assert said.startswith("volward: san/disk is attached to this instance on node n1")
    assert re.search(r"node n1 has not renewed its lease for \d+ s", said)
    assert lost.node.attached("n2") == []
    # Its time is over.
    cluster.happens("member n1 dead")
    lost.spawn()
    assert lost.node.attached("n2") == [lost.instance.uuid]
