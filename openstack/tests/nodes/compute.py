"""A compute node without nova-compute: nova's libvirt driver, its classes of block devices and its client of
Cinder, over this node's libvirt and volwardd.

What nova-compute's manager does between these for a boot, an attach, an extend and a live migration is done
here, in its order. nova has one database; here each node has a file of its own, so what is known of an
instance and its volumes is told to the node that it comes to. Nothing has a network.

python -m tests.nodes.compute FOLDER HOST ADDRESS CINDER

Answers requests at FOLDER/socket, one JSON object a connection: `{"do": "attach", ...}` has
`{"done": ...}` or `{"failed": "Class: sentence"}`.
"""

# First, as nova-compute has it: this decides how threads work.
from nova import monkey_patch

monkey_patch.patch(backend="threading")

import contextlib  # noqa: E402
import json  # noqa: E402
import logging  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import os_brick  # noqa: E402
import os_vif  # noqa: E402
from nova import config, context, objects, privsep  # noqa: E402
from nova.compute import power_state, vm_states  # noqa: E402
from nova.conf import CONF, devices, neutron  # noqa: E402
from nova.db.main import api as database  # noqa: E402
from nova.db.main import models  # noqa: E402
from nova.network import model as network  # noqa: E402
from nova.objects import base  # noqa: E402
from nova.virt import block_device, virtapi  # noqa: E402
from nova.virt import driver as virt_driver  # noqa: E402
from nova.volume import cinder  # noqa: E402
from os_brick import privileged  # noqa: E402

from tests.nodes.records import PROJECT, Records  # noqa: E402

LOG = logging.getLogger(__name__)

CONFIGURATION = """
[DEFAULT]
host = {host}
my_ip = {address}
my_block_storage_ip = {address}
compute_driver = volward.LibvirtDriver
# Numbers would be given twice, as each node has a database of its own.
instance_name_template = instance-%(uuid)s
instances_path = {folder}/instances
state_path = {folder}
log_file = {folder}/nova.log
debug = true
transport_url = fake:///
[libvirt]
virt_type = qemu
cpu_mode = none
hw_machine_type = x86_64=pc
live_migration_inbound_addr = {address}
[vnc]
enabled = false
[database]
connection = sqlite:///{folder}/nova.sqlite
[oslo_concurrency]
lock_path = {folder}/lock
[cinder]
endpoint_template = {cinder}/v3/%(project_id)s
# As docs/openstack.md wants it; without keystone the token is a word.
[service_user]
send_service_user_token = true
auth_type = admin_token
endpoint = {cinder}
token = nova
"""


class Events(virtapi.VirtAPI):
    """What nova's driver waits for of other services: here there is none."""

    @contextlib.contextmanager
    def wait_for_instance_event(self, _instance: Any, event_names: Any, **_: Any) -> Iterator[None]:
        """Of neutron, for each network card."""
        if event_names:
            raise NotImplementedError(f"there is nobody who would say {event_names}")
        yield


class NoNetwork:
    """What nova's driver asks neutron before a live migration."""

    def has_port_binding_extension(self, _context: Any) -> bool:
        """For the destination's cards, of which there are none."""
        return False


