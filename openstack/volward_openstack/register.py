"""Puts Volward into the tables of os-brick and nova. Doing it again changes nothing."""

CONNECTOR = "volward_openstack.connector.VolwardConnector"
VOLUME_DRIVER = "volward_openstack.nova_driver.LibvirtVolwardVolumeDriver"


def connector() -> None:
    """In this process os-brick builds our connector, and asks it what this node is."""
    from os_brick.initiator import connector as brick

    # The list of those that are asked, and the tables of what the factory builds: they are looked at by
    # name each time, and nothing else is there to register with.
    if CONNECTOR not in brick.unix_connector_list:
        brick.unix_connector_list.append(CONNECTOR)
    for arch in (None, "s390x", "ppc64le"):
        brick.get_connector_mapping(arch)["VOLWARD"] = CONNECTOR


def volume_driver() -> None:
    """In this process nova's libvirt driver has our driver for our volumes."""
    from nova.virt.libvirt import driver

    connector()
    driver.VOLUME_DRIVERS["volward"] = VOLUME_DRIVER
