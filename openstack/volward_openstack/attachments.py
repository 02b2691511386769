"""From what Cinder and nova say of a volume to a request, and from the answer back. Imports neither."""

import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from volward_openstack.client import SOCKET, Client
from volward_openstack.problems import NoDaemon, NotAllowed, Refusal, VolwardError
from volward_openstack.shapes import (
    Access,
    Attached,
    AttachmentView,
    AttachReply,
    AttachRequest,
    DetachReply,
    DiskRequest,
    Purpose,
)

LOG = logging.getLogger(__name__)

# The name of our connection information, in `driver_volume_type` and in `data`.
NAME = "volward"
# Raised when what we say to Cinder, or it to us, changes its meaning.
API = 1

# A migration's two nodes have the volume one after the other, and what else passes by itself takes seconds.
# Longer than this nobody is kept waiting: the sentence says when to ask again.
OVERLAP = 30.0
# os-brick asks all connectors before every attach of whatever kind of storage, and we are one of many: where
# the daemon is down that is known at once, where it hangs all wait for so long. A node that has much to do
# answers after a second or two, and without an answer Cinder lets nothing of ours be attached there.
PROPERTIES_PATIENCE = 4.0
# Where the daemon has the devices of attachments.
DEVICES = "/dev/volward"
# Between two looks at a device that is to become longer.
_LOOK = 0.5
# What a hint may have at most; more is refused by the daemon.
_HINT_BYTES = 1024


class BadProperties(VolwardError):
    """Connection information that is not ours, or lacks what we need."""


@dataclass(frozen=True)
class Disk:
    """A volume that is wanted, as Cinder says it."""

    pool: str
    volume: str
    access: Access
    shared: bool

    def __str__(self) -> str:
        return f"{self.pool}/{self.volume}"


@dataclass(frozen=True)
class Owner:
    """Whose the attachment is: an instance, or a service that reads and writes the volume itself."""

    uuid: str
    name: str
    purpose: Purpose
    hints: list[tuple[str, str]] = field(default_factory=list)


def disk(properties: Mapping[str, Any]) -> Disk:
    """The volume that connection properties are of.

    `properties["volward"]` has `pool`, `volume` and `access`, which is this attachment's. Where there is
    none, `access_mode` counts, which Cinder has for the whole volume.
    """
    ours = properties.get(NAME)
    if not isinstance(ours, Mapping) or not all(isinstance(ours.get(key), str) for key in ("pool", "volume")):
        raise BadProperties(
            f"the connection information has no pool and volume under {NAME!r}: it is of another driver"
        )
    access = ours.get("access", "read-only" if properties.get("access_mode") == "ro" else "read-write")
    if access not in get_args(Access):
        raise BadProperties(f"the access {access!r} is none of {', '.join(get_args(Access))}")
    return Disk(ours["pool"], ours["volume"], access, bool(properties.get("multiattach")))


def owner(properties: Mapping[str, Any], host: str) -> Owner:
    """Whose the attachment is: nova's driver says the instance; who says nothing is a service of `host`,
    which has the same id whenever it asks about the same volume."""
    ours = properties.get(NAME)
    instance = ours.get("instance") if isinstance(ours, Mapping) else None
    if isinstance(instance, Mapping):
        hints = [(str(key), _short(str(value))) for key, value in instance.get("hints", {}).items()]
        return Owner(instance["uuid"], instance["name"], instance["purpose"], hints)
    wanted = disk(properties)
    own = uuid.uuid5(uuid.NAMESPACE_URL, f"{NAME}:service:{host}:{wanted}")
    return Owner(str(own), f"service on {host}"[:256], {"other": "volume-service"})


def attach(client: Client, wanted: Disk, whose: Owner) -> Attached:
    """Attaches, and says what was granted; it may be read-only for read-write.

    What the daemon would grant in a moment is asked for again, for half a minute. If nobody waits for the
    answer any more, the daemon takes back what it has begun.
    """
    reply = _asked(client, wanted, whose, _request(wanted, whose))
    for note in reply.get("notes", []):
        LOG.warning("%s for %s: %s", wanted, whose.uuid, note)
    for attached in reply["attached"]:
        if (attached["pool"], attached["volume"]) == (wanted.pool, wanted.volume):
            return _understood(client, wanted, whose, attached)
    raise VolwardError(f"the Volward daemon's answer does not name {wanted}, which was asked for")


def arrives(client: Client, wanted: Disk, whose: Owner) -> str:
    """Says whether the volume would be given to an instance that migrates to this node, and the device that
    it would have. Nothing is attached: the daemon of the source shares the volume when its libvirt migrates
    the instance and not before, and then this node's libvirt has its hook ask for it.
    """
    request = {**_request(wanted, whose), "dry_run": True}
    _asked(client, wanted, whose, request)  # type: ignore[arg-type]
    return f"{DEVICES}/{whose.uuid}/{wanted}"


