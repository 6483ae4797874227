"""The kernel's vsock, where there is one with a loopback: in a guest, rarely elsewhere.

Nothing here connects to another machine: what answers there would be somebody's host.

"""

from __future__ import annotations

import socket
from typing import Final

import pytest

from trionitro.abc import VMADDR_ANY

__all__ = ["HAS_LOOPBACK", "LOCAL", "needs_loopback", "needs_vsock", "vsock_pair"]

#: ``VMADDR_CID_LOCAL``: the machine itself.
LOCAL: Final = 1


def can_bind(cid: int) -> bool:
    """Tell whether the kernel takes ``cid`` for one of its own."""
    try:
        with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as sock:
            sock.bind((cid, VMADDR_ANY))
    except (OSError, AttributeError):
        return False
    return True


HAS_LOOPBACK: Final = can_bind(LOCAL)

needs_vsock = pytest.mark.skipif(
    not can_bind(VMADDR_ANY), reason="this kernel has no vsock"
)
needs_loopback = pytest.mark.skipif(
    not HAS_LOOPBACK, reason="this kernel has no vsock loopback (CID 1)"
)


def vsock_pair() -> tuple[socket.socket, socket.socket]:
    """Connect two AF_VSOCK sockets: the one that dialled, and the other."""
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as listener:
        listener.bind((VMADDR_ANY, VMADDR_ANY))
        listener.listen()
        near = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        near.connect((LOCAL, listener.getsockname()[1]))
        return near, listener.accept()[0]
