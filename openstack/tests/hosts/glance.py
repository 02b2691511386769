"""As much of glance as Cinder asks of it: images are made, given their content, shown and read. It runs in a
process of its own, as nova's tests change what threads are in theirs.

python -m tests.hosts.glance FOLDER

It keeps contents in the folder, and prints its port.
"""

import http.client
import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.wheel import PACKAGE

BASE = """id name status size disk_format container_format min_disk min_ram visibility owner created_at
updated_at tags protected checksum"""
# Cinder asks it which properties are an image's own.
SCHEMA = {"name": "image", "properties": {name: {} for name in BASE.split()}, "additionalProperties": {}}
FIXED = {
    "status": "queued",
    "visibility": "private",
    "min_disk": 0,
    "min_ram": 0,
    "size": None,
    "tags": [],
    "protected": False,
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
}


class Server(ThreadingHTTPServer):
    """Images, in memory, and their contents, in a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.images: dict[str, dict[str, Any]] = {}


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        version, *words = self.path.strip("/").split("/")
        if version != "v2":
            own = {"rel": "self", "href": f"http://127.0.0.1:{self.server.server_address[1]}/v2/"}
            return self._answer(200, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [own]}]})
        if words[0] == "schemas":
            return self._answer(200, SCHEMA)
        if words[0] != "images" or words[1] not in self.server.images:
            return self._answer(404, {})
        if words[2:] != ["file"]:
            return self._answer(200, self.server.images[words[1]])
        with (self.server.folder / words[1]).open("rb") as content:
            self._head(200, "application/octet-stream", self.server.images[words[1]]["size"])
            return shutil.copyfileobj(content, self.wfile)

    def do_POST(self) -> None:
        values = json.loads(self._all())
        image_id = values.get("id") or str(uuid.uuid4())
        self.server.images[image_id] = {"id": image_id, **FIXED, **values}
        self._answer(201, self.server.images[image_id])

    def do_PATCH(self) -> None:
        image = self.server.images[self.path.split("/")[3]]
        for change in json.loads(self._all()):
            image[change["path"].strip("/")] = change.get("value")
        self._answer(200, image)

    def do_PUT(self) -> None:
        image = self.path.split("/")[3]
        file = self.server.folder / image
        with file.open("wb") as content:
            for part in self._parts():
                content.write(part)
        self.server.images[image] |= {"status": "active", "size": file.stat().st_size}
        self._head(204, None, 0)

    def _all(self) -> bytes:
        return b"".join(self._parts())

    def _parts(self) -> Iterator[bytes]:
        """The body, also of whoever does not know how long it will be."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            yield self.rfile.read(int(self.headers.get("Content-Length", 0)))
            return
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _answer(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self._head(status, "application/json", len(body))
        self.wfile.write(body)

    def _head(self, status: int, kind: str | None, size: int) -> None:
        self.send_response(status)
        if kind is not None:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        self.end_headers()


class Glance:
    """A client of it."""

    def __init__(self, port: int, folder: Path) -> None:
        self._port, self._folder = port, folder
        self.address = f"http://127.0.0.1:{port}"

    def image(self, content: bytes) -> str:
        """One that is there."""
        wish = {"name": "i", "disk_format": "raw", "container_format": "bare"}
        made: str = json.loads(self._ask("POST", "/v2/images", json.dumps(wish).encode()))["id"]
        self._ask("PUT", f"/v2/images/{made}/file", content)
        return made

    def shown(self, image: str) -> dict[str, Any]:
        """What Cinder sees of one."""
        found: dict[str, Any] = json.loads(self._ask("GET", f"/v2/images/{image}"))
        return found

    def content(self, image: str) -> Path:
        """The file of its content."""
        return self._folder / image

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection.request(method, path, body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        assert answer.status < 300, content
        return content


@contextmanager
def serving(folder: Path) -> Iterator[Glance]:
    """While the tests run."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.hosts.glance", folder], cwd=PACKAGE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield Glance(int(process.stdout.readline()), folder)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def main(folder: str) -> None:
    """Until it is ended."""
    server = Server(Path(folder))
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
