"""Cinder's driver. Volumes and snapshots are made, copied, grown and deleted by the daemon of cinder-volume's
own node, each under an id of Cinder's, so that a retry finds what was begun. What an operator has made is
taken over. A snapshot is a volume of its own with a full copy, and stays when its volume goes.

Nothing is attached or detached here: that the daemon of the instance's node does, asked by nova.
"""

import logging
import math
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from cinder import context, exception, interface
from cinder.db import api as db
from cinder.volume import driver, volume_utils

from volward_openstack import __version__, operations, register
from volward_openstack.attachments import API, NAME
from volward_openstack.client import Client, socket_path
from volward_openstack.problems import Refusal, VolwardError
from volward_openstack.shapes import (
    Access,
    OperationReply,
    OperationView,
    PoolView,
    SnapshotOf,
    VolumeCopyRequest,
    VolumeCreateRequest,
    VolumeDeleteRequest,
    VolumeExtendRequest,
    VolumeMoveRequest,
    VolumeSetRequest,
    VolumeSnapshotRequest,
    VolumeSnapshotsRequest,
    VolumeView,
)

LOG = logging.getLogger(__name__)

GIB = 1 << 30
# Who asks to delete what somebody has, or what something else is done with: Cinder has it back as it was.
BUSY = ("held-here", "held-elsewhere", "home-elsewhere", "operation-open", "being-grown", "being-copied")

T = TypeVar("T")

# In this process os-brick builds our connector: images are copied through it.
register.connector()


