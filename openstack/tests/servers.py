"""Peers that are no daemon: each does to one connection what a test says, and to the next the same."""

import contextlib
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator

Serve = Callable[[socket.socket], None]


@contextlib.contextmanager
def serving(serve: Serve) -> Iterator[str]:
    """The path of a socket at which that is done."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = os.path.join(folder, "sock")
        listener.bind(path)
        listener.listen()
        thread = threading.Thread(target=_accept, args=(listener, serve), daemon=True)
        thread.start()
        try:
            yield path
        finally:
            # Ends accept as well.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            assert not thread.is_alive()


def _accept(listener: socket.socket, serve: Serve) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        # The client has gone, which is what some tests are about.
        with connection, contextlib.suppress(OSError):
            serve(connection)


def request_of(connection: socket.socket) -> bytes:
    """The whole request, body included."""
    text = b""
    while b"\r\n\r\n" not in text:
        text += connection.recv(65536)
    head, _, body = text.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            while len(body) < int(line.split(b":")[1]):
                body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answering(status: str, body: str, more: str = "") -> Serve:
    """Reads a request and answers it."""

    def serve(connection: socket.socket) -> None:
        request_of(connection)
        length = f"Content-Length: {len(body.encode())}\r\n"
        connection.sendall(f"HTTP/1.1 {status}\r\n{length}{more}\r\n{body}".encode())

    return serve
