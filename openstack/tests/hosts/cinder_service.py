"""Cinder's API, scheduler and volume service in one process, with our driver. It prints its port, and ends
with its standard input.

python -m tests.hosts.cinder_service FOLDER [ADDRESS [PORT]]
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONFIGURATION = """
[DEFAULT]
transport_url = fake:///
auth_strategy = noauth_include_project_id
api_paste_config = {folder}/api-paste.ini
resource_query_filters_file = {etc}/resource_filters.json
state_path = {folder}
osapi_volume_listen = {address}
osapi_volume_listen_port = {port}
osapi_volume_workers = 1
enabled_backends = volward
# Of the services of one process the last one reports that it is up, under its own name only.
service_down_time = 86400
# Else what fails is made again, twice, by the same backend.
scheduler_max_attempts = 1
log_file = {folder}/cinder.log
glance_api_servers = {glance}
image_conversion_dir = {folder}/conversion
backup_driver = cinder.backup.drivers.posix.PosixBackupDriver
backup_posix_path = {folder}/backup
# What there is to back up is empty, for the most part.
backup_compression_algorithm = none
# Else the scheduler has to have heard of it first.
backup_use_same_host = true
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

# Where keystone's middleware would be.
PIPELINE = " noauth_include_project_id apiv3"
FILTER = """
[filter:service_token]
paste.filter_factory = {module}:service_token
"""


def service_token(_settings: Any, **_: Any) -> Callable[[Any], Any]:
    """Says of whoever has a service's token that it is a service, as keystone's middleware does."""

    def wrapped(application: Any) -> Any:
        def called(environment: dict[str, Any], start: Any) -> Any:
            if "HTTP_X_SERVICE_TOKEN" in environment:
                environment["HTTP_X_SERVICE_ROLES"] = "service"
            return application(environment, start)

        return called

    return wrapped


def serve(folder: str, address: str = "127.0.0.1", port: str = "0") -> None:
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
    # Nobody, where no test says otherwise.
    glance = os.environ.get("VOLWARD_TESTS_GLANCE", "http://127.0.0.1:1")
    file.write_text(CONFIGURATION.format(etc=etc, folder=folder, address=address, port=port, glance=glance))
    paste = Path(etc, "api-paste.ini").read_text()
    assert PIPELINE in paste
    paste = paste.replace(PIPELINE, f" service_token{PIPELINE}") + FILTER.format(module=__name__)
    Path(folder, "api-paste.ini").write_text(paste)
    i18n.enable_lazy()
    objects.register_all()
    cfg.CONF(["--config-file", str(file)], project="cinder", version=version.version_string())
    log.setup(cfg.CONF, "cinder")
    migration.db_sync()
    backup = []
    if "VOLWARD_TESTS_FILES" in os.environ:
        from tests.hosts import plain_files

        plain_files.stand_in()
        backup = [service.Service.create(binary="cinder-backup", host="h")]
    services: list[Any] = [
        service.Service.create(
            binary="cinder-volume", host="h@volward", service_name="volward", coordination=True
        ),
        service.Service.create(binary="cinder-scheduler"),
        *backup,
        service.WSGIService("osapi_volume"),
    ]
    for one in services:
        one.start()
    print(services[-1].port, flush=True)
    # In a thread of its own: the green ones go on.
    from eventlet import tpool

    tpool.execute(sys.stdin.read)


if __name__ == "__main__":
    serve(*sys.argv[1:])