class Compute:
    """The node, and what is asked of it: each public method is a request."""

    def __init__(self) -> None:
        # As nova-compute's manager has it.
        for some in (neutron, devices):
            some.register_dynamic_opts(CONF)
        self._cinder = cinder.API()
        self._driver = virt_driver.load_compute_driver(Events(), CONF.compute_driver)
        self._driver._network_api = NoNetwork()
        self._driver.init_host(CONF.host)
        self._context = context.RequestContext(
            user_id="admin", project_id=PROJECT, auth_token=f"admin:{PROJECT}", is_admin=True
        )
        self._records = Records(self._context)

    def about(self) -> dict[str, Any]:
        """What it runs over, and what the node tells Cinder of itself."""
        host = self._driver._host
        connector = self._driver.get_volume_connector(None)
        return {
            "driver": type(self._driver).__module__,
            "libvirt": host.get_connection().getLibVersion(),
            "qemu": host.get_connection().getVersion(),
            "connector": connector["volward"],
        }

    def know(self, uuid: str, name: str, host: str, volumes: list[dict[str, Any]]) -> None:
        """Notes an instance and its volumes, as nova's API has done before a compute node hears of them."""
        self._records.write(uuid, name, host)
        for volume in volumes:
            self._records.add(uuid, **volume)

    def volumes(self, uuid: str) -> list[dict[str, Any]]:
        """Those of an instance, as `know` is told of them on another node."""
        return [
            {
                "volume": one.volume_id,
                "device": one.device_name,
                "attachment": one.attachment_id,
                "boot": one.boot_index == 0,
                "information": one.connection_info,
            }
            for one in self._records.volumes(uuid)
        ]

    def boot(self, uuid: str) -> None:
        """Connects the instance's volumes and starts its guest, as for a server that boots from a volume."""
        instance = self._records.instance(uuid)
        devices = self._records.devices(instance)
        block_device.attach_block_devices(
            devices["block_device_mapping"], self._context, instance, self._cinder, self._driver
        )
        self._driver.spawn(
            self._context,
            instance,
            instance.image_meta,
            [],
            None,
            {},
            network_info=network.NetworkInfo(),
            block_device_info=devices,
        )
        instance.vm_state = vm_states.ACTIVE
        instance.task_state = None
        instance.power_state = power_state.RUNNING
        instance.save()

    def attach(self, uuid: str, volume: str, device: str) -> dict[str, Any]:
        """Hot-plugs a volume."""
        attachment = self._cinder.attachment_create(self._context, volume, uuid)["id"]
        record = self._records.add(uuid, volume, device, attachment)
        one = block_device.convert_volume(record)
        instance = self._records.instance(uuid)
        try:
            one.attach(self._context, instance, self._cinder, self._driver, do_driver_attach=True)
        except Exception:
            record.destroy()
            raise
        found: dict[str, Any] = one["connection_info"]
        return found

    def detach(self, uuid: str, volume: str) -> None:
        """Unplugs it from the guest, and lets go of it."""
        self._cinder.begin_detaching(self._context, volume)
        record = self._records.volume(uuid, volume)
        one = block_device.convert_volume(record)
        one.detach(
            self._context, self._records.instance(uuid), self._cinder, self._driver, record.attachment_id
        )
        record.destroy()

    def extend(self, uuid: str, volume: str) -> None:
        """Cinder says that it has grown."""
        record = self._records.volume(uuid, volume)
        record.volume_size = self._cinder.get(self._context, volume)["size"]
        record.save()
        information = json.loads(record.connection_info)
        instance = self._records.instance(uuid)
        self._driver.extend_volume(self._context, information, instance, record.volume_size << 30)

    # nova-compute keeps the instance's state, which these calls do not ask for.

    def power_off(self, uuid: str) -> None:
        """Ends the guest; its volumes stay connected, as far as nova knows."""
        self._driver.power_off(self._records.instance(uuid))

    def power_on(self, uuid: str) -> None:
        """Starts it anew."""
        instance = self._records.instance(uuid)
        devices = self._records.devices(instance)
        self._driver.power_on(self._context, instance, network.NetworkInfo(), devices)

    def suspend(self, uuid: str) -> None:
        """Ends the guest, whose memory is kept in a file."""
        self._driver.suspend(self._context, self._records.instance(uuid))

    def resume(self, uuid: str) -> None:
        """Starts it where it was."""
        instance = self._records.instance(uuid)
        devices = self._records.devices(instance)
        self._driver.resume(self._context, instance, network.NetworkInfo(), devices)

    def delete(self, uuid: str) -> None:
        """Ends the guest, and lets go of its volumes."""
        instance = self._records.instance(uuid)
        self._driver.destroy(self._context, instance, network.NetworkInfo(), self._records.devices(instance))
        for record in self._records.volumes(uuid):
            self._cinder.attachment_delete(self._context, record.attachment_id)
            record.destroy()
        instance.destroy()

    # Live migration: each of nova-compute's parts of it, at the node where it is done.

    def arrives(self, uuid: str, data: Any) -> dict[str, Any]:
        """At the destination, before libvirt knows of it."""
        instance = self._records.migrating(uuid)
        migrate = self._told(data)
        migrate.old_vol_attachment_ids = {}
        connector = self._driver.get_volume_connector(instance)
        for record in self._records.volumes(uuid):
            attachment = self._cinder.attachment_create(
                self._context, record.volume_id, uuid, connector=connector, mountpoint=record.device_name
            )
            migrate.old_vol_attachment_ids[record.volume_id] = record.attachment_id
            record.attachment_id = attachment["id"]
            record.save()
        devices = self._records.devices(instance)
        mapping = devices["block_device_mapping"]
        block_device.refresh_conn_infos(mapping, self._context, instance, self._cinder, self._driver)
        nothing = network.NetworkInfo()
        try:
            migrate = self._driver.pre_live_migration(
                self._context, instance, devices, nothing, None, migrate
            )
            for one in mapping:
                one.save()
        except Exception:
            for one in mapping:
                one.driver_detach(self._context, instance, self._cinder, self._driver)
            self._back(uuid, migrate)
            raise
        for record in self._records.volumes(uuid):
            self._cinder.attachment_complete(self._context, record.attachment_id)
        return self._tell(migrate)

    def can_arrive(self, uuid: str) -> dict[str, Any]:
        """At the destination, first of all: is there room, and do the processors go together."""
        instance = self._records.migrating(uuid)
        here = self._driver.get_available_resource(CONF.host)
        data = self._driver.check_can_live_migrate_destination(self._context, instance, here, here)
        data.is_volume_backed = True
        return self._tell(data)

    def can_leave(self, uuid: str, data: Any) -> dict[str, Any]:
        """At the source, of what the destination has said."""
        instance = self._records.instance(uuid)
        found = self._driver.check_can_live_migrate_source(
            self._context, instance, self._told(data), self._records.devices(instance)
        )
        return self._tell(found)

    def checked(self, data: Any) -> None:
        """At the destination, after the source."""
        self._driver.cleanup_live_migration_destination_check(self._context, self._told(data))

    def leaves(self, uuid: str, to: str, data: Any) -> float:
        """At the source: libvirt migrates it, and then its volumes are let go. Seconds of the first."""
        instance = self._records.migrating(uuid)
        migrate = self._told(data)
        migrate.migration = objects.Migration(
            self._context, instance_uuid=uuid, migration_type="live-migration", status="running"
        )
        migrate.migration.create()
        ended: list[bool] = []
        begun = time.monotonic()
        self._driver.live_migration(
            self._context,
            instance,
            to,
            lambda *_, **__: ended.append(True),
            lambda *_, **__: ended.append(False),
            False,
            migrate,
        )
        took = time.monotonic() - begun
        if ended != [True]:
            raise RuntimeError(f"the migration has not ended well: {ended}")
        self._driver.post_live_migration(self._context, instance, self._records.devices(instance), migrate)
        for record in self._records.volumes(uuid):
            self._cinder.attachment_delete(self._context, record.attachment_id)
            record.destroy()
        nothing = network.NetworkInfo()
        self._driver.post_live_migration_at_source(self._context, instance, nothing)
        self._driver.cleanup(
            self._context,
            instance,
            nothing,
            destroy_disks=not migrate.is_shared_instance_path,
            migrate_data=migrate,
            destroy_vifs=False,
        )
        instance.destroy()
        return took

    def arrived(self, uuid: str) -> None:
        """At the destination: it is an instance of this node."""
        instance = self._records.instance(uuid)
        self._driver.post_live_migration_at_destination(
            self._context, instance, network.NetworkInfo(), False, self._records.devices(instance)
        )
        instance.host = CONF.host
        instance.task_state = None
        instance.power_state = self._driver.get_info(instance).state
        instance.save()

    def stays(self, uuid: str, data: Any) -> None:
        """At the destination of a migration that came to nothing: what was made for it is undone."""
        instance = self._records.instance(uuid)
        migrate = self._told(data)
        devices = self._records.devices(instance)
        self._driver.rollback_live_migration_at_destination(
            self._context, instance, network.NetworkInfo(), devices, migrate_data=migrate
        )
        self._back(uuid, migrate)

    def _back(self, uuid: str, migrate: Any) -> None:
        """To the source's attachments."""
        for record in self._records.volumes(uuid):
            self._cinder.attachment_delete(self._context, record.attachment_id)
            record.attachment_id = migrate.old_vol_attachment_ids[record.volume_id]
            record.save()

    def _tell(self, data: Any) -> dict[str, Any]:
        """As nova's nodes tell each other."""
        told: dict[str, Any] = base.NovaObjectSerializer().serialize_entity(self._context, data)
        return told

    def _told(self, data: Any) -> Any:
        return base.NovaObjectSerializer().deserialize_entity(self._context, data)


