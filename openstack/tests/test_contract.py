"""The client's types against the document of the protocol, in both directions."""

import inspect
from typing import Any, Literal, NotRequired, TypedDict, get_type_hints

import jsonschema
import pytest

from tests.contract import SCHEMAS, described_call, disagreements, validate
from volward_openstack import shapes
from volward_openstack.client import Client

SENT = [
    shapes.AttachRequest,
    shapes.BringHomeRequest,
    shapes.ConfirmRequest,
    shapes.DetachRequest,
    shapes.DiskRequest,
    shapes.OperationCancelRequest,
    shapes.SnapshotOf,
    shapes.VolumeCopyRequest,
    shapes.VolumeCreateRequest,
    shapes.VolumeDeleteRequest,
    shapes.VolumeExtendRequest,
    shapes.VolumeMoveRequest,
    shapes.VolumeSetRequest,
    shapes.VolumeSnapshotRequest,
    shapes.VolumeSnapshotsRequest,
]
READ = [
    shapes.AttachReply,
    shapes.Attached,
    shapes.AttachmentView,
    shapes.BringHomeReply,
    shapes.ClusterReply,
    shapes.ConfirmReply,
    shapes.DetachReply,
    shapes.Detached,
    shapes.DoctorCheck,
    shapes.DoctorReply,
    shapes.HydrationView,
    shapes.OperationReply,
    shapes.OperationView,
    shapes.OperationsReply,
    shapes.PoolView,
    shapes.Problem,
    shapes.StatusReply,
    shapes.TryingAgain,
    shapes.VolumeStatusView,
    shapes.VolumeView,
]


@pytest.mark.parametrize("shape", SENT, ids=lambda shape: shape.__name__)
def test_what_is_sent_is_what_the_daemon_reads(shape: Any) -> None:
    assert disagreements(shape, SCHEMAS[shape.__name__], is_sent=True) == []


@pytest.mark.parametrize("shape", READ, ids=lambda shape: shape.__name__)
def test_what_the_daemon_answers_can_be_read(shape: Any) -> None:
    assert disagreements(shape, SCHEMAS[shape.__name__], is_sent=False) == []


def test_every_shape_is_compared() -> None:
    ours = {
        name
        for name, shape in vars(shapes).items()
        if hasattr(shape, "__required_keys__") and shape is not TypedDict
    }
    # The object in a purpose is compared where it stands.
    assert ours - {"OtherPurpose"} == {shape.__name__ for shape in SENT + READ}


def test_every_call_is_in_the_document_with_what_it_sends_and_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[Any, ...]] = []

    def note(_self: Client, *what: Any) -> None:
        asked.append(what)

    monkeypatch.setattr(Client, "_ask", note)
    calls = [name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")]
    assert len(calls) >= 14
    for name in calls:
        call = getattr(Client("/nonexistent"), name)
        hints = get_type_hints(call)
        words = {"request": {}, "operation": "o"}
        call(*(words[name] for name in words if name in hints))
        reply, method, target, _, _ = asked.pop()
        _, described = described_call(method, target)
        assert reply == hints["return"], name
        answer = described["responses"]["200"]["content"]["application/json"]["schema"]
        assert disagreements(reply, answer, is_sent=False) == [], name
        assert ("request" in hints) == ("requestBody" in described), name
        if "request" in hints:
            body = described["requestBody"]["content"]["application/json"]["schema"]
            assert disagreements(hints["request"], body, is_sent=True) == [], name


def test_a_difference_is_found() -> None:
    class Wrong(TypedDict):
        instance: int
        event: Literal["start", "paused"]
        news: NotRequired[str]

    class Reading(TypedDict):
        version: str
        node: int
        more: str

    assert disagreements(Wrong, SCHEMAS["ConfirmRequest"], is_sent=True) == [
        ".instance may be int",
        ".event may be 'paused'",
        ".news is not in the document",
        ".volumes may be left out by us",
    ]
    assert disagreements(Reading, SCHEMAS["StatusReply"], is_sent=False) == [
        ".node may be str",
        ".more is not in the document",
        ".more may be left out by the daemon",
    ]
    # What may be null is not read as text.
    assert disagreements(str, {"type": ["string", "null"]}, is_sent=False) == [" may be null"]
    with pytest.raises(jsonschema.ValidationError):
        validate({"instance": "i", "news": 1}, {"$ref": "#/components/schemas/DetachRequest"})
