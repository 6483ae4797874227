"""Vsock networks: how a CID and a port become a stream."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from trionitro.abc import VMADDR_ANY as VMADDR_ANY
from trionitro.abc import VsockAddress as VsockAddress
from trionitro.abc import VsockListener as VsockListener
from trionitro.abc import VsockNetwork as VsockNetwork
from trionitro.abc import VsockStream as VsockStream
from trionitro.vsock._choice import VSOCK_VARIABLE as VSOCK_VARIABLE
from trionitro.vsock._choice import network_from as network_from
from trionitro.vsock._choice import parse_network as parse_network
from trionitro.vsock._firecracker import FirecrackerVsock as FirecrackerVsock
from trionitro.vsock._kernel import KernelVsock as KernelVsock
from trionitro.vsock._local import LocalVsock as LocalVsock
from trionitro.vsock._stream import SocketVsockListener as SocketVsockListener
from trionitro.vsock._stream import SocketVsockStream as SocketVsockStream

if TYPE_CHECKING:
    from trionitro.vsock._vhost_user import VhostUserSwitch as VhostUserSwitch
    from trionitro.vsock._vhost_user import VhostUserVsock as VhostUserVsock


def __getattr__(name: str) -> object:
    """Import what only the host of a virtual machine needs, when it is wanted.

    It is a tenth of the time in which any other program starts.

    """
    if name in {"VhostUserSwitch", "VhostUserVsock"}:
        return getattr(importlib.import_module("trionitro.vsock._vhost_user"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
