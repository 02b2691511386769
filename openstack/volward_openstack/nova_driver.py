"""nova's side: the driver of our volumes, and nova's libvirt driver with the few things that differ.

nova shows the person who asked the text of a NovaException, and of any other exception its class only; so
whatever the daemon says no to becomes one here, with its sentence.
"""

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any

from nova import exception, utils
from nova.compute import task_states, vm_states
from nova.conf import CONF
from nova.virt import driver as virt_driver
from nova.virt.libvirt import driver as libvirt_driver
from nova.virt.libvirt.volume import volume as libvirt_volume
from os_brick import exception as brick_exception
from os_brick.initiator import connector as brick_connector
from oslo_config import cfg

from volward_openstack import copies
from volward_openstack.attachments import NAME
from volward_openstack.client import Client, socket_path
from volward_openstack.problems import VolwardError

LOG = logging.getLogger(__name__)

# Of the time in which a node's nova has to answer the other one's, what is waited for a copy. The rest is for
# what comes before and after.
_SHARE = 0.75


class VolwardVolumeError(exception.NovaException):
    """The daemon's sentence, for nova's API."""

    msg_fmt = "%(sentence)s"


@contextlib.contextmanager
def _as_nova() -> Iterator[None]:
    try:
        yield
    except brick_exception.BrickException as error:
        raise VolwardVolumeError(sentence=str(error)) from error


class LibvirtVolwardVolumeDriver(libvirt_volume.LibvirtVolumeDriver):
    """Volumes whose `driver_volume_type` is `volward`."""

    def __init__(self, host: Any) -> None:
        super().__init__(host)
        self.connector = brick_connector.InitiatorConnector.factory(
            NAME, utils.get_root_helper(), device_scan_attempts=1
        )

    def get_config(self, connection_info: dict[str, Any], disk_info: dict[str, Any]) -> Any:
        """The disk for libvirt: read-only where no more than that was granted."""
        conf = super().get_config(connection_info, disk_info)
        conf.driver_io = "native"
        ours = connection_info["data"].get(NAME, {})
        if ours.get("granted") == "read-only":
            # qemu starts no guest that is to write to what it cannot write to.
            conf.readonly = True
        # What nova 34 calls volume_encryption was encryption in nova 26.
        by_qemu = getattr(conf, "encryption", None) or getattr(conf, "volume_encryption", None)
        if by_qemu is not None and "device" in ours:
            # qemu decrypts, and no encryptor takes the link that os-brick has made for one. libvirt's hook
            # refuses links to our devices.
            conf.source_path = ours["device"]
        return conf

    def connect_volume(self, connection_info: dict[str, Any], instance: Any) -> None:
        """Attaches the volume to the instance on this node.

        Where the instance migrates to this node, it is still the source's, whose daemon shares it once
        libvirt migrates the instance: then this node's libvirt asks for it, by its hook.
        """
        properties = _properties(connection_info, instance)
        with _as_nova():
            if instance.task_state == task_states.MIGRATING:
                info = self.connector.arriving_volume(properties)
            else:
                info = self.connector.connect_volume(properties)
        data = connection_info["data"]
        data["device_path"] = info["path"]
        # nova asks for the configuration after this, and keeps the connection information.
        data[NAME] = {**data[NAME], "granted": info["access"], "device": info["device"]}

    def disconnect_volume(self, connection_info: dict[str, Any], instance: Any, force: bool = False) -> None:
        """Detaches it."""
        with _as_nova():
            self.connector.disconnect_volume(_properties(connection_info, instance), None, force=force)

    def extend_volume(self, connection_info: dict[str, Any], instance: Any, requested_size: int) -> int:
        """The bytes of the device, which the daemon has lengthened when it made the volume larger."""
        with _as_nova():
            return int(self.connector.extend_volume(_properties(connection_info, instance), requested_size))


class LibvirtDriver(libvirt_driver.LibvirtDriver):
    """nova's libvirt driver: `compute_driver = volward.LibvirtDriver`."""

    def _should_disconnect_target(
        self, context: Any, instance: Any, multiattach: Any, vol_driver: Any, volume_id: Any
    ) -> bool:
        # nova leaves a volume connected that another instance of the node has too. Each of ours has an
        # attachment of its own, and what is left would keep its lease.
        if isinstance(vol_driver, LibvirtVolwardVolumeDriver):
            return True
        theirs = super()._should_disconnect_target(context, instance, multiattach, vol_driver, volume_id)
        return bool(theirs)

    def check_can_live_migrate_source(
        self, context: Any, instance: Any, dest_check_data: Any, block_device_info: Any = None
    ) -> Any:
        """nova's checks; then what of the instance's volumes is in a local copy of this node is brought home,
        under the guest. Nothing is prepared at the destination yet, which waits for this answer."""
        begun = time.monotonic()
        checked = super().check_can_live_migrate_source(context, instance, dest_check_data, block_device_info)
        within = _SHARE * _answered_within() - (time.monotonic() - begun)
        try:
            copies.come_home(Client(socket_path()), _volumes(block_device_info), within)
        except VolwardError as error:
            # The other node's nova knows nova's own exceptions only.
            raise exception.MigrationPreCheckError(reason=f"{NAME}: {error.sentence}") from error
        return checked


def _answered_within() -> float:
    """Seconds that the destination's nova waits for the source's answer."""
    try:
        return float(CONF.rpc_response_timeout)
    except cfg.NoSuchOptError:
        # oslo.messaging has the option once something is sent; this is its default.
        return 60.0


def _volumes(block_device_info: Any) -> list[copies.Volume]:
    """Ours among an instance's volumes."""
    found = []
    for mapping in virt_driver.block_device_info_get_mapping(block_device_info):
        information = mapping["connection_info"] or {}
        ours = information.get("data", {}).get(NAME)
        if information.get("driver_volume_type") == NAME and isinstance(ours, dict):
            found.append((ours["pool"], ours["volume"]))
    return found


def _properties(connection_info: dict[str, Any], instance: Any) -> dict[str, Any]:
    """For the connector: whose it is as well, which os-brick is not told otherwise."""
    data = connection_info["data"]
    ours = data.get(NAME)
    if not isinstance(ours, dict):
        # The connector says what is missing.
        return dict(data)
    hints = {
        "display-name": instance.display_name,
        "project-id": instance.project_id,
        "user-id": instance.user_id,
        "volume-id": connection_info.get("serial") or data.get("volume_id"),
    }
    whose = {
        "uuid": instance.uuid,
        # As libvirt calls it: its hook asks by that name too.
        "name": instance.name,
        "purpose": _purpose(instance),
        "hints": {key: value for key, value in hints.items() if value},
    }
    multiattach = bool(connection_info.get("multiattach") or data.get("multiattach"))
    return {**data, "multiattach": multiattach, NAME: {**ours, "instance": whose}}


def _purpose(instance: Any) -> str:
    """nova has a task for everything but the attach of a volume to an instance as it is."""
    if instance.task_state == task_states.MIGRATING:
        return "migration-in"
    runs = instance.vm_state in (vm_states.ACTIVE, vm_states.PAUSED)
    return "hot-plug" if instance.task_state is None and runs else "boot"
