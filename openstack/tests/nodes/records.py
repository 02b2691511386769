"""What nova would have in its database of an instance and its volumes: here in a file of each node's own."""

from typing import Any

from nova import objects
from nova.compute import task_states, vm_states
from nova.virt import driver as virt_driver

PROJECT = "a" * 32


class Records:
    """In nova's own objects."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def write(self, uuid: str, name: str, host: str) -> None:
        """An instance that is about to be started on a host, or runs there. The BIOS takes no smaller one."""
        size = {"memory_mb": 32, "vcpus": 1, "root_gb": 0, "ephemeral_gb": 0}
        flavor = objects.Flavor(
            id=1,
            flavorid="1",
            name="small",
            swap=0,
            rxtx_factor=1.0,
            vcpu_weight=0,
            disabled=False,
            is_public=True,
            extra_specs={},
            **size,
        )
        instance = objects.Instance(
            self._context,
            uuid=uuid,
            display_name=name,
            host=host,
            project_id=PROJECT,
            user_id="admin",
            vm_state=vm_states.BUILDING,
            task_state=task_states.SPAWNING,
            flavor=flavor,
            old_flavor=None,
            new_flavor=None,
            image_ref="",
            system_metadata={},
            metadata={},
            root_device_name="/dev/vda",
            numa_topology=None,
            pci_requests=None,
            **size,
        )
        instance.create()

    def instance(self, uuid: str) -> Any:
        """As it is noted now."""
        return objects.Instance.get_by_uuid(self._context, uuid, expected_attrs=["flavor", "info_cache"])

    def migrating(self, uuid: str) -> Any:
        """The same, noted as one that runs and is migrated."""
        instance = self.instance(uuid)
        instance.vm_state = vm_states.ACTIVE
        instance.task_state = task_states.MIGRATING
        instance.save()
        return instance

    def add(
        self,
        uuid: str,
        volume: str,
        device: str,
        attachment: str,
        boot: bool = False,
        information: str | None = None,
    ) -> Any:
        """A volume of an instance; `information` is Cinder's, where it has been connected."""
        record = objects.BlockDeviceMapping(
            self._context,
            instance_uuid=uuid,
            source_type="volume",
            destination_type="volume",
            device_type="disk",
            disk_bus="virtio",
            device_name=device,
            volume_id=volume,
            attachment_id=attachment,
            boot_index=0 if boot else None,
            connection_info=information,
            delete_on_termination=False,
        )
        record.create()
        return record

    def volumes(self, uuid: str) -> Any:
        """Those of an instance."""
        return objects.BlockDeviceMappingList.get_by_instance_uuid(self._context, uuid)

    def volume(self, uuid: str, volume: str) -> Any:
        """One of them."""
        return objects.BlockDeviceMapping.get_by_volume_and_instance(self._context, volume, uuid)

    def devices(self, instance: Any) -> Any:
        """As nova's drivers are told of them."""
        return virt_driver.get_block_device_info(instance, self.volumes(instance.uuid))
