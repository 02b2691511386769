"""volwardd-fake: the real daemons of the nodes n1 and n2, over a pool `san` and a smaller one, `archive`,
in memory (tests/fake-daemon)."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from tests.contract import Recorded
from volward_openstack.problems import VolwardError
from volward_openstack.shapes import PoolView

ROOT = Path(__file__).parents[2]
NODES = ("n1", "n2")
# User ids that are neither root's nor of anybody on a machine that runs tests.
NOVA, STRANGER, CINDER = 47_110, 47_111, 47_112


def program() -> Path:
    """Where cargo puts it; xtask says otherwise."""
    named = os.environ.get("VOLWARD_FAKE_DAEMON")
    return Path(named) if named else ROOT / "target/debug/volwardd-fake"


def volward() -> Path:
    """The operator's tool, beside it."""
    return program().with_name("volward")


class FakeCluster:
    """Two nodes that serve, until it is closed."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="volward-fake-")
        # Another user is to reach the sockets.
        os.chmod(self._folder.name, 0o755)
        for node in NODES:
            self._configure(node)
        self._log = open(Path(self._folder.name, "log"), "w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [program(), self._folder.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.n1, self.n2 = (Recorded(self.socket(node), patience=60) for node in NODES)
        for client in (self.n1, self.n2):
            self._wait_for(client)

    def pool(self, name: str = "san", node: str = "n1") -> PoolView:
        """One of its pools, as that node sees it."""
        client = self.n1 if node == "n1" else self.n2
        (found,) = [pool for pool in client.pools() if pool["name"] == name]
        return found

    def socket(self, node: str) -> str:
        """Where that node's daemon listens."""
        return f"{self._folder.name}/{node}/sock"

    def happens(self, what: str) -> None:
        """Something happens to the cluster; the words are in tests/fake-daemon/src/main.rs."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "ok\n", what

    def close(self) -> None:
        """Both daemons end as at a shutdown."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        code = self._process.wait(90)
        self._process.stdout.close()
        self._log.close()
        self._folder.cleanup()
        assert code == 0

    def _configure(self, node: str) -> None:
        folder = Path(self._folder.name, node)
        (folder / "policies.d").mkdir(parents=True)
        for path in (folder, folder / "policies.d"):
            path.chmod(0o755)
        Path(self._folder.name, f"{node}.toml").write_text(
            f"""
[node]
name = "{node}"
[[pool]]
name = "san"
[[pool]]
name = "archive"
[[pool]]
name = "local-{node}"
kind = "local"
[policy]
# The program has no compiler of policies; what is refused here is refused by invariants.
baseline = "off"
[api]
openstack-uids = [{NOVA}]
cinder-uids = [{CINDER}]
[timeouts]
turn = 1
intent = 1
busy = 1
[paths]
socket = "{folder}/sock"
state = "{folder}/state"
policies = "{folder}/policies.d"
devices = "{folder}/dev"
marks = "{folder}/marks"
workbench = "/nonexistent"
"""
        )

    def _wait_for(self, client: Recorded) -> None:
        end = time.monotonic() + 60
        while True:
            try:
                client.status()
            except VolwardError as error:
                running = self._process.poll() is None
                if time.monotonic() > end or not running:
                    self._log.seek(0)
                    raise AssertionError(f"{error}\n{self._log.read()}") from error
                time.sleep(0.02)
            else:
                return
