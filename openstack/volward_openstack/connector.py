"""os-brick's connector: attach and detach on this node are asked of volwardd. Nothing is run as root here.

Whatever the daemon says no to becomes a BrickException with its sentence.
"""

import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import Any

from os_brick import exception, utils
from os_brick.initiator.connectors import base

from volward_openstack import attachments
from volward_openstack.client import Client, socket_path
from volward_openstack.problems import VolwardError

LOG = logging.getLogger(__name__)


class VolwardBrickError(exception.BrickException):
    """The daemon's sentence, for os-brick's callers."""

    message = "volward: %(sentence)s"


@contextlib.contextmanager
def _as_brick() -> Iterator[None]:
    try:
        yield
    except VolwardError as error:
        raise VolwardBrickError(sentence=error.sentence) from error


class VolwardConnector(base.BaseLinuxConnector):
    """Volumes of Volward's pools. The connection properties are described in docs/openstack.md."""

    def __init__(self, root_helper: str, driver: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(root_helper, driver=driver, *args, **kwargs)  # noqa: B026
        self._client = Client(socket_path())
        # Whose an attachment is that is of no instance.
        self._host = socket.gethostname()

    @staticmethod
    def get_connector_properties(root_helper: str, *args: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ARG004
        """The node's name in Volward, which is not nova's; or why it is not known."""
        return attachments.node_properties(socket_path())

    @utils.connect_volume_prepare_result  # An encryptor puts its own device in place of the path it is given.
    def connect_volume(self, connection_properties: dict[str, Any]) -> dict[str, Any]:
        """Attaches. `path` is for the caller, `device` the attachment's own, `access` what was granted."""
        with _as_brick():
            whose = attachments.owner(connection_properties, self._host)
            granted = attachments.attach(self._client, attachments.disk(connection_properties), whose)
        return {
            "type": "block",
            "path": granted["device"],
            "device": granted["device"],
            "access": granted["access"],
            # Where no link for an encryptor can be made, this is what os-brick calls disconnect_volume with.
            attachments.NAME: connection_properties[attachments.NAME],
        }

    @utils.connect_volume_undo_prepare_result(unlink_after=True)
    def disconnect_volume(
        self,
        connection_properties: dict[str, Any],
        device_info: dict[str, Any] | None = None,  # noqa: ARG002
        force: bool = False,
        ignore_errors: bool = False,
    ) -> None:
        """Detaches. What is not attached is no error; the daemon's own tries again are left to it."""
        try:
            with _as_brick():
                whose = attachments.owner(connection_properties, self._host)
                attachments.detach(self._client, attachments.disk(connection_properties), whose)
        except VolwardBrickError as error:
            if not (force and ignore_errors):
                raise
            LOG.warning("a volume is not detached: %s", error)

    def arriving_volume(self, connection_properties: dict[str, Any]) -> dict[str, Any]:
        """What connect_volume answers, for an instance that migrates to this node: the volume is attached by
        libvirt's hook, when the migration has begun. What would be refused then is refused now."""
        with _as_brick():
            whose = attachments.owner(connection_properties, self._host)
            wanted = attachments.disk(connection_properties)
            device = attachments.arrives(self._client, wanted, whose)
        return {"type": "block", "path": device, "device": device, "access": wanted.access}

    @utils.connect_volume_undo_prepare_result
    def extend_volume(self, connection_properties: dict[str, Any], requested_size: int = 0) -> int:
        """The bytes of the device, which whoever made the volume larger has lengthened; those that were asked
        for where the volume is not attached."""
        with _as_brick():
            whose = attachments.owner(connection_properties, self._host)
            wanted = attachments.disk(connection_properties)
            found = attachments.size(self._client, wanted, whose, requested_size)
        return requested_size if found is None else found

    def get_volume_paths(self, connection_properties: dict[str, Any]) -> list[str]:
        """The device, while the volume is attached."""
        with _as_brick():
            whose = attachments.owner(connection_properties, self._host)
            return attachments.paths(self._client, attachments.disk(connection_properties), whose)

    def get_search_path(self) -> str:
        """Where the devices are."""
        return attachments.DEVICES

    def get_all_available_volumes(self, connection_properties: Any = None) -> list[str]:  # noqa: ARG002
        """The devices of all attachments of this node."""
        with _as_brick():
            return attachments.all_paths(self._client)
