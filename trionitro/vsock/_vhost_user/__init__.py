"""The device side of a virtual machine's vsock, over the vhost-user protocol.

A VMM such as QEMU keeps the virtio device's registers, and leaves the packets to
whoever listens on a unix socket: here that is this package. It maps the guest's
memory, takes packets from its virtqueues, and makes streams of them.

::

    _packets, _receive_buffer, _connection   what is said on a vsock (no I/O)
    _exchange, _stream                       connections as streams
    _memory, _virtqueue, _barrier, _rings    packets in and out of a guest's memory
    _messages, _ancillary, _device           what the VMM says about all that
    _switch                                  from one guest to another
    _session, _network                       sockets, tasks, and the public face

"""

from __future__ import annotations

from trionitro.vsock._vhost_user._network import VhostUserVsock as VhostUserVsock
from trionitro.vsock._vhost_user._switch import VhostUserSwitch as VhostUserSwitch
