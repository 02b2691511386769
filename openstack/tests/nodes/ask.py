"""Asks what runs on a node, and prints the answer: `{"status": 200, "body": ...}` of Cinder, `{"done": ...}`
or `{"failed": ...}` of the compute node.

python -m tests.nodes.ask cinder ADDRESS:PORT METHOD PATH [BODY]
python -m tests.nodes.ask compute FOLDER REQUEST
"""

import http.client
import json
import socket
import sys

PROJECT = "a" * 32
# An answer may be waited for as long as a volume is copied.
PATIENCE = 1800


def cinder(address: str, method: str, path: str, body: str | None = None) -> None:
    """As an administrator who is a service too: he sees all, and may end an attachment."""
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    said = {
        "X-Auth-Token": f"admin:{PROJECT}",
        "OpenStack-API-Version": "volume 3.70",
        "Content-Type": "application/json",
        "X-Service-Token": "x",
    }
    connection.request(method, f"/v3/{PROJECT}{path}", body, said)
    answer = connection.getresponse()
    content = answer.read()
    print(json.dumps({"status": answer.status, "body": json.loads(content) if content else None}))


def compute(folder: str, request: str) -> None:
    """One request."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(f"{folder}/socket")
        with connection.makefile("rw") as stream:
            print(request, file=stream, flush=True)
            print(stream.readline())


if __name__ == "__main__":
    if sys.argv[1] == "cinder":
        cinder(*sys.argv[2:])
    else:
        compute(*sys.argv[2:])
