"""What the kernel's vsock errors mean, and what to do about each.

The kernel knows few words for many things: most of these mean something else on a
vsock than their usual text says.

"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from trionitro.abc import VMADDR_ANY, VsockAddress

__all__ = ["CONNECTING", "LISTENING", "connect_error", "listen_error"]

_NO_VSOCK: Final = (
    "this machine has no vsock; load the module vsock, or use --vsock local:DIR to try"
    " things out"
)

#: What an errno of connect(2) means.
CONNECTING: Final[Mapping[int, str]] = MappingProxyType(
    {
        errno.ECONNRESET: (
            "nobody listens on that port; start the other side, or check the port"
        ),
        errno.ENODEV: (
            "no transport goes there; connecting to oneself needs the module"
            " vsock_loopback, and on a parent with vhost_vsock loaded that module"
            " takes the connection instead of the enclave: unload it. Use"
            " --vsock local:DIR to try things out"
        ),
        errno.ENETUNREACH: (
            "the transport doesn't go there; the parent is CID 3, and an enclave"
            " reaches no other one"
        ),
        errno.EAFNOSUPPORT: _NO_VSOCK,
    }
)

#: What an errno of bind(2) means.
LISTENING: Final[Mapping[int, str]] = MappingProxyType(
    {
        errno.EACCES: (
            "a port below 1024 needs CAP_NET_BIND_SERVICE; use a higher one, or give"
            " the program that capability"
        ),
        errno.EADDRINUSE: (
            "somebody listens there already; stop them, or use another port"
        ),
        errno.EADDRNOTAVAIL: "that CID is not this machine's",
        errno.EAFNOSUPPORT: _NO_VSOCK,
    }
)


def connect_error(error: OSError, address: VsockAddress) -> OSError:
    """Make an error like ``error`` that says what went wrong at ``address``."""
    return _explained(error, f"can't connect to {address}", CONNECTING)


def listen_error(error: OSError, port: int) -> OSError:
    """Make an error like ``error`` that says why nobody can listen on ``port``."""
    where = "a free vsock port" if port == VMADDR_ANY else f"vsock://:{port}"
    return _explained(error, f"can't listen on {where}", LISTENING)


def _explained(error: OSError, what: str, meanings: Mapping[int, str]) -> OSError:
    code = error.errno or 0
    meaning = meanings.get(code, os.strerror(code))
    return OSError(error.errno, f"{what}: {meaning}")
