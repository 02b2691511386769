"""`volward-nova-compute`: nova-compute for who wants no file of ours below nova's folder, or has nova and
this package in different places. nova.conf is the same: `compute_driver = volward.LibvirtDriver`.
"""

import sys

# As nova's loader names it.
MODULE = "nova.virt.volward"


def provide() -> None:
    """nova finds our driver where its loader looks, though no file is there."""
    from volward_openstack import nova_driver, register

    register.volume_driver()
    sys.modules.setdefault(MODULE, nova_driver)


def main() -> None:
    """nova-compute, with nova's own arguments."""
    # First: it decides how threads work before anything else is imported.
    from nova.cmd import compute

    provide()
    compute.main()
