"""What travels, as types: the part of docs/openapi.json that this package uses. A test compares the two.

Members that a reply has beyond these are kept and not looked at: a later daemon may add some. Words of a
reply (`access`, `state`, ...) are text, since a later daemon may add words.
"""

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, TypedDict, TypeVar, Union, get_args, get_origin, get_type_hints

Access = Literal["read-write", "read-only"]
Sharing = Literal["exclusive", "shared"]

T = TypeVar("T")


class OtherPurpose(TypedDict):
    """A purpose in the caller's own word, 64 bytes at most."""

    other: str


Purpose = Literal["boot", "hot-plug", "migration-in", "restore"] | OtherPurpose


class DiskRequest(TypedDict):
    """One disk that an attach asks for. Without `sharing`: shared where it is read-only and the volume is
    shareable, else exclusive."""

    pool: str
    volume: str
    access: Access
    sharing: NotRequired[Sharing]
    accept_narrowing: NotRequired[bool]


class AttachRequest(TypedDict):
    """`POST /v1/attach`: all disks, or none."""

    instance: str
    instance_name: str
    purpose: Purpose
    disks: list[DiskRequest]
    hints: NotRequired[list[tuple[str, str]]]
    dry_run: NotRequired[bool]
    only_while_waiting: NotRequired[bool]


class Attached(TypedDict):
    """A disk that is attached: what was granted, and the device to open."""

    pool: str
    volume: str
    device: str
    access: str
    sharing: str
    already: NotRequired[bool]


class AttachReply(TypedDict):
    """The disks, in the order asked for; remarks for people; the steps, where only these were asked for."""

    request: str
    attached: list[Attached]
    notes: NotRequired[list[str]]
    plan: NotRequired[list[str]]


class DetachRequest(TypedDict):
    """`POST /v1/detach`: these volumes (pool, name); without them all that the instance has here."""

    instance: str
    volumes: NotRequired[list[tuple[str, str]]]
    dry_run: NotRequired[bool]


class Detached(TypedDict):
    """A disk that is gone from the instance; its copy may still be on its way back to the pool."""

    pool: str
    volume: str
    writing_back: NotRequired[bool]


class TryingAgain(TypedDict):
    """A disk whose detach the daemon tries again by itself until it is done."""

    pool: str
    volume: str
    cause: str


class DetachReply(TypedDict):
    """What was not attached is in neither list."""

    detached: list[Detached]
    trying_again: NotRequired[list[TryingAgain]]
    notes: NotRequired[list[str]]
    plan: NotRequired[list[str]]


class ConfirmRequest(TypedDict):
    """`POST /v1/confirm`: what became of an instance."""

    instance: str
    event: Literal["start", "started", "stopped", "reconnect", "attach"]
    volumes: list[tuple[str, str]]


class ConfirmReply(TypedDict):
    """Those of the volumes that the instance has not attached here."""

    missing: list[tuple[str, str]]


class AttachmentView(TypedDict):
    """An attachment. Of this node's own only: `device` and its `size` in bytes; what is only asked for has
    none. Who has asked for it (`claims`), and for what, where less was granted (`asked`), as far as its node
    tells."""

    node: str
    instance: str
    pool: str
    volume: str
    access: str
    sharing: str
    state: str
    since_ms: int
    causes: list[str]
    device: NotRequired[str | None]
    size: NotRequired[int | None]
    asked: NotRequired[str | None]
    claims: NotRequired[list[str]]


class ClusterReply(TypedDict):
    """Attachments of all nodes, and a sentence for each place that cannot be read: there may be more then."""

    attachments: list[AttachmentView]
    unreadable: list[str]


class VolumeStatusView(TypedDict):
    """What is done with a volume, in a word; how many attachments are how far; `why` where it is a fault."""

    word: str
    attached: int
    attaching: int
    detaching: int
    fault: int
    why: NotRequired[list[str]]


class VolumeView(TypedDict):
    """A volume of a pool; `size` in bytes; `mark` while an operation makes, deletes or grows it; `status`
    where the nodes of its pool can be asked."""

    name: str
    id: str
    size: int
    shareable: bool
    home: str
    mark: NotRequired[str | None]
    status: NotRequired[VolumeStatusView | None]


