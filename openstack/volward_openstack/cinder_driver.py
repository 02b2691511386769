"""Cinder's driver of volumes that exist. An operator makes them with LVM; Cinder takes them over, and gives
nova what its driver needs. None is made, grown, copied or deleted here: the daemon does not serve that yet.

cinder-volume asks the daemon of its own node, and only looks.
"""

import math
from typing import Any, NoReturn

from cinder import exception, interface
from cinder.volume import driver, volume_utils

from volward_openstack import __version__, register
from volward_openstack.attachments import API, NAME
from volward_openstack.client import Client, socket_path
from volward_openstack.problems import VolwardError
from volward_openstack.shapes import PoolView, VolumeView

GIB = 1 << 30

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
            "pools": [_stats(pool) for pool in pools],
        }

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
                reason = "already managed" if cinder_id else "attached" if in_use else None
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

    def initialize_connection(self, volume: Any, connector: Any, **_: Any) -> dict[str, Any]:  # noqa: ARG002
        """What nova's driver and the connector need. Whether it may be attached the node's daemon decides."""
        pool, view = self._found(volume)
        section = {"pool": pool["name"], "volume": view["name"]}
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

    # What the daemon does not do is refused, also where Cinder's scheduler was passed by: that sees no room.

    def delete_volume(self, volume: Any) -> None:
        """Refused, and the volume stays `available`."""
        raise exception.VolumeIsBusy(
            f"Volward deletes no volumes yet: unmanage volume {volume.id}, and remove its LV with lvremove"
        )

    def create_volume(self, volume: Any) -> None:
        """Refused."""
        _refuse(f"volume {volume.id} cannot be made: make an LV with lvcreate, and let Cinder manage it")

    def create_volume_from_snapshot(self, volume: Any, snapshot: Any) -> None:
        """Refused."""
        _refuse(f"volume {volume.id} cannot be made of snapshot {snapshot.id}")

    def create_cloned_volume(self, volume: Any, src_vref: Any) -> None:
        """Refused."""
        _refuse(f"volume {volume.id} cannot be made of volume {src_vref.id}")

    def extend_volume(self, volume: Any, new_size: int) -> None:
        """Refused."""
        _refuse(f"volume {volume.id} cannot grow to {new_size} GiB")

    def create_snapshot(self, snapshot: Any) -> None:
        """Refused."""
        _refuse(f"no snapshot of volume {snapshot.volume_id} can be made")

    def delete_snapshot(self, snapshot: Any) -> None:
        """There is none: what was refused is left in Cinder's database, and goes."""

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

    def _asked(self, call: Any) -> Any:
        try:
            return call()
        except VolwardError as error:
            raise exception.VolumeBackendAPIException(data=error.sentence) from error


def _refuse(sentence: str) -> NoReturn:
    raise exception.VolumeBackendAPIException(data=f"volward: {sentence}")


def _gib(view: VolumeView) -> int:
    return math.ceil(view["size"] / GIB)


def _stats(pool: PoolView) -> dict[str, Any]:
    return {
        "pool_name": pool["name"],
        "total_capacity_gb": pool["size"] / GIB,
        # What Cinder may fill: nothing. Its scheduler refuses what we cannot do before it is begun.
        "free_capacity_gb": 0,
        "reserved_percentage": 0,
        "thin_provisioning_support": False,
        "thick_provisioning_support": True,
        "multiattach": True,
        "online_extend_support": False,
        "QoS_support": False,
        "total_volumes": len(pool["volumes"]),
        "backend_state": "down" if pool.get("trouble") else "up",
    }
