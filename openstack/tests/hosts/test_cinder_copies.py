"""What Cinder copies itself, through os-brick and our connector: images, backups, and what the daemon does
not move. The volumes are plain files here; who has them is the daemon's."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_daemon import FakeCluster
from tests.hosts.need import need

need("cinder")

from tests.hosts import glance as glances  # noqa: E402
from tests.hosts import plain_files  # noqa: E402
from tests.hosts.cinder_api import Cinder, Compute, running  # noqa: E402
from tests.until import until  # noqa: E402

pytestmark = pytest.mark.hosts

# Of a disk of an operating system: something at its beginning, and something further on.
IMAGE = b"\x55\xaa" * 4096 + bytes(3 << 20) + b"the end".ljust(512, b"\0")


class Place:
    """Cinder, glance, and where the volumes' files are."""

    def __init__(self, cinder: Cinder, glance: glances.Glance, files: Path, cluster: FakeCluster) -> None:
        self.cinder, self.glance, self.files, self.cluster = cinder, glance, files, cluster

    def content(self, volume_id: str, pool: str = "san") -> Path:
        """A volume's."""
        return plain_files.content(self.files, pool, f"volume-{volume_id}")

    def begins_with(self, volume_id: str, content: bytes, pool: str = "san") -> bool:
        with self.content(volume_id, pool).open("rb") as file:
            return file.read(len(content)) == content

    def nobody_has(self, volume_id: str) -> bool:
        views = self.cluster.n1.cluster()["attachments"]
        return not [view for view in views if view["volume"] == f"volume-{volume_id}"]

    def archived(self) -> set[str]:
        """What is in the other pool."""
        return {view["name"] for view in self.cluster.pool("archive")["volumes"]}

    def made_of_image(self) -> str:
        """A volume with the image's content."""
        image = self.glance.image(IMAGE)
        made = self.cinder.create(imageRef=image)
        assert made["status"] == "available", self.cinder.log()[-4000:]
        return str(made["id"])


@pytest.fixture(scope="module", name="place")
def _place(cluster: FakeCluster) -> Iterator[Place]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = folder / "images"
        images.mkdir()
        with glances.serving(images) as glance:
            environment = plain_files.install(folder) | {"VOLWARD_SOCKET": cluster.socket("n1")}
            with running(environment | {"VOLWARD_TESTS_GLANCE": glance.address}) as cinder:
                yield Place(cinder, glance, folder, cluster)


def test_an_image_becomes_a_volume_and_a_volume_an_image(place: Place) -> None:
    made = place.made_of_image()
    assert place.cinder.volume(made)["bootable"] == "true"
    assert place.begins_with(made, IMAGE)
    assert place.nobody_has(made)
    wish = {"image_name": "copy", "disk_format": "raw", "container_format": "bare", "force": False}
    status, answer = place.cinder.ask("POST", f"/volumes/{made}/action", {"os-volume_upload_image": wish})
    assert status == 202, answer
    image = answer["os-volume_upload_image"]["image_id"]
    until(lambda: place.glance.shown(image)["status"] == "active")
    assert place.cinder.volume(made)["status"] == "available"
    assert place.glance.shown(image)["size"] == 1 << 30
    with place.glance.content(image).open("rb") as file:
        assert file.read(len(IMAGE)) == IMAGE
    assert place.nobody_has(made)
    place.glance.content(image).unlink()
    place.cinder.delete(made)


def test_while_an_instance_has_it_a_volume_becomes_no_image(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = place.made_of_image()
    compute = Compute(place.cinder, place.cluster.socket("n2"), monkeypatch)
    compute.attach(made)
    wish = {"image_name": "copy", "disk_format": "raw", "container_format": "bare", "force": True}
    status, answer = place.cinder.ask("POST", f"/volumes/{made}/action", {"os-volume_upload_image": wish})
    # Cinder allows it only where an operator says so; what is attached is never read beside its guest.
    assert status in (400, 403), answer
    compute.detach()
    place.cinder.delete(made)


def backup(cinder: Cinder, backup_id: str) -> dict[str, Any]:
    """When nothing is under way with it."""
    path = f"/backups/{backup_id}"
    until(lambda: cinder.ask("GET", path)[1]["backup"]["status"] in ("available", "error"))
    found: dict[str, Any] = cinder.ask("GET", path)[1]["backup"]
    return found


def test_a_backup_is_a_file_and_is_restored_to_another_volume(place: Place) -> None:
    cinder, made = place.cinder, place.made_of_image()
    status, answer = cinder.ask("POST", "/backups", {"backup": {"volume_id": made, "name": "b"}})
    assert status == 202, answer
    kept = backup(cinder, answer["backup"]["id"])
    assert kept["status"] == "available", cinder.log()[-4000:]
    assert cinder.volume(made)["status"] == "available"
    assert place.nobody_has(made)
    status, answer = cinder.ask("POST", f"/backups/{kept['id']}/restore", {"restore": {"name": "again"}})
    assert status == 202, answer
    restored = answer["restore"]["volume_id"]
    assert backup(cinder, kept["id"])["status"] == "available"
    until(lambda: cinder.volume(restored)["status"] == "available")
    assert place.begins_with(restored, IMAGE)
    assert place.nobody_has(restored)
    assert cinder.ask("DELETE", f"/backups/{kept['id']}")[0] == 202
    for volume in (made, restored):
        cinder.delete(volume)


def test_a_retype_to_another_pools_type_is_cinders_copy_and_all_else_goes_on(place: Place) -> None:
    cinder, made, before = place.cinder, place.made_of_image(), place.archived()
    archive = {"name": "archive", "extra_specs": {"pool_name": "archive"}}
    assert cinder.ask("POST", "/types", {"volume_type": archive})[0] == 200
    wish = {"new_type": "archive", "migration_policy": "on-demand"}
    status, answer = cinder.ask("POST", f"/volumes/{made}/action", {"os-retype": wish})
    assert status == 202, answer
    until(lambda: cinder.volume(made)["volume_type"] == "archive")
    moved = cinder.volume(made)
    assert (moved["status"], moved["migration_status"]) == ("available", "success"), cinder.log()[-4000:]
    assert moved["os-vol-host-attr:host"] == "h@volward#archive"
    (there,) = place.archived() - before
    with plain_files.content(place.files, "archive", there).open("rb") as file:
        assert file.read(len(IMAGE)) == IMAGE
    assert place.nobody_has(made)
    # It has the name of the one that Cinder has made for it, and is found by its UUID.
    assert cinder.act(made, **{"os-extend": {"new_size": 2}})["size"] == 2
    cinder.delete(made)
    assert place.archived() == before


def test_a_volume_goes_back_to_a_snapshot_by_cinders_copy(place: Place) -> None:
    cinder, made = place.cinder, place.made_of_image()
    kept = cinder.snapshot(made)
    assert kept["status"] == "available"
    status, answer = cinder.ask("POST", f"/volumes/{made}/action", {"revert": {"snapshot_id": kept["id"]}})
    assert status == 202, answer
    assert cinder.volume(made)["status"] == "available", cinder.log()[-4000:]
    # The daemon's copies are in memory, and empty.
    assert place.begins_with(made, bytes(len(IMAGE)))
    assert place.nobody_has(made)
    names = [view["name"] for view in place.cluster.pool()["volumes"]]
    assert f"snap-{kept['id']}" in names
    assert len([name for name in names if name.startswith("volume-") and made in name]) == 1
    cinder.delete_snapshot(kept["id"])
    cinder.delete(made)