class PoolView(TypedDict):
    """A pool; `size` and `free` in bytes, and `trouble` where it cannot be read. `vg_uuid`: its identity,
    where it can be read."""

    name: str
    vg_uuid: NotRequired[str | None]
    kind: str
    size: int
    free: int
    volumes: list[VolumeView]
    trouble: NotRequired[str | None]


class VolumeSetRequest(TypedDict):
    """`POST /v1/volumes/set`: whether several instances may write to the volume at once."""

    pool: str
    volume: str
    shareable: bool


class VolumeCreateRequest(TypedDict):
    """`POST /v1/volumes/create`: a volume that reads as zeroes, of `size` bytes at least. `id`: what the
    caller calls the operation, by which a retry finds it."""

    id: NotRequired[str]
    pool: str
    volume: str
    size: int
    hints: NotRequired[list[tuple[str, str]]]
    dry_run: NotRequired[bool]


class VolumeDeleteRequest(TypedDict):
    """`POST /v1/volumes/delete`: one that is gone is done."""

    id: NotRequired[str]
    pool: str
    volume: str
    hints: NotRequired[list[tuple[str, str]]]
    dry_run: NotRequired[bool]


class VolumeExtendRequest(TypedDict):
    """`POST /v1/volumes/extend`: `size` bytes at least afterwards; one that has them is done."""

    id: NotRequired[str]
    pool: str
    volume: str
    size: int
    hints: NotRequired[list[tuple[str, str]]]
    dry_run: NotRequired[bool]


class VolumeCopyRequest(TypedDict):
    """`POST /v1/volumes/copy`: a new volume with the content of another one, `size` bytes at least."""

    id: NotRequired[str]
    pool: str
    volume: str
    to_pool: NotRequired[str]
    to_volume: str
    size: NotRequired[int]
    hints: NotRequired[list[tuple[str, str]]]
    dry_run: NotRequired[bool]


class VolumeMoveRequest(TypedDict):
    """`POST /v1/volumes/move`: a volume that nobody has goes to another pool, under the name that it has."""

    id: NotRequired[str]
    pool: str
    volume: str
    to_pool: str
    to_volume: NotRequired[str]
    hints: NotRequired[list[tuple[str, str]]]
    dry_run: NotRequired[bool]


class VolumeSnapshotRequest(TypedDict):
    """`POST /v1/volumes/snapshot`: a new volume of the same pool that holds this moment."""

    id: NotRequired[str]
    pool: str
    volume: str
    snapshot: str
    hints: NotRequired[list[tuple[str, str]]]
    dry_run: NotRequired[bool]


class SnapshotOf(TypedDict):
    """One of `POST /v1/volumes/snapshots`."""

    pool: str
    volume: str
    snapshot: str


class VolumeSnapshotsRequest(TypedDict):
    """`POST /v1/volumes/snapshots`: new volumes that hold one and the same moment, all or none."""

    id: NotRequired[str]
    snapshots: list[SnapshotOf]
    hints: NotRequired[list[tuple[str, str]]]
    dry_run: NotRequired[bool]


class OperationCancelRequest(TypedDict):
    """`POST /v1/operations/cancel`: it is taken back, before its commit point."""

    id: str


class OperationView(TypedDict):
    """An operation on a volume as it stands. `state`: `done`, `cancelled` and `failed` are ends. `code` and
    `message`: why it failed; `trouble`: why it does not get on, which is tried again;
    `note`: of one that is done, that there was nothing to do."""

    id: str
    operation: str
    pool: str
    volume: str
    source: NotRequired[str | None]
    to: NotRequired[str | None]
    disk: NotRequired[str | None]
    group: NotRequired[str | None]
    volume_id: NotRequired[str | None]
    size: NotRequired[int | None]
    state: str
    done: int
    total: int
    code: NotRequired[str | None]
    message: NotRequired[str | None]
    trouble: NotRequired[str | None]
    note: NotRequired[str | None]
    started_ms: int
    changed_ms: int


class OperationReply(TypedDict):
    """How the operation stands; the steps, where only these were asked for."""

    operation: NotRequired[OperationView | None]
    plan: NotRequired[list[str]]


