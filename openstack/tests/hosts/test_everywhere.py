"""Registration in processes that import nothing of ours: by a .pth file, in interpreters of their own."""

import json
import os
import subprocess
import sysconfig
import textwrap
import venv
from pathlib import Path
from typing import Any

import pytest

from tests.fake_daemon import FakeCluster
from tests.hosts.need import need, run
from tests.wheel import PACKAGE

need("os_brick")

pytestmark = pytest.mark.hosts

# As docs/openstack.md says.
LINE = (
    'import importlib.util; importlib.util.find_spec("volward_openstack") '
    'and __import__("volward_openstack.everywhere")'
)

# As glance and cinder-backup: os-brick says what this host is.
PROPERTIES = """
    import json
    from os_brick.initiator import connector
    wanted = [one for one in connector.unix_connector_list if "volward" in one]
    connector.unix_connector_list[:] = wanted
    said = connector.get_connector_properties(None, "10.0.0.1", False, False, host="h")
    print(json.dumps([wanted, said.get("volward")]))
"""


class Host:
    """A Python with os-brick and our package, each where its system has it."""

    def __init__(self, folder: Path, cluster: FakeCluster) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self._python = folder / "bin/python"
        (self.packages,) = (folder / "lib").glob("python*/site-packages")
        theirs = sysconfig.get_paths()["purelib"]
        (self.packages / "hosts.pth").write_text(f"{PACKAGE}\n{theirs}\n")
        self._environment = {**os.environ, "VOLWARD_SOCKET": cluster.socket("n1")}

    def opts_in(self) -> None:
        """By that line."""
        (self.packages / "volward.pth").write_text(f"{LINE}\n")

    def package_goes(self) -> None:
        """And the file stays."""
        (self.packages / "hosts.pth").unlink()

    def says(self, script: str) -> Any:
        done = subprocess.run(
            [self._python, "-W", "ignore", "-c", textwrap.dedent(script)],
            cwd="/",
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return json.loads(done.stdout)


@pytest.fixture(name="host")
def _host(tmp_path: Path, cluster: FakeCluster) -> Host:
    return Host(tmp_path, cluster)


def test_a_process_that_imports_nothing_of_ours_has_the_connector(host: Host) -> None:
    host.opts_in()
    wanted, said = host.says(PROPERTIES)
    assert wanted == ["volward_openstack.connector.VolwardConnector"]
    assert said == {"api": 1, "node": "n1"}


def test_without_the_file_it_has_not_and_cinders_driver_says_what_is_missing(host: Host) -> None:
    assert host.says(PROPERTIES) == [[], None]
    script = """
        from cinder import exception
        from cinder.volume import configuration
        from volward_openstack.cinder_driver import VolwardDriver
        driver = VolwardDriver(configuration=configuration.Configuration(None), host="h@volward")
        try:
            driver.validate_connector({"host": "h", "ip": "10.0.0.1"})
        except exception.InvalidConnectorException as error:
            print(error)
    """
    assert "volward-openstack is not installed on that host, or not registered there" in run(script)


def test_a_process_without_os_brick_is_left_as_it_is(host: Host) -> None:
    host.opts_in()
    script = """
        import json, sys
        import email.message
        found = [name for name in sys.modules if name.startswith(("volward_openstack", "os_brick", "http"))]
        print(json.dumps(sorted(found)))
    """
    assert host.says(script) == ["volward_openstack", "volward_openstack.everywhere"]


def test_what_fails_in_it_is_logged_and_os_brick_is_there(host: Host) -> None:
    host.opts_in()
    script = """
        import json, logging, sys
        sys.modules["volward_openstack.register"] = None
        said = []
        logging.Handler.emit = lambda _, record: said.append(record.msg)
        logging.getLogger().addHandler(logging.Handler())
        from os_brick.initiator import connector
        print(json.dumps([bool(connector.unix_connector_list), [one for one in said if "volward" in one]]))
    """
    assert host.says(script) == [True, ["volward's connector is not registered with os-brick"]]


def test_imported_late_or_twice_it_registers_once() -> None:
    script = """
        from os_brick.initiator import connector
        from volward_openstack import everywhere
        everywhere.wait()
        print(len([one for one in connector.unix_connector_list if "volward" in one]))
    """
    assert run(script) == "1"


def test_where_the_package_is_gone_the_file_does_nothing(host: Host) -> None:
    host.opts_in()
    host.package_goes()
    assert host.says("print(1)") == 1


def test_the_line_is_the_documented_one() -> None:
    assert LINE in (PACKAGE / "../docs/openstack.md").read_text()
