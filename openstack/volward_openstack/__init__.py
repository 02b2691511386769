"""Volward's volumes in OpenStack.

Everything is asked of volwardd, the daemon of the node, through its unix socket. No decision is made here.

client        the socket: one call, one deadline
shapes        what requests and replies are made of, as types
problems      how a call fails, each with the daemon's sentence
operations    operations on volumes, carried to their end
attachments   from what Cinder and nova say of a volume to a request, and back
copies        local copies come home, so that an instance can migrate
connector     os-brick's connector (imports os-brick)
nova_driver   nova's libvirt driver and its driver of our volumes (imports nova)
cinder_driver Cinder's driver (imports cinder)
register      puts these into os-brick's and nova's tables
everywhere    the same in every process of the host that uses os-brick, where a .pth file says so
compute       volward-nova-compute, for who wants no file of ours in nova's folder
"""

__version__ = "0.1.0"