class OperationsReply(TypedDict):
    """How each operation stands, in the request's order; the steps, where only these were asked for."""

    operations: list[OperationView]
    plan: NotRequired[list[str]]


class HydrationView(TypedDict):
    """A local copy, on its way here or home. `done` and `total` in bytes; `remaining_ms` where the rate tells
    it; `trouble`: the last thing that went wrong."""

    pool: str
    volume: str
    state: str
    done: int
    total: int
    remaining_ms: NotRequired[int | None]
    trouble: NotRequired[str | None]


class BringHomeRequest(TypedDict):
    """`POST /v1/hydrations/home`: a volume, as `POOL/NAME`, whose copy is to come home under its guest."""

    volume: str
    dry_run: NotRequired[bool]


class BringHomeReply(TypedDict):
    """Whether it was begun; else it is at home, or on its way."""

    begun: bool
    plan: NotRequired[list[str]]


class DoctorCheck(TypedDict):
    """One finding: its verdict, what was found, and what to do about it."""

    name: str
    verdict: str
    found: str
    refuses_read_write: bool
    remedy: NotRequired[str | None]


class DoctorReply(TypedDict):
    """What was looked at on the node; the shared pools that it is about."""

    checks: list[DoctorCheck]
    pools: NotRequired[list[str]]
    cut_off: NotRequired[list[str]]
    unfinished: NotRequired[list[str]]
    unanswered: NotRequired[list[str]]


class StatusReply(TypedDict):
    """The daemon in a few words."""

    version: str
    node: str
    quarantined: int
    pools: list[str]
    cut_off: NotRequired[list[str]]
    unfinished: NotRequired[list[str]]
    leases: NotRequired[list[str]]


class Problem(TypedDict):
    """The body of every answer that is no success."""

    kind: str
    code: str
    message: str
    details: NotRequired[list[str]]
    retry_after_ms: NotRequired[int | None]
    request: NotRequired[str | None]


class Mismatch(ValueError):
    """JSON that is not of the shape that was expected; says where."""


def read(shape: type[T], value: object, where: str = "the answer") -> T:
    """The value, if it is of that shape.

    Raises Mismatch where a member is missing, or has a value of another type.
    """
    _check(shape, value, where)
    return value  # type: ignore[return-value]


def _check(shape: Any, value: object, where: str) -> None:
    origin = get_origin(shape)
    if origin is NotRequired:
        return _check(get_args(shape)[0], value, where)
    if origin in (Union, UnionType):
        return _check_any(get_args(shape), value, where)
    if origin is list:
        items = _of(list, value, where)
        for index, item in enumerate(items):
            _check(get_args(shape)[0], item, f"{where}[{index}]")
        return None
    if origin is tuple:
        items = _of(list, value, where)
        shapes = get_args(shape)
        if len(items) != len(shapes):
            raise Mismatch(f"{where} has {len(items)} items instead of {len(shapes)}")
        for index, (item, of) in enumerate(zip(items, shapes, strict=True)):
            _check(of, item, f"{where}[{index}]")
        return None
    if origin is Literal:
        if value not in get_args(shape):
            raise Mismatch(f"{where} is {value!r}, and none of {', '.join(get_args(shape))}")
        return None
    if hasattr(shape, "__required_keys__"):
        return _check_members(shape, value, where)
    _of(shape, value, where)
    return None


def _check_members(shape: Any, value: object, where: str) -> None:
    if not isinstance(value, Mapping):
        raise Mismatch(f"{where} is no object")
    for name, of in get_type_hints(shape, include_extras=True).items():
        if name in value:
            _check(of, value[name], f"{where}.{name}")
        elif name in shape.__required_keys__:
            raise Mismatch(f"{where} has no {name}")


def _check_any(shapes: tuple[Any, ...], value: object, where: str) -> None:
    found = []
    for shape in shapes:
        try:
            return _check(shape, value, where)
        except Mismatch as mismatch:
            found.append(str(mismatch))
    raise Mismatch(found[0])


def _of(of: type[T], value: object, where: str) -> T:
    # To Python a truth value is a number, to JSON it is none.
    if not isinstance(value, of) or (isinstance(value, bool) and of is int):
        name = "null" if of is NoneType else of.__name__
        raise Mismatch(f"{where} is {type(value).__name__} instead of {name}")
    return value
