"""Cinder's driver: Cinder's own check of drivers, and the real Cinder in a process of its own, over its REST
API. What it answers is given to nova's driver, as nova does."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest

from tests.conftest import missing
from tests.fake_daemon import FakeCluster, volward
from tests.hosts.need import need, run

need("cinder")

from os_brick import exception  # noqa: E402

from tests.hosts.cinder_api import Cinder, Compute, running  # noqa: E402
from tests.until import until  # noqa: E402
from volward_openstack import attachments  # noqa: E402
from volward_openstack.attachments import Disk, Owner  # noqa: E402

pytestmark = pytest.mark.hosts


@pytest.fixture(scope="module", name="cinder")
def _cinder(cluster: FakeCluster) -> Iterator[Cinder]:
    with running({"VOLWARD_SOCKET": cluster.socket("n1")}) as cinder:
        yield cinder


def test_cinders_own_check_of_drivers_finds_ours_complete() -> None:
    """In a process of its own, as Cinder's and nova's options do not go together in one."""
    script = """
        from cinder import objects
        objects.register_all()
        from volward_openstack import cinder_driver
        from cinder.interface import util, volume_driver, volume_manageable_driver
        (ours,) = [one for one in util.get_volume_drivers() if "volward" in one.class_fqn]
        print(issubclass(ours.cls, volume_driver.VolumeDriverCore))
        print(issubclass(ours.cls, volume_manageable_driver.VolumeListManageableDriver))
    """
    assert run(script) == "True\nTrue"


def test_a_volume_is_managed_attached_on_a_node_and_given_back(
    cinder: Cinder, cluster: FakeCluster, volume: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    managed = cinder.manage(volume)
    assert (managed["status"], managed["size"]) == ("available", 1)
    compute = Compute(cinder, cluster.socket("n2"), monkeypatch)
    information = compute.attach(managed["id"])
    assert information["driver_volume_type"] == "volward"
    assert information["volward"] == {"pool": "san", "volume": volume, "access": "read-write"}
    assert cinder.volume(managed["id"])["status"] == "in-use"
    # Cinder lists what may be managed; neither this one nor what is attached.
    status, listed = cinder.ask("GET", "/manageable_volumes/detail?host=h%40volward%23san")
    assert status == 200, listed
    (mine,) = [one for one in listed["manageable-volumes"] if one["reference"]["source-name"] == volume]
    assert (mine["cinder_id"], mine["safe_to_manage"]) == (managed["id"], False)
    compute.detach()
    assert cinder.volume(managed["id"])["status"] == "available"
    assert [view for view in cluster.n2.attachments() if view["volume"] == volume] == []
    assert cinder.ask("POST", f"/volumes/{managed['id']}/action", {"os-unmanage": None})[0] == 202
    until(lambda: cinder.ask("GET", f"/volumes/{managed['id']}")[0] == 404)
    assert volume in lvs(cluster)


@pytest.mark.parametrize(
    ("theirs", "sentence"),
    [
        (None, "volward-openstack is not installed on that host"),
        ({"api": 2, "node": "n9"}, "speaks version 2, not 1"),
        ({"api": 1, "node": None, "why": "the Volward daemon is not running on this node"}, "is not running"),
    ],
)
def test_a_host_that_cannot_attach_is_refused_with_a_sentence_by_the_api(
    cinder: Cinder, volume: str, theirs: Any, sentence: str
) -> None:
    managed = cinder.manage(volume)
    connector = {"host": "h", "platform": "x86_64", "os_type": "linux", "multipath": False}
    wish = {"volume_uuid": managed["id"], "instance_uuid": str(uuid.uuid4())}
    _, created = cinder.ask("POST", "/attachments", {"attachment": wish})
    more = {} if theirs is None else {"volward": theirs}
    body = {"attachment": {"connector": connector | more}}
    status, answer = cinder.ask("PUT", f"/attachments/{created['attachment']['id']}", body)
    # Debian 12's says it as if it were Cinder's own fault.
    assert status == (500 if version("cinder").startswith("21.") else 400), answer
    assert sentence in json.dumps(answer)


def test_a_volume_that_does_not_exist_is_not_managed(cinder: Cinder) -> None:
    assert cinder.manage("no-such-volume")["status"] == "error"


def lvs(cluster: FakeCluster, pool: str = "san") -> dict[str, dict[str, Any]]:
    """What the pool has, by name."""
    return {view["name"]: dict(view) for view in cluster.pool(pool, "n2")["volumes"]}


def test_a_volume_is_copied_and_kept_as_a_snapshot_which_outlives_it(
    cinder: Cinder, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cinder.create(name="web")
    kept = cinder.snapshot(made["id"])
    assert kept["status"] == "available"
    assert lvs(cluster)[f"snap-{kept['id']}"]["size"] == 1 << 30
    clone = cinder.create(source_volid=made["id"], size=2)
    assert (clone["status"], lvs(cluster)[f"volume-{clone['id']}"]["size"]) == ("available", 2 << 30)
    # Its instance goes on writing, on another node than Cinder's.
    compute = Compute(cinder, cluster.socket("n2"), monkeypatch)
    compute.attach(made["id"])
    running = cinder.snapshot(made["id"], force=True)
    assert running["status"] == "available"
    assert lvs(cluster)[f"snap-{running['id']}"]["size"] == 1 << 30
    assert cinder.volume(made["id"])["status"] == "in-use"
    compute.detach()
    cinder.delete_snapshot(running["id"])
    restored = cinder.create(snapshot_id=kept["id"])
    assert restored["status"] == "available"
    for volume in (restored, clone):
        cinder.delete(volume["id"])
    cinder.delete_snapshot(kept["id"])
    cinder.delete(made["id"])
    ours = [made["id"], kept["id"], clone["id"], running["id"], restored["id"]]
    assert [name for name in lvs(cluster) if any(one in name for one in ours)] == []


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_groups_volumes_are_kept_as_of_one_moment(
    cinder: Cinder, cluster: FakeCluster, node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [cinder.create(name=name)["id"] for name in ("data", "log")]
    group = cinder.group(made)
    # What nobody has is kept one after the other.
    idle = cinder.group_snapshot(group)
    assert idle["status"] == "available"
    computes = [Compute(cinder, cluster.socket(node), monkeypatch) for _ in made]
    for compute, volume in zip(computes, made, strict=True):
        compute.attach(volume)
    kept = cinder.group_snapshot(group)
    assert kept["status"] == "available"
    operations = [cluster.n1.operation(f"cinder:group:{kept['id']}:{number}") for number in (1, 2)]
    assert [one["state"] for one in operations] == ["done", "done"]
    assert [one.get("group") for one in operations] == [f"cinder:group:{kept['id']}"] * 2
    snapshots = cinder.ask("GET", "/snapshots/detail")[1]["snapshots"]
    mine = [one["id"] for one in snapshots if one["group_snapshot_id"] == kept["id"]]
    assert sorted(f"snap-{one}" for one in mine) == sorted(one["volume"] for one in operations)
    # Of those that some have and some have not there is no moment: nothing is made.
    computes[0].detach()
    before = set(lvs(cluster))
    assert cinder.group_snapshot(group)["status"] == "error"
    assert "ask for it by itself" in cinder.log()
    assert set(lvs(cluster)) == before
    computes[1].detach()
    for one in (idle, kept):
        assert cinder.ask("DELETE", f"/group_snapshots/{one['id']}")[0] == 202
        until(lambda one=one: cinder.ask("GET", f"/group_snapshots/{one['id']}")[0] == 404)  # type: ignore[misc]
    assert not [name for name in lvs(cluster) if name.startswith("snap-")]


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_volume_is_made_attached_grown_detached_and_deleted(
    cinder: Cinder, cluster: FakeCluster, node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cinder.create(name="web")
    assert (made["status"], made["size"]) == ("available", 1)
    name = f"volume-{made['id']}"
    assert (lvs(cluster)[name]["size"], lvs(cluster)[name]["shareable"]) == (1 << 30, False)
    compute = Compute(cinder, cluster.socket(node), monkeypatch)
    assert compute.attach(made["id"])["volward"]["volume"] == name
    assert cinder.volume(made["id"])["status"] == "in-use"
    grown = cinder.act(made["id"], **{"os-extend": {"new_size": 2}})
    # By cinder-volume's own daemon, or, by its order, by that of the instance's node.
    assert (grown["status"], grown["size"]) == ("in-use", 2)
    assert lvs(cluster)[name]["size"] == 2 << 30
    compute.detach()
    assert cinder.volume(made["id"])["status"] == "available"
    free = cluster.pool()["free"]
    grown = cinder.act(made["id"], **{"os-extend": {"new_size": 3}})
    assert (grown["status"], grown["size"]) == ("available", 3)
    assert lvs(cluster)[name]["size"] == 3 << 30
    cinder.delete(made["id"])
    assert name not in lvs(cluster)
    assert cluster.pool()["free"] > free


ARCHIVE = "h@volward#archive"


def test_a_volume_moves_to_another_pool_by_the_daemon_and_back(
    cinder: Cinder, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cinder.create(name="web")
    name = f"volume-{made['id']}"
    for host, pool, other in ((ARCHIVE, "archive", "san"), ("h@volward#san", "san", "archive")) * 2:
        lv = lvs(cluster, other)[name]["id"].rpartition(":")[2]
        moved = cinder.migrate(made["id"], host)
        assert (moved["status"], moved["migration_status"], moved["os-vol-host-attr:host"]) == (
            "available",
            "success",
            host,
        )
        assert name in lvs(cluster, pool)
        assert name not in lvs(cluster, other)
        compute = Compute(cinder, cluster.socket("n2"), monkeypatch)
        assert compute.attach(made["id"])["volward"]["pool"] == pool
        compute.detach()
        assert cluster.n1.operation(f"cinder:move:{made['id']}:{lv}")["state"] == "done"
    cinder.delete(made["id"])
    assert name not in lvs(cluster) | lvs(cluster, "archive")


def test_a_move_that_fails_leaves_the_volume_where_it_is(cinder: Cinder, cluster: FakeCluster) -> None:
    made = cinder.create()
    for _ in range(3):
        cluster.happens("fail n1 copy-range")
    moved = cinder.migrate(made["id"], ARCHIVE)
    assert (moved["status"], moved["migration_status"]) == ("available", "error")
    assert "a test's failure (storage); more: volward op show cinder:move:" in cinder.log()
    assert f"volume-{made['id']}" in lvs(cluster)
    assert f"volume-{made['id']}" not in lvs(cluster, "archive")
    # And again.
    assert cinder.migrate(made["id"], ARCHIVE)["migration_status"] == "success"
    cinder.delete(made["id"])


def test_more_than_the_pool_has_is_refused_by_the_scheduler(cinder: Cinder) -> None:
    made = cinder.create(size=100)
    assert made["status"] == "error"
    messages = cinder.ask("GET", f"/messages?resource_uuid={made['id']}")[1]["messages"]
    assert any("No storage" in one["user_message"] or "schedule" in one["user_message"] for one in messages)
    # And it is no trouble to be rid of.
    cinder.delete(made["id"])


def test_a_volume_that_storage_fails_to_make_leaves_nothing(cinder: Cinder, cluster: FakeCluster) -> None:
    # The daemon tries so often before it takes it back.
    for _ in range(3):
        cluster.happens("fail n1 zero-range")
    made = cinder.create()
    assert made["status"] == "error"
    assert f"a test's failure (storage); more: volward op show cinder:create:{made['id']}" in cinder.log()
    assert f"volume-{made['id']}" not in lvs(cluster)
    cinder.delete(made["id"])


def test_what_somebody_has_that_cinder_does_not_know_of_is_not_deleted(
    cinder: Cinder, cluster: FakeCluster
) -> None:
    made = cinder.create()
    name = f"volume-{made['id']}"
    whose = Owner(str(uuid.uuid4()), "by hand", "boot")
    wanted = Disk("san", name, "read-write", False)
    attachments.attach(cluster.n2, wanted, whose)
    assert cinder.ask("DELETE", f"/volumes/{made['id']}")[0] == 202
    assert cinder.volume(made["id"])["status"] == "available"
    assert f"attached to instance {whose.uuid} on node n2" in cinder.log()
    assert name in lvs(cluster)
    attachments.detach(cluster.n2, wanted, whose)
    cinder.delete(made["id"])
    assert name not in lvs(cluster)


def test_each_attachment_has_a_mode_of_its_own(
    cinder: Cinder, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = {"name": "shared", "extra_specs": {"multiattach": "<is> True"}}
    assert cinder.ask("POST", "/types", {"volume_type": wish})[0] == 200
    made = cinder.create(volume_type="shared")
    modes = [("ro", "read-only"), ("rw", "read-write"), (None, "read-write"), ("ro", "read-only")]
    computes = [Compute(cinder, cluster.socket("n2"), monkeypatch) for _ in modes]
    for compute, (mode, access) in zip(computes, modes, strict=True):
        information = compute.attach(made["id"], **({"mode": mode} if mode else {}))
        # What the volume's last one was is said of all: this is what nova and os-brick are told besides.
        assert (information["volward"]["access"], compute.access) == (access, access), information
    for compute in computes:
        compute.detach()
    cinder.delete(made["id"])


def test_a_volume_that_is_marked_as_read_only_is_so_for_all_until_it_is_not(
    cinder: Cinder, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cinder.create()
    modes: list[dict[str, str]] = [{}, {"mode": "rw"}]
    for is_marked, access in ((True, "read-only"), (False, "read-write")):
        cinder.act(made["id"], **{"os-update_readonly_flag": {"readonly": is_marked}})
        for mode in modes:
            compute = Compute(cinder, cluster.socket("n1"), monkeypatch)
            compute.attach(made["id"], **mode)
            assert compute.access == access
            compute.detach()
    cinder.delete(made["id"])


@pytest.mark.parametrize("says_from_where", [True, False])
def test_a_forced_detach_changes_cinders_list_and_takes_nothing_from_a_node(
    cinder: Cinder, cluster: FakeCluster, says_from_where: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cinder.create()
    name = f"volume-{made['id']}"
    lost = Compute(cinder, cluster.socket("n2"), monkeypatch)
    lost.attach(made["id"])
    forced: dict[str, Any] = {"attachment_id": lost.attachment.rpartition("/")[2]}
    if says_from_where:
        forced["connector"] = {"host": "h", "volward": {"api": 1, "node": "n2"}}
    assert cinder.act(made["id"], **{"os-force_detach": forced})["status"] == "available"
    # Cinder gives it to another one, and the daemon does not.
    other = Compute(cinder, cluster.socket("n1"), monkeypatch)
    with pytest.raises(exception.BrickException, match=f"san/{name} is attached exclusive on node n2"):
        other.attach(made["id"])
    assert cinder.ask("DELETE", other.attachment)[0] == 200
    # Nor is it deleted.
    assert cinder.ask("DELETE", f"/volumes/{made['id']}")[0] == 202
    assert cinder.volume(made["id"])["status"] == "available"
    # The way out is the node's own.
    lost.built.disconnect_volume(lost.data, None)
    other.attach(made["id"])
    other.detach()
    cinder.delete(made["id"])


def test_a_type_says_whether_several_instances_may_have_a_volume(
    cinder: Cinder, cluster: FakeCluster
) -> None:
    several = {"name": "several", "extra_specs": {"multiattach": "<is> True"}}
    for wish in ({"name": "one"}, several):
        assert cinder.ask("POST", "/types", {"volume_type": wish})[0] == 200
    made = cinder.create(volume_type="several")
    assert (made["status"], made["multiattach"]) == ("available", True)
    name = f"volume-{made['id']}"
    assert lvs(cluster)[name]["shareable"] is True
    for wanted, shareable in (("one", False), ("several", True)):
        retyped = cinder.act(made["id"], **{"os-retype": {"new_type": wanted, "migration_policy": "never"}})
        assert (retyped["volume_type"], retyped["multiattach"]) == (wanted, shareable)
        assert lvs(cluster)[name]["shareable"] is shareable
    cinder.delete(made["id"])


def test_the_audit_names_what_cinder_and_the_nodes_do_not_both_have(
    cinder: Cinder, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not volward().is_file():
        missing(f"there is no {volward()}: cargo xtask test openstack builds it")
    made = cinder.create()

    def ghosts() -> list[tuple[str, str | None, str | None]]:
        lists = [cinder.ask("GET", f"/{name}/detail?all_tenants=1")[1] for name in ("volumes", "attachments")]
        done = subprocess.run(
            [volward(), "--socket", cluster.socket("n1"), "--json", "audit", "openstack"],
            input="".join(json.dumps(one) for one in lists),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode in (0, 13), done.stderr
        said = json.loads(done.stdout)
        assert (done.returncode == 13) == bool(said["ghosts"])
        mine = [one for one in said["ghosts"] if one["cinder"] == made["id"]]
        return [(one["side"], one["instance"], one["node"]) for one in mine]

    compute = Compute(cinder, cluster.socket("n2"), monkeypatch)
    compute.attach(made["id"])
    instance = compute.data["volward"]["instance"]["uuid"]
    assert ghosts() == []
    # The node lets go, and Cinder is not told.
    compute.built.disconnect_volume(compute.data, None)
    assert ghosts() == [("cinder", instance, None)]
    # Cinder is told, and the node has it again.
    compute.built.connect_volume(compute.data)
    assert cinder.ask("DELETE", compute.attachment)[0] == 200
    assert ghosts() == [("volward", instance, "n2")]
    compute.built.disconnect_volume(compute.data, None)
    assert ghosts() == []
    cinder.delete(made["id"])
    assert ghosts() == []


def test_whoever_asks_again_finds_what_was_done(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cinder-volume ended before it could write down what came of it."""
    monkeypatch.setenv("VOLWARD_SOCKET", cluster.socket("n1"))
    script = """
        import sys
        from types import SimpleNamespace as Fake
        from cinder.volume import configuration
        from volward_openstack.cinder_driver import VolwardDriver
        driver = VolwardDriver(configuration=configuration.Configuration(None), host="h@volward")
        driver.do_setup(None)
        named = sys.argv[1]
        volume = Fake(
            id=named,
            name=f"volume-{named}",
            host="h@volward#san",
            size=1,
            multiattach=False,
            provider_id=None,
            project_id="shop",
        )
        seen, ask = [], driver._client.volume_create
        driver._client.volume_create = lambda wish: seen.append(wish) or ask(wish)
        made = driver.create_volume(volume)
        # Policies are told whose it is.
        assert seen[0]["hints"] == [("project-id", "shop")]
        assert driver.create_volume(volume) == made
        known = Fake(**vars(volume) | made)
        driver.extend_volume(known, 2)
        driver.extend_volume(known, 2)
        # Cinder did not learn its UUID, and asks twice.
        driver.delete_volume(volume)
        driver.delete_volume(volume)
        driver.delete_volume(known)
        print("done")
    """
    named = str(uuid.uuid4())
    assert run(script, named) == "done"
    assert f"volume-{named}" not in lvs(cluster)
    known = {
        view["id"]
        for view in (cluster.n1.operation(f"cinder:{what}:{named}") for what in ("create", "delete"))
    }
    assert known == {f"cinder:create:{named}", f"cinder:delete:{named}"}


