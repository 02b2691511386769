"""Cinder's driver: Cinder's own check of drivers, and the real Cinder in a process of its own, over its REST
API. What it answers is given to nova's driver, as nova does."""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fake_daemon import FakeCluster
from tests.hosts.need import need, run
from tests.wheel import PACKAGE

need("cinder")

from os_brick.initiator import connector as brick  # noqa: E402

from volward_openstack import register  # noqa: E402

pytestmark = pytest.mark.hosts

PROJECT = "a" * 32
DONE = ("available", "error", "error_managing", "in-use", "error_deleting", "error_extending")


class Cinder:
    """A client of the service, and of nothing else."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        said = {
            "X-Auth-Token": f"admin:{PROJECT}",
            "OpenStack-API-Version": "volume 3.71",
            "Content-Type": "application/json",
            # As nova with [service_user]: else an attachment in use is not deleted.
            "X-Service-Roles": "service",
            "X-Service-Token": "x",
        }
        text = None if body is None else json.dumps(body)
        connection.request(method, f"/v3/{PROJECT}{path}", text, said | headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, json.loads(content) if content else None

    def volume(self, volume_id: str) -> dict[str, Any]:
        """When nothing is under way with it."""
        end = time.monotonic() + 30
        while True:
            found: dict[str, Any] = self.ask("GET", f"/volumes/{volume_id}")[1]["volume"]
            if found["status"] in DONE:
                return found
            assert time.monotonic() < end, found
            time.sleep(0.05)

    def manage(self, name: str) -> dict[str, Any]:
        wish = {"host": "h@volward#san", "ref": {"source-name": name}}
        status, answer = self.ask("POST", "/manageable_volumes", {"volume": wish})
        assert status == 202, answer
        return self.volume(answer["volume"]["id"])


@pytest.fixture(scope="module", name="cinder")
def _cinder(cluster: FakeCluster) -> Iterator[Cinder]:
    with tempfile.TemporaryDirectory() as folder:
        service = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.hosts.cinder_service", folder],
            cwd=PACKAGE,
            env={**os.environ, "VOLWARD_SOCKET": cluster.socket("n1")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert service.stdin is not None
        assert service.stdout is not None
        try:
            cinder = Cinder(int(service.stdout.readline()))
            until(lambda: cinder.ask("GET", "/scheduler-stats/get_pools")[1]["pools"])
            yield cinder
        finally:
            service.stdin.close()
            service.kill()
            service.wait()
            service.stdout.close()


def until(is_so: Callable[[], Any]) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)


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
    instance = str(uuid.uuid4())
    _, created = cinder.ask(
        "POST", "/attachments", {"attachment": {"volume_uuid": managed["id"], "instance_uuid": instance}}
    )
    attachment = f"/attachments/{created['attachment']['id']}"
    # As nova on the node n2: the host's properties, then the connection information.
    monkeypatch.setenv("VOLWARD_SOCKET", cluster.socket("n2"))
    monkeypatch.setattr(brick, "unix_connector_list", [register.CONNECTOR])
    register.connector()
    properties = brick.get_connector_properties(None, "10.0.0.1", False, False, host="h2")
    assert properties["volward"]["node"] == "n2"
    status, updated = cinder.ask("PUT", attachment, {"attachment": {"connector": properties}})
    assert status == 200, updated
    information = updated["attachment"]["connection_info"]
    assert information["driver_volume_type"] == "volward"
    assert information["volward"] == {"pool": "san", "volume": volume}
    whose = {"uuid": instance, "name": "instance-1", "purpose": "boot", "hints": {}}
    data = {**information, "volward": {**information["volward"], "instance": whose}}
    built = brick.InitiatorConnector.factory(information["driver_volume_type"], None)
    built.connect_volume(data)
    assert cinder.ask("POST", f"{attachment}/action", {"os-complete": None})[0] == 204
    assert cinder.volume(managed["id"])["status"] == "in-use"
    # Cinder lists what may be managed; neither this one nor what is attached.
    status, listed = cinder.ask("GET", "/manageable_volumes/detail?host=h%40volward%23san")
    assert status == 200, listed
    (mine,) = [one for one in listed["manageable-volumes"] if one["reference"]["source-name"] == volume]
    assert (mine["cinder_id"], mine["safe_to_manage"]) == (managed["id"], False)
    # Growing in use is refused, and the volume is as it was.
    cinder.ask("POST", f"/volumes/{managed['id']}/action", {"os-extend": {"new_size": 2}})
    time.sleep(0.5)
    assert (cinder.volume(managed["id"])["status"], cinder.volume(managed["id"])["size"]) == ("in-use", 1)
    built.disconnect_volume(data, None)
    assert cinder.ask("DELETE", attachment)[0] == 200
    assert cinder.volume(managed["id"])["status"] == "available"
    assert [view for view in cluster.n2.attachments() if view["volume"] == volume] == []
    # It is deleted by nobody, and stays what it was.
    cinder.ask("DELETE", f"/volumes/{managed['id']}")
    assert cinder.volume(managed["id"])["status"] == "available"
    assert cinder.ask("POST", f"/volumes/{managed['id']}/action", {"os-unmanage": None})[0] == 202
    until(lambda: cinder.ask("GET", f"/volumes/{managed['id']}")[0] == 404)
    (pool,) = cluster.n1.pools()
    assert volume in [view["name"] for view in pool["volumes"]]


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
    assert status == 400, answer
    assert sentence in json.dumps(answer)


def test_a_volume_that_does_not_exist_is_not_managed(cinder: Cinder) -> None:
    assert cinder.manage("no-such-volume")["status"] == "error"


def test_making_a_volume_is_refused_by_the_scheduler(cinder: Cinder) -> None:
    _, created = cinder.ask("POST", "/volumes", {"volume": {"size": 1}})
    volume_id = created["volume"]["id"]
    assert cinder.volume(volume_id)["status"] == "error"
    messages = cinder.ask("GET", f"/messages?resource_uuid={volume_id}")[1]["messages"]
    assert any("No storage" in one["user_message"] or "schedule" in one["user_message"] for one in messages)
    # And it is no trouble to be rid of.
    assert cinder.ask("DELETE", f"/volumes/{volume_id}")[0] == 202
    until(lambda: cinder.ask("GET", f"/volumes/{volume_id}")[0] == 404)


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
        (pool,) = driver.get_volume_stats(refresh=True)["pools"]
        print(pool["pool_name"], pool["free_capacity_gb"], pool["total_capacity_gb"], pool["backend_state"])
        volume = Fake(id="v", provider_id="x", volume_id="v")
        for call, words in [
            (driver.create_volume, (volume,)),
            (driver.delete_volume, (volume,)),
            (driver.extend_volume, (volume, 2)),
            (driver.create_snapshot, (volume,)),
            (driver.create_cloned_volume, (volume, volume)),
            (driver.create_volume_from_snapshot, (volume, volume)),
            (driver.initialize_connection, (volume, {})),
        ]:
            try:
                call(*words)
            except (exception.VolumeBackendAPIException, exception.VolumeIsBusy):
                continue
            print(call, "is not refused")
    """
    assert run(script) == "san 0 4.0 up"
