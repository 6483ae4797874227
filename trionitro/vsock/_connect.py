r"""The handshake of a hybrid vsock, as bytes.

A host that wants to reach port 52 of a guest connects to the VMM's unix socket and
says ``CONNECT 52\n``. The VMM answers ``OK 1073741824\n``, and from there on every
byte is the guest's. It refuses by closing the socket. This is what Firecracker,
cloud-hypervisor and vhost-device-vsock speak.

"""

from __future__ import annotations

import re
from typing import Final

from trionitro._exceptions import ProtocolError

__all__ = ["encode_connect", "is_answered_untrusted"]

#: An answer with the highest number there is takes 14 bytes. Firecracker reads at
#: most 32 of the command, and we of the answer.
_MAX_LINE: Final = 32

_OK: Final = re.compile(rb"OK [0-9]+\n")


def encode_connect(port: int) -> bytes:
    """Ask for ``port``; must be sent in one piece, Firecracker doesn't wait."""
    return b"CONNECT %d\n" % port


def is_answered_untrusted(received: bytes) -> bool:
    """Tell whether ``received`` is the whole answer, or more bytes are needed.

    The number in it is Firecracker's port on the host's side, and something else
    with others: it means nothing here.

    Raises:
      ProtocolError: if it can't be the answer any more.

    """
    if received.endswith(b"\n"):
        if not _OK.fullmatch(received):
            raise ProtocolError(f"the answer to CONNECT is {received!r}, not OK")
        return True
    if len(received) >= _MAX_LINE:
        raise ProtocolError(
            f"the answer to CONNECT has no end after {len(received)} bytes:"
            f" {received!r}"
        )
    return False
