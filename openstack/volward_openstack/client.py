"""volwardd through its unix socket: http.client over AF_UNIX, a connection a call, and one deadline for all
of it, connecting included.

Under eventlet a call gives way to others, if sockets were patched before it is made; elsewhere its thread
waits. Nothing else is started.
"""

import contextlib
import errno
import http.client
import io
import json
import os
import socket
import time
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from volward_openstack import shapes
from volward_openstack.problems import NoDaemon, NotAllowed, Refusal, TimedOut, Unusable, VolwardError

SOCKET = "/run/volward/volwardd.sock"
# In a container it may be elsewhere.
SOCKET_VARIABLE = "VOLWARD_SOCKET"

# Requests wait for each other and for storage; the daemon itself gives up earlier, and says why.
PATIENCE = 120.0

# No answer is near this; a bound keeps a mad peer from filling the service's memory.
_LARGEST = 64 << 20
# A full backlog clears as soon as the daemon accepts.
_BACKLOG_PAUSE = 0.02

T = TypeVar("T")


def socket_path() -> str:
    """Where the daemon listens for this process."""
    return os.environ.get(SOCKET_VARIABLE) or SOCKET


class Client:
    """The daemon of this node. Making one connects to nothing.

    Every call raises a VolwardError: Refusal where the daemon says no, and what problems.py lists else.
    """

    def __init__(self, path: str = SOCKET, patience: float = PATIENCE) -> None:
        """Calls end within `patience` seconds, unless one says otherwise."""
        self.path = path
        self.patience = patience

    def status(self, patience: float | None = None) -> shapes.StatusReply:
        """GET /v1/status. Answered while pools hang."""
        return self._ask(shapes.StatusReply, "GET", "/v1/status", None, patience)

    def attach(self, request: shapes.AttachRequest, patience: float | None = None) -> shapes.AttachReply:
        """POST /v1/attach."""
        return self._ask(shapes.AttachReply, "POST", "/v1/attach", request, patience)

    def detach(self, request: shapes.DetachRequest, patience: float | None = None) -> shapes.DetachReply:
        """POST /v1/detach. What is not attached is no error."""
        return self._ask(shapes.DetachReply, "POST", "/v1/detach", request, patience)

    def confirm(self, request: shapes.ConfirmRequest, patience: float | None = None) -> shapes.ConfirmReply:
        """POST /v1/confirm. Nothing is changed."""
        return self._ask(shapes.ConfirmReply, "POST", "/v1/confirm", request, patience)

    def attachments(self, patience: float | None = None) -> list[shapes.AttachmentView]:
        """GET /v1/attachments: of this node. Answered while pools hang."""
        return self._ask(list[shapes.AttachmentView], "GET", "/v1/attachments", None, patience)

    def cluster(self, patience: float | None = None) -> shapes.ClusterReply:
        """GET /v1/cluster: of all nodes, as far as they can be read."""
        return self._ask(shapes.ClusterReply, "GET", "/v1/cluster", None, patience)

    def pools(self, patience: float | None = None) -> list[shapes.PoolView]:
        """GET /v1/pools."""
        return self._ask(list[shapes.PoolView], "GET", "/v1/pools", None, patience)

    def volume_set(
        self, request: shapes.VolumeSetRequest, patience: float | None = None
    ) -> shapes.VolumeView:
        """POST /v1/volumes/set."""
        return self._ask(shapes.VolumeView, "POST", "/v1/volumes/set", request, patience)

    def volume_create(
        self, request: shapes.VolumeCreateRequest, patience: float | None = None
    ) -> shapes.OperationReply:
        """POST /v1/volumes/create. Answered when it is on record; the same id finds it again."""
        return self._ask(shapes.OperationReply, "POST", "/v1/volumes/create", request, patience)

    def volume_delete(
        self, request: shapes.VolumeDeleteRequest, patience: float | None = None
    ) -> shapes.OperationReply:
        """POST /v1/volumes/delete. Answered when it is on record; the same id finds it again."""
        return self._ask(shapes.OperationReply, "POST", "/v1/volumes/delete", request, patience)

    def volume_extend(
        self, request: shapes.VolumeExtendRequest, patience: float | None = None
    ) -> shapes.OperationReply:
        """POST /v1/volumes/extend. Answered when it is on record; the same id finds it again."""
        return self._ask(shapes.OperationReply, "POST", "/v1/volumes/extend", request, patience)

    def volume_copy(
        self, request: shapes.VolumeCopyRequest, patience: float | None = None
    ) -> shapes.OperationReply:
        """POST /v1/volumes/copy. Answered when it is on record; the same id finds it again."""
        return self._ask(shapes.OperationReply, "POST", "/v1/volumes/copy", request, patience)

    def volume_move(
        self, request: shapes.VolumeMoveRequest, patience: float | None = None
    ) -> shapes.OperationReply:
        """POST /v1/volumes/move. Answered when it is on record; the same id finds it again."""
        return self._ask(shapes.OperationReply, "POST", "/v1/volumes/move", request, patience)

    def volume_snapshot(
        self, request: shapes.VolumeSnapshotRequest, patience: float | None = None
    ) -> shapes.OperationReply:
        """POST /v1/volumes/snapshot. Answered when it is on record; the same id finds it again."""
        return self._ask(shapes.OperationReply, "POST", "/v1/volumes/snapshot", request, patience)

    def volume_snapshots(
        self, request: shapes.VolumeSnapshotsRequest, patience: float | None = None
    ) -> shapes.OperationsReply:
        """POST /v1/volumes/snapshots. Answered when all are on record; the same id finds them again."""
        return self._ask(shapes.OperationsReply, "POST", "/v1/volumes/snapshots", request, patience)

    def operation(
        self, operation: str, wait: float = 0.0, patience: float | None = None
    ) -> shapes.OperationView:
        """GET /v1/operations/ID: as it stands when it has ended, or after `wait` seconds, 60 at most.

        A Refusal of the kind `not-found` where the node knows none of that id.
        """
        target = f"/v1/operations/{quote(operation, safe='')}?wait_ms={int(wait * 1000)}"
        patience = (self.patience if patience is None else patience) + wait
        return self._ask(shapes.OperationView, "GET", target, None, patience)

    def operation_cancel(
        self, request: shapes.OperationCancelRequest, patience: float | None = None
    ) -> shapes.OperationView:
        """POST /v1/operations/cancel. It has ended when nothing of it is left."""
        return self._ask(shapes.OperationView, "POST", "/v1/operations/cancel", request, patience)

    def hydrations(self, patience: float | None = None) -> list[shapes.HydrationView]:
        """GET /v1/hydrations: local copies on this node. Answered while pools hang."""
        return self._ask(list[shapes.HydrationView], "GET", "/v1/hydrations", None, patience)

    def bring_home(
        self, request: shapes.BringHomeRequest, patience: float | None = None
    ) -> shapes.BringHomeReply:
        """POST /v1/hydrations/home. Answered when it is on record; what is home already is no error."""
        return self._ask(shapes.BringHomeReply, "POST", "/v1/hydrations/home", request, patience)

    def doctor(self, patience: float | None = None) -> shapes.DoctorReply:
        """GET /v1/doctor. A check that failed is no error."""
        return self._ask(shapes.DoctorReply, "GET", "/v1/doctor", None, patience)

    def _ask(
        self,
        reply: type[T],
        method: str,
        target: str,
        request: Mapping[str, Any] | None,
        patience: float | None,
    ) -> T:
        patience = self.patience if patience is None else patience
        status, text = self._exchange(method, target, request, patience)
        try:
            answer = json.loads(text)
            if not 200 <= status < 300:
                raise Refusal(shapes.read(shapes.Problem, answer))
            return shapes.read(reply, answer)
        except (ValueError, RecursionError) as error:
            # ValueError: of json, of UTF-8, and of a shape.
            raise self._unusable(f"{method} {target}: status {status}: {error}") from error

    def _exchange(
        self, method: str, target: str, request: Mapping[str, Any] | None, patience: float
    ) -> tuple[int, bytes]:
        deadline = _Deadline(patience)
        connection = _Connection(self.path, deadline)
        body = None if request is None else json.dumps(request).encode()
        headers = {
            "Accept": "application/json",
            "Connection": "close",
            # Who is told in time that it will take longer knows why he was refused.
            "Prefer": f"wait={int(patience)}",
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.connect()
            connection.request(method, target, body=body, headers=headers)
            response = connection.getresponse()
            text = response.read(_LARGEST + 1)
            expected = int(response.getheader("Content-Length", len(text)))
        except TimeoutError as error:
            raise TimedOut(
                f"the Volward daemon did not answer within {patience:g} s ({self.path})"
            ) from error
        except VolwardError:
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._unusable(f"{type(error).__name__}: {error}") from error
        finally:
            connection.end()
        if len(text) > _LARGEST:
            raise self._unusable("it is larger than 64 MiB")
        if len(text) != expected:
            raise self._unusable("the connection ended in the middle of the answer")
        return response.status, text

    def _unusable(self, reason: str) -> Unusable:
        return Unusable(f"the Volward daemon's answer cannot be used ({self.path}): {reason}")


class _Deadline:
    """When a call must have ended."""

    def __init__(self, patience: float) -> None:
        self._end = time.monotonic() + patience

    def left(self) -> float:
        """Seconds, more than none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class _Reader(io.RawIOBase):
    """Reads from a socket until a deadline, however slowly the bytes come."""

    def __init__(self, sock: socket.socket, deadline: _Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._deadline.left())
        return self._sock.recv_into(buffer)


class _Stream:
    """What http.client wants of a socket, each wait of it within the deadline."""

    def __init__(self, sock: socket.socket, deadline: _Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        # A daemon that answers early and closes: its answer is still to be read.
        with contextlib.suppress(BrokenPipeError):
            while view:
                self._sock.settimeout(self._deadline.left())
                view = view[self._sock.send(view) :]

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._sock, self._deadline))

    def close(self) -> None:
        """Nothing: http.client closes when it has the head of an answer, and the body is still to be read."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, deadline: _Deadline) -> None:
        super().__init__("volward")
        self._path = path
        self._deadline = deadline
        self._raw: socket.socket | None = None

    def connect(self) -> None:
        # Looked up now: eventlet may have put its own there.
        self._raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._open(self._raw)
        self.sock: Any = _Stream(self._raw, self._deadline)

    def end(self) -> None:
        """Closes the connection, at whatever point it is."""
        self.close()
        if self._raw is not None:
            self._raw.close()

    def _open(self, sock: socket.socket) -> None:
        while True:
            sock.settimeout(self._deadline.left())
            try:
                return sock.connect(self._path)
            except BlockingIOError:
                # The backlog of a daemon that is stuck: a connect would wait for ever.
                time.sleep(min(self._deadline.left(), _BACKLOG_PAUSE))
            except TimeoutError:
                raise
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EPERM):
                    raise NotAllowed(
                        f"this user may not open the Volward daemon's socket ({self._path})"
                    ) from error
                raise NoDaemon(f"the Volward daemon is not running on this node ({self._path})") from error
