"""Local copies that come home under their guest, at the real daemon over storage in memory."""

import uuid
from collections.abc import Iterator

import pytest

from tests.fake_daemon import CINDER, NOVA, FakeCluster
from tests.test_daemon import as_user, disk, instance
from tests.until import until
from volward_openstack import attachments, copies
from volward_openstack.attachments import Owner
from volward_openstack.client import Client
from volward_openstack.problems import NoDaemon, Refusal

AT_ONCE = 1_000_000


class Copied:
    """An instance on n1, whose volumes have local copies there."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.whose: Owner = instance()
        self.volumes: list[str] = []

    def attach(self, mode: str, whole: bool) -> tuple[str, str]:
        """One more, with a copy of that mode."""
        volume = f"volume-{uuid.uuid4()}"
        self.cluster.happens(f"volume {volume}")
        self.cluster.happens(f"copies n1 {mode}")
        self.cluster.happens(f"copying n1 {AT_ONCE if whole else 0}")
        attachments.attach(self.cluster.n1, disk(volume), self.whose)
        self.volumes.append(volume)
        until(lambda: self.state(volume) in ("complete", "writes-only") if whole else self.state(volume))
        self.cluster.happens("copying n1 0")
        return "san", volume

    def state(self, volume: str) -> str | None:
        """Of its copy; None where it has none."""
        found = [view["state"] for view in self.cluster.n1.hydrations() if view["volume"] == volume]
        return found[0] if found else None

    def end(self) -> None:
        """Nothing is left of it."""
        self.cluster.happens("copies n1 none")
        self.cluster.happens(f"copying n1 {AT_ONCE}")
        self.cluster.n1.detach({"instance": self.whose.uuid})
        until(lambda: not [volume for volume in self.volumes if self.state(volume)])
        self.cluster.happens("copying n1 0")


@pytest.fixture(name="copied")
def _copied(cluster: FakeCluster) -> Iterator[Copied]:
    made = Copied(cluster)
    yield made
    made.end()


def test_copies_come_home_under_their_guest(cluster: FakeCluster, copied: Copied) -> None:
    volumes = [copied.attach("background", whole=True) for _ in range(2)]
    # Until then it does not migrate.
    cluster.happens(f"migrating n1 {copied.whose.uuid} on")
    arriving = Owner(copied.whose.uuid, copied.whose.name, "migration-in")
    with pytest.raises(Refusal, match="volward hydration home") as raised:
        attachments.arrives(cluster.n2, disk(volumes[0][1]), arriving)
    assert raised.value.code == "home-elsewhere"
    cluster.happens("copying n1 16")
    copies.come_home(cluster.n1, volumes, 30)
    for pool, volume in volumes:
        assert copied.state(volume) is None
        assert attachments.arrives(cluster.n2, disk(volume), arriving).endswith(f"/{pool}/{volume}")
    cluster.happens(f"migrating n1 {copied.whose.uuid} off")
    assert {view["state"] for view in cluster.n1.attachments() if view["volume"] in copied.volumes} == {
        "attached"
    }
    # And again there is nothing to do.
    copies.come_home(cluster.n1, volumes, 0)


def test_where_one_cannot_come_home_none_is_begun(cluster: FakeCluster, copied: Copied) -> None:
    whole = copied.attach("background", whole=True)
    part = copied.attach("background", whole=False)
    with pytest.raises(Refusal, match=part[1]) as raised:
        copies.come_home(cluster.n1, [whole, part], 30)
    assert raised.value.code == "not-hydrated"
    assert copied.state(whole[1]) == "complete"


def test_a_copy_of_writes_only_never_comes_home_under_its_guest(cluster: FakeCluster, copied: Copied) -> None:
    volume = copied.attach("writes-only", whole=True)
    with pytest.raises(Refusal, match="takes what its guest writes") as raised:
        copies.come_home(cluster.n1, [volume], 30)
    assert raised.value.code == "not-hydrated"


def test_what_takes_longer_goes_on_by_itself_and_is_found_home_the_next_time(
    cluster: FakeCluster, copied: Copied
) -> None:
    volume = copied.attach("background", whole=True)
    with pytest.raises(copies.OnTheWay) as raised:
        copies.come_home(cluster.n1, [volume], 1)
    said = raised.value.sentence
    assert said.startswith(f"the data of san/{volume[1]} comes home from this node's copy, 0 % is there")
    assert said.endswith("it goes on by itself: migrate again then")
    assert copied.state(volume[1]) == "returning"
    cluster.happens(f"copying n1 {AT_ONCE}")
    copies.come_home(cluster.n1, [volume], 30)
    assert copied.state(volume[1]) is None


def test_nova_may_have_a_copy_brought_home_on_its_node(cluster: FakeCluster, copied: Copied) -> None:
    volume = copied.attach("background", whole=True)
    path = cluster.socket("n1")

    def dry() -> object:
        return Client(path).bring_home({"volume": "/".join(volume), "dry_run": True})["begun"]

    assert as_user(NOVA, dry) is True
    assert as_user(CINDER, dry) is True


def test_what_has_no_copy_needs_nothing_and_without_a_daemon_it_is_not_known(
    cluster: FakeCluster, volume: str
) -> None:
    copies.come_home(cluster.n1, [("san", volume)], 0)
    with pytest.raises(NoDaemon):
        copies.come_home(Client("/nonexistent"), [("san", volume)], 0)
