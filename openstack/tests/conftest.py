"""What several tests need: the cluster that they ask, and to be told what is missing."""

import os
import uuid
from collections.abc import Iterator

import pytest

from tests.fake_daemon import FakeCluster, program


def missing(what: str, whole_module: bool = False) -> None:
    """Something that not everybody has: `cargo xtask test openstack` has it, and leaves nothing out."""
    if os.environ.get("VOLWARD_TESTS_COMPLETE"):
        pytest.fail(what)
    pytest.skip(what, allow_module_level=whole_module)


@pytest.fixture(scope="session", name="cluster")
def _cluster() -> Iterator[FakeCluster]:
    if not program().is_file():
        missing(f"there is no {program()}: cargo xtask test openstack builds it")
    cluster = FakeCluster()
    yield cluster
    cluster.close()


@pytest.fixture(name="volume")
def _volume(cluster: FakeCluster) -> str:
    """A volume of the pool `san` that nobody has."""
    name = f"volume-{uuid.uuid4()}"
    cluster.happens(f"volume {name}")
    return name


@pytest.fixture(name="shareable")
def _shareable(cluster: FakeCluster) -> str:
    """One that several instances may write to."""
    name = f"volume-{uuid.uuid4()}"
    cluster.happens(f"shareable {name}")
    return name
