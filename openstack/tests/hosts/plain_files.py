"""Where no device is made a volume is a plain file, so that Cinder's own copying has something to read and
write: os-brick's connector asks the daemon over storage in memory, and then the file is there.

`VOLWARD_TESTS_FILES` names the folder of the files; cinder_service calls stand_in() where it is set. What
only root may do is done by the process itself.
"""

import os
from pathlib import Path
from typing import Any

VARIABLE = "VOLWARD_TESTS_FILES"
SIZE = 1 << 30

PROGRAMS = {
    # As `sudo cinder-rootwrap CONFIGURATION PROGRAM...`.
    "sudo": '#!/bin/sh\nshift 2\nexec "$@"\n',
    # What other connectors of older os-bricks ask, and take an error from.
    "dmidecode": "#!/bin/sh\nexit 1\n",
    # Of raw images only, which are their own content.
    "qemu-img": """#!/usr/bin/env python3
import json, os, shutil, sys
words = [word for word in sys.argv[1:] if not word.startswith("-")]
if "info" in words:
    size = os.path.getsize(words[-1])
    print(json.dumps({"filename": words[-1], "format": "raw", "virtual-size": size, "actual-size": size}))
elif "convert" in words:
    with open(words[-2], "rb") as source, open(words[-1], "r+b" if os.path.exists(words[-1]) else "wb") as to:
        shutil.copyfileobj(source, to, 1 << 20)
else:
    print("qemu-img version 7.2.0")
""",
}


def content(folder: str | Path, pool: str, volume: str) -> Path:
    """The file of a volume."""
    return Path(folder, f"{pool}+{volume}")


def install(folder: Path) -> dict[str, str]:
    """The environment in which Cinder is to run."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    for name, text in PROGRAMS.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return {VARIABLE: str(folder), "PATH": f"{programs}:{os.environ['PATH']}"}


def stand_in() -> None:
    """In this process, whose connector attaches and then makes the path what is there on a node."""
    from cinder import privsep
    from os_brick import privileged

    from volward_openstack.connector import VolwardConnector

    folder = os.environ[VARIABLE]
    privsep.sys_admin_pctxt.set_client_mode(False)
    privileged.default.set_client_mode(False)
    connect, disconnect = VolwardConnector.connect_volume, VolwardConnector.disconnect_volume
    made: dict[tuple[str, str], Path] = {}

    def connected(self: Any, properties: Any) -> Any:
        info = connect(self, properties)
        ours = properties["volward"]
        path, file = Path(info["path"]), content(folder, ours["pool"], ours["volume"])
        with file.open("ab") as opened:
            opened.truncate(max(SIZE, file.stat().st_size))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(file)
        made[ours["pool"], ours["volume"]] = path
        return info

    def disconnected(self: Any, properties: Any, *args: Any, **kwargs: Any) -> None:
        disconnect(self, properties, *args, **kwargs)
        ours = properties["volward"]
        made.pop((ours["pool"], ours["volume"])).unlink()

    setattr(VolwardConnector, "connect_volume", connected)  # noqa: B010
    setattr(VolwardConnector, "disconnect_volume", disconnected)  # noqa: B010