@interface.volumedriver
class VolwardDriver(driver.VolumeDriver):
    """`volume_driver = volward_openstack.cinder_driver.VolwardDriver`.

    Its pools are the shared pools of the node's daemon. A volume is known by its LV's UUID, in `provider_id`;
    its name in the pool is what it is called there at the moment.
    """

    VERSION = __version__
    CI_WIKI_NAME = "none"

    def do_setup(self, context: Any) -> None:  # noqa: ARG002
        """Connects to nothing yet."""
        self._client = Client(socket_path())

    def check_for_setup_error(self) -> None:
        """Without the daemon and a shared pool there is nothing to serve."""
        if not self._pools():
            raise exception.VolumeBackendAPIException(data="volwardd of this node has no shared pool")

    def _update_volume_stats(self) -> None:
        pools = self._pools()
        self._stats = {
            "volume_backend_name": self.configuration.safe_get("volume_backend_name") or NAME,
            "vendor_name": "Volward",
            "driver_version": self.VERSION,
            "storage_protocol": NAME,
            "shared_targets": False,
            "pools": [
                _stats(pool, self.configuration.safe_get("reserved_percentage") or 0) for pool in pools
            ],
        }

    # Operations, each with an id that says whose it is and what for.

    def create_volume(self, volume: Any) -> dict[str, Any]:
        """Made and zeroed by the daemon; its LV is named as Cinder names the volume."""
        pool = volume_utils.extract_host(volume.host, "pool")

        def begin(operation: str) -> OperationView:
            wish: VolumeCreateRequest = {
                "id": operation,
                "pool": pool,
                "volume": volume.name,
                "size": volume.size * GIB,
                "hints": _hints(volume),
            }
            return _on_record(self._client.volume_create(wish))

        return self._made_volume(volume, pool, begin)

    def create_cloned_volume(self, volume: Any, src_vref: Any) -> dict[str, Any]:
        """A full copy, with zeroes behind it where the new one is larger. The other one is detached, or only
        read, for so long; or one instance has it alone, in the same pool, and goes on."""
        return self._copied(volume, src_vref)

    def create_volume_from_snapshot(self, volume: Any, snapshot: Any) -> dict[str, Any]:
        """A full copy: a snapshot is a volume like any other."""
        return self._copied(volume, snapshot)

    def create_snapshot(self, snapshot: Any) -> dict[str, Any]:
        """A full copy in the same pool. What several instances may write to is refused by the daemon."""

        def begin(operation: str) -> OperationView:
            pool, view = self._found(snapshot.volume)
            wish: VolumeSnapshotRequest = {
                "id": operation,
                "pool": pool["name"],
                "volume": view["name"],
                "snapshot": _snapshot_name(snapshot),
                "hints": _hints(snapshot),
            }
            return _on_record(self._client.volume_snapshot(wish))

        return {"provider_id": self._made(snapshot, begin)}

    def create_group_snapshot(
        self,
        context: Any,  # noqa: ARG002
        group_snapshot: Any,
        snapshots: list[Any],
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """All of them as of one moment, where the group's type wants that; else Cinder takes one after the
        other. An instance writes to each of them, on one node; of volumes that nobody has each is kept by
        itself, for nobody changes them."""
        if not volume_utils.is_group_a_cg_snapshot_type(group_snapshot):
            raise NotImplementedError
        if not any(snapshot.volume.attach_status == "attached" for snapshot in snapshots):
            made = [self.create_snapshot(snapshot)["provider_id"] for snapshot in snapshots]
        else:
            made = self._kept_together(group_snapshot, snapshots)
        updates = [
            {"id": snapshot.id, "status": "available", "provider_id": volume_id}
            for snapshot, volume_id in zip(snapshots, made, strict=True)
        ]
        return {"status": "available"}, updates

    def _kept_together(self, group_snapshot: Any, snapshots: list[Any]) -> list[str]:
        def begin(group: str) -> list[OperationView]:
            members: list[SnapshotOf] = []
            for snapshot in snapshots:
                pool, view = self._found(snapshot.volume)
                name = _snapshot_name(snapshot)
                members.append({"pool": pool["name"], "volume": view["name"], "snapshot": name})
            wish: VolumeSnapshotsRequest = {
                "id": group,
                "snapshots": members,
                "hints": _hints(group_snapshot),
            }
            return self._client.volume_snapshots(wish)["operations"]

        wanted = _operation("group", group_snapshot)
        views = self._asked(lambda: operations.all_done(self._client, wanted, len(snapshots), begin))
        made = [view.get("volume_id") for view in views]
        if None in made:
            _refuse(f"the Volward daemon does not say which LVs it has made for {group_snapshot.id}")
        return [str(volume_id) for volume_id in made]

    def _copied(self, volume: Any, source: Any) -> dict[str, Any]:
        pool = volume_utils.extract_host(volume.host, "pool")

        def begin(operation: str) -> OperationView:
            of, view = self._found(source)
            wish: VolumeCopyRequest = {
                "id": operation,
                "pool": of["name"],
                "volume": view["name"],
                "to_pool": pool,
                "to_volume": volume.name,
                # One that was managed may have more than the GiB that Cinder counts.
                "size": max(volume.size * GIB, view["size"]),
                "hints": _hints(volume),
            }
            return _on_record(self._client.volume_copy(wish))

        return self._made_volume(volume, pool, begin)

    def _made_volume(self, volume: Any, pool: str, begin: operations.Begin) -> dict[str, Any]:
        volume_id = self._made(volume, begin)
        if volume.multiattach:
            self._set_shareable(pool, volume.name, True)
        return {"provider_id": volume_id}

    def _made(self, what: Any, begin: operations.Begin) -> str:
        made = self._asked(lambda: operations.done(self._client, _operation("create", what), begin))
        volume_id = made.get("volume_id") if made else None
        if volume_id is None:
            _refuse(f"the Volward daemon does not say which LV it has made for {what.id}")
        return volume_id

    def delete_volume(self, volume: Any) -> None:
        """What is gone is deleted. What somebody has stays, and is `available` again for Cinder."""
        try:
            self._deleted(volume, volume_utils.extract_host(volume.host, "pool"), volume.name)
        except _Busy as busy:
            raise exception.VolumeIsBusy(f"volward: {busy}") from busy

    def delete_snapshot(self, snapshot: Any) -> None:
        """As a volume."""
        pool = volume_utils.extract_host(snapshot.volume.host, "pool")
        try:
            self._deleted(snapshot, pool, _snapshot_name(snapshot))
        except _Busy as busy:
            raise exception.SnapshotIsBusy(snapshot_name=f"{snapshot.id} (volward: {busy})") from busy

    def _deleted(self, what: Any, pool: str, name: str) -> None:
        """`pool` and `name`: where it was to be made."""

        def begin(operation: str) -> OperationView | None:
            found = self._present(what) if what.provider_id is not None else (pool, name)
            if found is None:
                LOG.warning("%s is deleted already: no pool has it", what.id)
                return None
            wish: VolumeDeleteRequest = {
                "id": operation,
                "pool": found[0],
                "volume": found[1],
                "hints": _hints(what),
            }
            return _on_record(self._client.volume_delete(wish))

        try:
            # Cinder does not wait for its making any more.
            made = operations.take_back(self._client, _operation("create", what))
            if what.provider_id is None and made is not None and made["state"] != operations.DONE:
                # All of it was taken back: what has its name now is somebody else's.
                return
            operations.done(self._client, _operation("delete", what), begin)
        except (Refusal, operations.Ended) as error:
            if error.code in BUSY:
                LOG.error("%s is not deleted: %s", what.id, error.sentence)
                raise _Busy(error.sentence) from error
            raise _backend(error) from error
        except VolwardError as error:
            raise _backend(error) from error

    def extend_volume(self, volume: Any, new_size: int) -> None:
        """Grown and zeroed by the daemon, or by that of the one node whose instance has it. While several
        nodes have it the daemon refuses, and nothing is changed."""
        size = new_size * GIB

        def begin(operation: str) -> OperationView:
            pool, view = self._found(volume)
            wish: VolumeExtendRequest = {
                "id": operation,
                "pool": pool["name"],
                "volume": view["name"],
                "size": size,
                "hints": _hints(volume),
            }
            return _on_record(self._client.volume_extend(wish))

        wanted = f"{_operation('extend', volume)}:{size}"
        self._asked(lambda: operations.done(self._client, wanted, begin))

    def retype(self, context: Any, volume: Any, new_type: Any, diff: Any, host: Any) -> bool:  # noqa: ARG002
        """A type says of ours only whether several instances may have the volume. Nothing is moved."""
        if host["host"] != volume.host:
            return False
        wanted = (new_type.extra_specs or {}).get("multiattach") == "<is> True"
        pool, view = self._found(volume)
        if view["shareable"] != wanted:
            self._set_shareable(pool["name"], view["name"], wanted)
        return True

    def migrate_volume(
        self,
        context: Any,  # noqa: ARG002
        volume: Any,
        host: Any,
    ) -> tuple[bool, dict[str, Any] | None]:
        """To a pool of this node's daemon, whichever service of Cinder serves it there: moved by the daemon.
        Else, and while somebody has the volume, Cinder copies it itself."""
        wanted = self._reachable(host)
        if wanted is None:
            return False, None
        # Its LV is another one when it has been moved: a move back has an id of its own.
        operation = f"{_operation('move', volume)}:{str(volume.provider_id).rpartition(':')[2]}"

        def begin(operation: str) -> OperationView:
            pool, view = self._found(volume)
            wish: VolumeMoveRequest = {
                "id": operation,
                "pool": pool["name"],
                "volume": view["name"],
                "to_pool": wanted,
                "hints": _hints(volume),
            }
            return _on_record(self._client.volume_move(wish))

        try:
            moved = operations.done(self._client, operation, begin)
        except (Refusal, operations.Ended) as error:
            if error.code in BUSY:
                LOG.info("%s is not moved by the daemon: %s", volume.id, error.sentence)
                return False, None
            raise _backend(error) from error
        except VolwardError as error:
            raise _backend(error) from error
        return True, {"provider_id": self._arrived(volume, moved, wanted)}

    def _reachable(self, host: Any) -> str | None:
        """The name of that pool, if it is one of the daemon's; two volume groups can have one name."""
        named: str = volume_utils.extract_host(host["host"], "pool")
        place = (host.get("capabilities") or {}).get("location_info")
        for pool in self._pools():
            if pool["name"] == named and place is not None and _place(pool) == place:
                return named
        return None

    def _arrived(self, volume: Any, moved: OperationView | None, wanted: str) -> str:
        volume_id = moved.get("volume_id") if moved else None
        for pool in self._pools():
            if pool["name"] == wanted and volume_id in [view["id"] for view in pool["volumes"]]:
                return str(volume_id)
        return _refuse(f"{volume.id} was moved before, and not to {wanted}: move it to where it is first")

    # What exists is taken over, and given back.

    def manage_existing_get_size(self, volume: Any, existing_ref: dict[str, str]) -> int:
        """In GiB, rounded up."""
        return _gib(self._named(volume, existing_ref))

    def manage_existing(self, volume: Any, existing_ref: dict[str, str]) -> dict[str, Any]:
        """The LV keeps its name."""
        return {"provider_id": self._named(volume, existing_ref)["id"]}

    def unmanage(self, volume: Any) -> None:
        """Nothing of it is anywhere but in Cinder's database."""

    def get_manageable_volumes(
        self, cinder_volumes: Any, marker: Any, limit: Any, offset: Any, sort_keys: Any, sort_dirs: Any
    ) -> Any:
        """Every volume of the pools; those in use, and those that Cinder has, are not to be taken."""
        have = {volume.provider_id: volume.id for volume in cinder_volumes}
        used = {(view["pool"], view["volume"]) for view in self._asked(self._client.cluster)["attachments"]}
        entries = []
        for pool in self._pools():
            for view in pool["volumes"]:
                cinder_id = have.get(view["id"])
                in_use = (pool["name"], view["name"]) in used
                marked = view.get("mark") and "being made, deleted, grown or copied"
                reason = "already managed" if cinder_id else "attached" if in_use else marked
                entries.append(
                    {
                        "reference": {"source-name": view["name"]},
                        "size": _gib(view),
                        "safe_to_manage": reason is None,
                        "reason_not_safe": reason,
                        "cinder_id": cinder_id,
                        "extra_info": {"pool": pool["name"]},
                    }
                )
        return volume_utils.paginate_entries_list(entries, marker, limit, offset, sort_keys, sort_dirs)

    # What is attached is attached by the node: nothing is exported, and nothing is taken back here.

    def validate_connector(self, connector: dict[str, Any]) -> None:
        """The node has our connector, speaks as we do, and its daemon answered."""
        theirs = connector.get(NAME)
        if not isinstance(theirs, dict):
            missing = f"{NAME}: volward-openstack is not installed on that host, or not registered there"
        elif theirs.get("api") != API:
            missing = f"{NAME}: that host's volward-openstack speaks version {theirs.get('api')}, not {API}"
        elif not theirs.get("node"):
            missing = f"{NAME}: {theirs.get('why', 'that host does not say which node it is')}"
        else:
            return
        raise exception.InvalidConnectorException(missing=missing)

    def initialize_connection(self, volume: Any, connector: Any, **_: Any) -> dict[str, Any]:
        """What nova's driver and the connector need. Whether it may be attached the node's daemon decides."""
        pool, view = self._found(volume)
        section = {"pool": pool["name"], "volume": view["name"], "access": _access(volume, connector)}
        return {
            "driver_volume_type": NAME,
            "data": {NAME: section, "volume_id": volume.id, "discard": False},
        }

    def terminate_connection(self, volume: Any, connector: Any, **_: Any) -> bool:  # noqa: ARG002
        """Leases are the nodes': a node that is dead lets go when sanlock says so. No target is shared."""
        return False

    def ensure_export(self, context: Any, volume: Any) -> None:
        """There is nothing to export."""

    def create_export(self, context: Any, volume: Any, connector: Any) -> None:
        """There is nothing to export."""

    def remove_export(self, context: Any, volume: Any) -> None:
        """There is nothing to export."""

    def _pools(self) -> list[PoolView]:
        return [pool for pool in self._asked(self._client.pools) if pool["kind"] == "shared"]

    def _named(self, volume: Any, existing_ref: dict[str, str]) -> VolumeView:
        pool_name = volume_utils.extract_host(volume.host, "pool")
        name = existing_ref.get("source-name")
        for pool in self._pools():
            for view in pool["volumes"]:
                if (pool["name"], view["name"]) == (pool_name, name):
                    return view
        raise exception.ManageExistingInvalidReference(
            existing_ref=existing_ref, reason=f"there is no volume {name} (source-name) in pool {pool_name}"
        )

    def _found(self, volume: Any) -> tuple[PoolView, VolumeView]:
        pools = self._pools()
        for pool in pools:
            for view in pool["volumes"]:
                if view["id"] == volume.provider_id:
                    return pool, view
        troubles = [f"pool {pool['name']}: {pool['trouble']}" for pool in pools if pool.get("trouble")]
        return _refuse(
            "; ".join(troubles) or f"no pool has volume {volume.id}, whose LV is {volume.provider_id}"
        )

    def _present(self, what: Any) -> tuple[str, str] | None:
        """Pool and name as it is called now; None if it is gone."""
        pools = self._pools()
        for pool in pools:
            for view in pool["volumes"]:
                if view["id"] == what.provider_id:
                    return pool["name"], view["name"]
        for pool in pools:
            if pool.get("trouble"):
                _refuse(f"whether {what.id} is gone is not known: {pool['name']}: {pool['trouble']}")
        return None

    def _set_shareable(self, pool: str, volume: str, shareable: bool) -> None:
        wish: VolumeSetRequest = {"pool": pool, "volume": volume, "shareable": shareable}
        self._asked(lambda: self._client.volume_set(wish))

    def _asked(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except VolwardError as error:
            raise _backend(error) from error


def _access(volume: Any, connector: Any) -> Access:
    """This attachment's. Cinder's `access_mode` is the volume's last one, and for who is no administrator it
    does not even say that a volume was marked as read-only."""
    mark = db.volume_admin_metadata_get(context.get_admin_context(), volume.id).get("readonly")
    # Where there was ever such a mark, also one that was taken off, Cinder makes each attachment's mode `ro`.
    is_read_only = mark == "True" or (mark is None and connector.get("mode") == "ro")
    return "read-only" if is_read_only else "read-write"


def _backend(error: VolwardError) -> Exception:
    return exception.VolumeBackendAPIException(data=f"volward: {error.sentence}")  # type: ignore[no-any-return]


def _hints(what: Any) -> list[tuple[str, str]]:
    """For policies: a limit of a tenant's volumes, say. A project of Cinder's own work has none."""
    project = what.project_id
    return [("project-id", str(project))] if project else []


class _Busy(Exception):
    """Somebody has it, or something else is done with it: a sentence."""


def _operation(what: str, of: Any) -> str:
    return f"cinder:{what}:{of.id}"


def _snapshot_name(snapshot: Any) -> str:
    # LVM keeps names that begin with `snapshot` for itself.
    return f"snap-{snapshot.id}"


def _on_record(reply: OperationReply) -> OperationView:
    view = reply.get("operation")
    if view is None:
        raise VolwardError("the Volward daemon's answer says nothing of the operation that was asked for")
    return view


def _refuse(sentence: str) -> NoReturn:
    raise exception.VolumeBackendAPIException(data=f"volward: {sentence}")


def _place(pool: PoolView) -> str | None:
    """What tells a pool from all others, for whoever compares."""
    uuid = pool.get("vg_uuid")
    return None if uuid is None else f"{NAME}:{uuid}"


def _gib(view: VolumeView) -> int:
    return math.ceil(view["size"] / GIB)


def _stats(pool: PoolView, reserved: int) -> dict[str, Any]:
    return {
        "pool_name": pool["name"],
        "location_info": _place(pool),
        "total_capacity_gb": pool["size"] / GIB,
        # A pool that is in trouble makes nothing.
        "free_capacity_gb": 0 if pool.get("trouble") else pool["free"] / GIB,
        "reserved_percentage": reserved,
        "thin_provisioning_support": False,
        "thick_provisioning_support": True,
        "multiattach": True,
        "consistent_group_snapshot_enabled": True,
        "online_extend_support": True,
        "QoS_support": False,
        "total_volumes": len(pool["volumes"]),
        "backend_state": "down" if pool.get("trouble") else "up",
    }