def answer(compute: Compute, line: str) -> str:
    """One request."""
    try:
        request = json.loads(line)
        return json.dumps({"done": getattr(compute, request.pop("do"))(**request)})
    except Exception as error:
        LOG.exception("a request failed: %s", line)
        return json.dumps({"failed": f"{type(error).__name__}: {error}"})


def serve(folder: Path, host: str, address: str, endpoint: str) -> None:
    """For ever."""
    (folder / "instances").mkdir(parents=True, exist_ok=True)
    file = folder / "nova.conf"
    file.write_text(CONFIGURATION.format(folder=folder, host=host, address=address, cinder=endpoint))
    config.parse_args(["nova-compute", "--config-file", str(file)])
    from oslo_log import log

    log.setup(CONF, "nova")
    # This process is root's: it needs no other one for what only root may do.
    privsep.sys_admin_pctxt.set_client_mode(False)
    privileged.default.set_client_mode(False)
    objects.register_all()
    os_brick.setup(CONF)
    os_vif.initialize()
    models.BASE.metadata.create_all(database.get_engine())
    compute = Compute()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "new"))
        listener.listen()
        # There when it answers.
        (folder / "new").rename(folder / "socket")
        while True:
            connection, _ = listener.accept()
            with connection, connection.makefile("rw") as stream:
                stream.write(answer(compute, stream.readline()) + "\n")


if __name__ == "__main__":
    serve(Path(sys.argv[1]), *sys.argv[2:])
