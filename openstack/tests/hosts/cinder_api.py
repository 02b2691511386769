"""Cinder's REST API, and a compute node that does with os-brick as nova does."""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from os_brick.initiator import connector as brick

from tests.until import until
from tests.wheel import PACKAGE
from volward_openstack import register

PROJECT = "a" * 32
ENDS_BADLY = ("managing", "deleting", "extending", "restoring")
DONE = ("available", "in-use", "error", *(f"error_{what}" for what in ENDS_BADLY))


class Cinder:
    """A client of the service, and of nothing else."""

    def __init__(self, port: int, folder: str) -> None:
        self.port = port
        self._log = Path(folder, "cinder.log")

    def log(self) -> str:
        """What the service has said so far."""
        return self._log.read_text()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        said = {
            "X-Auth-Token": f"admin:{PROJECT}",
            # The newest that Debian 12's has.
            "OpenStack-API-Version": "volume 3.70",
            "Content-Type": "application/json",
            # As nova with [service_user]: else an attachment in use is not deleted.
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

    def create(self, **more: Any) -> dict[str, Any]:
        status, answer = self.ask("POST", "/volumes", {"volume": {"size": 1, **more}})
        assert status == 202, answer
        return self.volume(answer["volume"]["id"])

    def act(self, volume_id: str, **action: Any) -> dict[str, Any]:
        status, answer = self.ask("POST", f"/volumes/{volume_id}/action", action)
        assert status == 202, answer
        return self.volume(volume_id)

    def migrate(self, volume_id: str, host: str) -> dict[str, Any]:
        """To another pool; when that has ended, and how is in `migration_status`."""
        wish = {"host": host, "force_host_copy": False, "lock_volume": False}
        status, answer = self.ask("POST", f"/volumes/{volume_id}/action", {"os-migrate_volume": wish})
        assert status == 202, answer
        until(lambda: self.volume(volume_id)["migration_status"] in ("success", "error"))
        return self.volume(volume_id)

    def delete(self, volume_id: str) -> None:
        assert self.ask("DELETE", f"/volumes/{volume_id}")[0] == 202
        until(lambda: self.ask("GET", f"/volumes/{volume_id}")[0] == 404)

    def snapshot(self, volume_id: str, **more: Any) -> dict[str, Any]:
        wish = {"snapshot": {"volume_id": volume_id, **more}}
        status, answer = self.ask("POST", "/snapshots", wish)
        assert status == 202, answer
        path = f"/snapshots/{answer['snapshot']['id']}"
        until(lambda: self.ask("GET", path)[1]["snapshot"]["status"] in DONE)
        found: dict[str, Any] = self.ask("GET", path)[1]["snapshot"]
        return found

    def delete_snapshot(self, snapshot_id: str) -> None:
        assert self.ask("DELETE", f"/snapshots/{snapshot_id}")[0] == 202
        until(lambda: self.ask("GET", f"/snapshots/{snapshot_id}")[0] == 404)

    def group(self, volume_ids: list[str]) -> str:
        """A group of these, whose snapshots are to hold one moment."""
        _, answer = self.ask("POST", "/group_types", {"group_type": {"name": uuid.uuid4().hex}})
        group_type = answer["group_type"]["id"]
        specs = {"group_specs": {"consistent_group_snapshot_enabled": "<is> True"}}
        status, answer = self.ask("POST", f"/group_types/{group_type}/group_specs", specs)
        assert status == 202, answer
        volume_types = self.ask("GET", "/types")[1]["volume_types"]
        wish = {"group_type": group_type, "volume_types": [one["id"] for one in volume_types]}
        status, answer = self.ask("POST", "/groups", {"group": wish})
        assert status == 202, answer
        path = f"/groups/{answer['group']['id']}"
        until(lambda: self.ask("GET", path)[1]["group"]["status"] == "available")
        status, answer = self.ask("PUT", path, {"group": {"add_volumes": ",".join(volume_ids)}})
        assert status == 202, answer
        until(lambda: self.ask("GET", path)[1]["group"]["status"] == "available")
        return path.rpartition("/")[2]

    def group_snapshot(self, group_id: str) -> dict[str, Any]:
        status, answer = self.ask("POST", "/group_snapshots", {"group_snapshot": {"group_id": group_id}})
        assert status == 202, answer
        path = f"/group_snapshots/{answer['group_snapshot']['id']}"
        until(lambda: self.ask("GET", path)[1]["group_snapshot"]["status"] in DONE)
        found: dict[str, Any] = self.ask("GET", path)[1]["group_snapshot"]
        return found

    def manage(self, name: str) -> dict[str, Any]:
        wish = {"host": "h@volward#san", "ref": {"source-name": name}}
        status, answer = self.ask("POST", "/manageable_volumes", {"volume": wish})
        assert status == 202, answer
        return self.volume(answer["volume"]["id"])


@contextmanager
def running(environment: dict[str, str]) -> Iterator[Cinder]:
    """Cinder's services, until they are not wanted any more."""
    with tempfile.TemporaryDirectory() as folder:
        service = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.hosts.cinder_service", folder],
            cwd=PACKAGE,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert service.stdin is not None
        assert service.stdout is not None
        try:
            cinder = Cinder(int(service.stdout.readline()), folder)
            until(lambda: cinder.ask("GET", "/scheduler-stats/get_pools")[1]["pools"])
            yield cinder
        finally:
            service.stdin.close()
            service.kill()
            service.wait()
            service.stdout.close()


class Compute:
    """A node, doing as nova does: the host's properties, the connection information, os-brick's connector."""

    def __init__(self, cinder: Cinder, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cinder = cinder
        monkeypatch.setenv("VOLWARD_SOCKET", path)
        monkeypatch.setattr(brick, "unix_connector_list", [register.CONNECTOR])
        register.connector()

    def attach(self, volume_id: str, **more: str) -> dict[str, Any]:
        instance = str(uuid.uuid4())
        is_shared = self.cinder.volume(volume_id)["multiattach"]
        wish = {"attachment": {"volume_uuid": volume_id, "instance_uuid": instance, **more}}
        status, created = self.cinder.ask("POST", "/attachments", wish)
        assert status == 200, created
        self.attachment = f"/attachments/{created['attachment']['id']}"
        properties = brick.get_connector_properties(None, "10.0.0.1", False, False, host="h")
        status, updated = self.cinder.ask("PUT", self.attachment, {"attachment": {"connector": properties}})
        assert status == 200, updated
        information: dict[str, Any] = updated["attachment"]["connection_info"]
        whose = {"uuid": instance, "name": "instance-1", "purpose": "boot", "hints": {}}
        self.data = {
            **information,
            # As nova does: Cinder's connection information does not say it.
            "multiattach": is_shared,
            "volward": {**information["volward"], "instance": whose},
        }
        self.built = brick.InitiatorConnector.factory(information["driver_volume_type"], None)
        self.access = self.built.connect_volume(self.data)["access"]
        assert self.cinder.ask("POST", f"{self.attachment}/action", {"os-complete": None})[0] == 204
        return information

    def detach(self) -> None:
        self.built.disconnect_volume(self.data, None)
        assert self.cinder.ask("DELETE", self.attachment)[0] == 200
