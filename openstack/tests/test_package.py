"""What the wheel has in it."""

import email
import tomllib
import zipfile
from pathlib import Path

import pytest

import volward_openstack
from tests import wheel
from tests.fake_daemon import ROOT


@pytest.fixture(scope="module", name="built")
def _built(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(wheel.build(tmp_path_factory.mktemp("wheel")))


def test_the_wheel_has_every_module_and_novas_file(built: zipfile.ZipFile) -> None:
    inside = {name for name in built.namelist() if ".dist-info/" not in name}
    modules = {
        f"volward_openstack/{path.name}" for path in (wheel.PACKAGE / "volward_openstack").glob("*.py*")
    }
    assert inside == modules - {"volward_openstack/__pycache__"} | {
        "volward_openstack/py.typed",
        "nova/virt/volward/__init__.py",
    }
    # nova's own files stay nova's.
    assert "nova/__init__.py" not in inside


def test_it_needs_nothing_and_has_the_programs_version_and_licence(built: zipfile.ZipFile) -> None:
    (name,) = (name for name in built.namelist() if name.endswith("/METADATA"))
    metadata = email.message_from_bytes(built.read(name))
    workspace = tomllib.loads(Path(ROOT, "Cargo.toml").read_text())["workspace"]["package"]
    assert metadata.get_all("Requires-Dist") is None
    assert metadata["Version"] == workspace["version"] == volward_openstack.__version__
    assert metadata["License-Expression"] == workspace["license"]
    assert any(name.endswith("/LICENSE") for name in built.namelist())
    (name,) = (name for name in built.namelist() if name.endswith("/entry_points.txt"))
    assert "volward-nova-compute = volward_openstack.compute:main" in built.read(name).decode()
