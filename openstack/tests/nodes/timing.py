"""What nova's driver takes to connect a volume, through os-brick and the daemon, beside the daemon's own
attach of the same; on a node, in turn.

python -m tests.nodes.timing POOL VOLUME PAIRS

Prints seconds: `{"ours": [...], "base": [...]}`.
"""

import json
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import os_brick
from nova import config
from nova.conf import CONF

from volward_openstack import attachments, register
from volward_openstack.client import Client
from volward_openstack.nova_driver import LibvirtVolwardVolumeDriver

INSTANCE = "33333333-3333-3333-3333-333333333333"


def took(work: Callable[[], Any]) -> float:
    """Its seconds."""
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def main(pool: str, volume: str, pairs: int) -> None:
    """As nova's manager has its driver connect a volume of a guest that runs."""
    config.parse_args(["timing"], default_config_files=[], configure_db=False, init_rpc=False)
    os_brick.setup(CONF)
    register.connector()
    driver = LibvirtVolwardVolumeDriver(None)
    instance: Any = SimpleNamespace(
        uuid=INSTANCE,
        name="instance-timing",
        display_name="timing",
        project_id="a" * 32,
        user_id="b" * 32,
        task_state=None,
        vm_state="active",
    )
    client = Client()
    wanted = attachments.Disk(pool, volume, "read-write", shared=False)
    whose = attachments.Owner(INSTANCE, instance.name, "hot-plug")

    def information() -> dict[str, Any]:
        """As Cinder says it."""
        return {
            "driver_volume_type": "volward",
            "serial": "44444444-4444-4444-4444-444444444444",
            "data": {"access_mode": "rw", "volward": {"pool": pool, "volume": volume}},
        }

    ours, base = [], []
    # The first one of each is not counted: the daemon reads the pool.
    for pair in range(pairs + 1):
        told = information()
        connected = took(lambda told=told: driver.connect_volume(told, instance))  # type: ignore[misc]
        driver.disconnect_volume(told, instance)
        attached = took(lambda: attachments.attach(client, wanted, whose))
        attachments.detach(client, wanted, whose)
        if pair > 0:
            ours.append(connected)
            base.append(attached)
    print(json.dumps({"ours": ours, "base": base}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