def size(client: Client, wanted: Disk, whose: Owner, at_least: int = 0) -> int | None:
    """The bytes of the device that the instance has; None where it has none here. Whoever has made the volume
    larger has lengthened the device by then, and it is looked at for half a minute.

    Raises a VolwardError where it is shorter than that.
    """
    end = time.monotonic() + OVERLAP
    while True:
        views = [view for view in client.attachments() if _is_of(view, wanted, whose)]
        # What is only asked for has no device yet.
        views = [view for view in views if view.get("device")]
        if not views:
            return None
        found = views[0].get("size")
        if found is not None and found >= at_least:
            return found
        if time.monotonic() + _LOOK > end:
            has = "an unknown number of" if found is None else found
            raise VolwardError(
                f"the device of {wanted} has {has} bytes, and {at_least} were asked for; it has the size of "
                "its volume once it is detached and attached again"
            )
        time.sleep(_LOOK)


def detach(client: Client, wanted: Disk, whose: Owner) -> DetachReply:
    """Detaches; what is not attached is no error. What the daemon tries again by itself is done for us."""
    try:
        reply = client.detach({"instance": whose.uuid, "volumes": [(wanted.pool, wanted.volume)]})
    except Refusal as refusal:
        if refusal.kind == "not-found":
            return {"detached": []}
        raise
    except (NoDaemon, NotAllowed) as error:
        raise type(error)(
            f"{error}; the volume stays attached until it is detached again, or with: volward detach "
            f"{whose.uuid} {wanted}"
        ) from error
    for again in reply.get("trying_again", []):
        LOG.warning("the detach of %s is tried again by the daemon: %s", wanted, again["cause"])
    return reply


def paths(client: Client, wanted: Disk, whose: Owner) -> list[str]:
    """The device that the volume is attached by; none if it is not."""
    views = (view for view in client.attachments() if _is_of(view, wanted, whose))
    devices = (view.get("device") for view in views)
    return [device for device in devices if device]


def all_paths(client: Client) -> list[str]:
    """The devices of everything that is attached on this node."""
    devices = (view.get("device") for view in client.attachments())
    return [device for device in devices if device]


def node_properties(path: str = SOCKET) -> dict[str, Any]:
    """What this node tells Cinder. Never raises, and takes no longer than that: os-brick asks before every
    attach of the host, of any storage. Without an answer it says why, so that Cinder's driver can refuse
    with that sentence.
    """
    ours: dict[str, Any] = {"api": API, "node": None}
    try:
        ours["node"] = Client(path).status(PROPERTIES_PATIENCE)["node"]
    except VolwardError as error:
        ours["why"] = error.sentence
    except Exception as error:
        LOG.exception("asking the Volward daemon for its node")
        ours["why"] = f"{type(error).__name__}: {error}"
    return {NAME: ours}


def _is_of(view: AttachmentView, wanted: Disk, whose: Owner) -> bool:
    return (view["pool"], view["volume"], view["instance"]) == (wanted.pool, wanted.volume, whose.uuid)


def _asked(client: Client, wanted: Disk, whose: Owner, request: AttachRequest) -> AttachReply:
    """What passes by itself is asked for again, for half a minute."""
    end = time.monotonic() + OVERLAP
    while True:
        try:
            return client.attach(request)
        except Refusal as refusal:
            seconds = pause(refusal)
            if seconds is None or time.monotonic() + seconds > end:
                raise
            LOG.info("%s for %s: %s", wanted, whose.uuid, refusal.sentence)
            time.sleep(seconds)


def _request(wanted: Disk, whose: Owner) -> AttachRequest:
    wish: DiskRequest = {
        "pool": wanted.pool,
        "volume": wanted.volume,
        "access": wanted.access,
        # Who has the device opens it as it was granted: see nova_driver.
        "accept_narrowing": True,
    }
    # Else nothing is said, as by libvirt's hook for the same disk: what is attached as exclusive is refused
    # to who asks for it as shared, which read-only access to a shareable volume is.
    if wanted.shared:
        wish["sharing"] = "shared"
    request: AttachRequest = {
        "instance": whose.uuid,
        "instance_name": whose.name,
        "purpose": whose.purpose,
        "disks": [wish],
        "only_while_waiting": True,
    }
    if whose.hints:
        request["hints"] = whose.hints
    return request


def pause(refusal: Refusal) -> float | None:
    """Seconds until asking again makes sense; a policy's denial and a failure are not asked again."""
    if refusal.kind != "refused" or refusal.retry_after_ms is None:
        return None
    return max(refusal.retry_after_ms / 1000, 0.1)


def _understood(client: Client, wanted: Disk, whose: Owner, attached: Attached) -> Attached:
    if attached["access"] in get_args(Access):
        return attached
    # What was there before may be in use.
    if not attached.get("already", False):
        detach(client, wanted, whose)
    raise VolwardError(
        f"{wanted} was granted with the access {attached['access']!r}, which this version does not know"
    )


def _short(value: str) -> str:
    return value.encode()[:_HINT_BYTES].decode(errors="ignore")
