"""Where nova looks for `compute_driver = volward.LibvirtDriver`."""

from volward_openstack import register
from volward_openstack.nova_driver import LibvirtDriver

register.volume_driver()

__all__ = ["LibvirtDriver"]