def test_what_the_daemon_cannot_move_is_left_to_cinder(
    cluster: FakeCluster, volume: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another cluster's pool of the same name; what an instance has; one that was moved elsewhere before."""
    monkeypatch.setenv("VOLWARD_SOCKET", cluster.socket("n1"))
    script = """
        import sys
        from types import SimpleNamespace as Fake
        from cinder import exception
        from cinder.volume import configuration
        from volward_openstack.cinder_driver import VolwardDriver
        driver = VolwardDriver(configuration=configuration.Configuration(None), host="h@volward")
        driver.do_setup(None)
        driver.set_initialized()
        pools = driver.get_volume_stats(refresh=True)["pools"]
        places = {pool["pool_name"]: pool["location_info"] for pool in pools}
        id, name, state = sys.argv[1:]
        here = driver._named(Fake(host="h@volward#san"), {"source-name": name})
        volume = Fake(id=id, provider_id=here["id"], project_id="shop")

        def migrate(pool, place):
            return driver.migrate_volume(
                None, volume, {"host": f"other@volward#{pool}", "capabilities": {"location_info": place}}
            )

        if state == "attached":
            print(migrate("archive", places["archive"]))
        else:
            for pool, place in ("archive", "volward:another"), ("archive", None), ("tape", "volward:tape"):
                print(migrate(pool, place))
            moved, there = migrate("archive", places["archive"])
            # Cinder did not learn of it, and asks again.
            assert migrate("archive", places["archive"]) == (moved, there)
            try:
                migrate("san", places["san"])
            except exception.VolumeBackendAPIException as error:
                print(moved, "not to san" in str(error))
    """
    named = str(uuid.uuid4())
    whose = Owner(str(uuid.uuid4()), "by hand", "boot")
    wanted = Disk("san", volume, "read-write", False)
    attachments.attach(cluster.n2, wanted, whose)
    assert run(script, named, volume, "attached") == "(False, None)"
    attachments.detach(cluster.n2, wanted, whose)
    assert run(script, named, volume, "free") == "(False, None)\n" * 3 + "True True"
    assert volume in lvs(cluster, "archive")


def test_what_is_not_built_is_refused_by_the_driver_too(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOLWARD_SOCKET", cluster.socket("n1"))
    script = """
        import sys
        from types import SimpleNamespace as Fake
        from cinder import exception
        from cinder.volume import configuration
        from volward_openstack.cinder_driver import VolwardDriver
        driver = VolwardDriver(configuration=configuration.Configuration(None), host="h@volward")
        driver.do_setup(None)
        driver.check_for_setup_error()
        driver.set_initialized()
        pool, archive = driver.get_volume_stats(refresh=True)["pools"]
        print(pool["location_info"] != archive["location_info"])
        print(pool["pool_name"], pool["total_capacity_gb"], pool["backend_state"])
        print(0 < pool["free_capacity_gb"] < 64, pool["online_extend_support"], pool["multiattach"])
        volume = Fake(id="v", provider_id="x", volume_id="v")
        for call, words in [
            (driver.initialize_connection, (volume, {})),
            (driver.create_snapshot, (Fake(id="s", volume=volume),)),
        ]:
            try:
                call(*words)
            except exception.VolumeBackendAPIException:
                continue
            print(call, "is not refused")
        # What Cinder itself has made at this moment is nobody's to take over.
        made = {"name": "v", "id": "x", "size": 1, "shareable": False, "home": "pool", "mark": "new"}
        driver._client.pools = lambda: [{"name": "san", "kind": "shared", "volumes": [made]}]
        driver._client.cluster = lambda: {"attachments": []}
        (entry,) = driver.get_manageable_volumes([], None, 10, 0, ["reference"], ["asc"])
        print(entry["safe_to_manage"], entry["reason_not_safe"])
    """
    assert run(script) == "True\nsan 64.0 up\nTrue True True\nFalse being made, deleted, grown or copied"
