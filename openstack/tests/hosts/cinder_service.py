"""Cinder's API, scheduler and volume service in one process, with our driver. It prints its port, and ends
with its standard input.

python -m tests.hosts.cinder_service FOLDER
"""

import sys
from pathlib import Path
from typing import Any

CONFIGURATION = """
[DEFAULT]
transport_url = fake:///
auth_strategy = noauth_include_project_id
api_paste_config = {etc}/api-paste.ini
resource_query_filters_file = {etc}/resource_filters.json
state_path = {folder}
osapi_volume_listen = 127.0.0.1
osapi_volume_listen_port = 0
osapi_volume_workers = 1
enabled_backends = volward
# Else what fails is made again, twice, by the same backend.
scheduler_max_attempts = 1
log_file = {folder}/cinder.log
[volward]
volume_driver = volward_openstack.cinder_driver.VolwardDriver
volume_backend_name = volward
[database]
connection = sqlite:///{folder}/cinder.sqlite
[oslo_concurrency]
lock_path = {folder}/lock
[coordination]
backend_url = file://{folder}/coordination
[oslo_policy]
policy_file = {folder}/none
"""


def serve(folder: str) -> None:
    """Until the input ends."""
    import eventlet

    eventlet.monkey_patch()
    from cinder import i18n, objects, service, version
    from cinder.common import config
    from cinder.db import migration
    from cinder.volume import configuration
    from oslo_config import cfg
    from oslo_log import log

    assert config
    assert configuration
    etc = Path(sys.prefix, "etc/cinder")
    file = Path(folder, "cinder.conf")
    file.write_text(CONFIGURATION.format(etc=etc, folder=folder))
    i18n.enable_lazy()
    objects.register_all()
    cfg.CONF(["--config-file", str(file)], project="cinder", version=version.version_string())
    log.setup(cfg.CONF, "cinder")
    migration.db_sync()
    services: list[Any] = [
        service.Service.create(
            binary="cinder-volume", host="h@volward", service_name="volward", coordination=True
        ),
        service.Service.create(binary="cinder-scheduler"),
        service.WSGIService("osapi_volume"),
    ]
    for one in services:
        one.start()
    print(services[-1].port, flush=True)
    # In a thread of its own: the green ones go on.
    from eventlet import tpool

    tpool.execute(sys.stdin.read)


if __name__ == "__main__":
    serve(sys.argv[1])
