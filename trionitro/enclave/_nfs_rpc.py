"""Asking an NFS server whether it is there, without asking it for anything.

Every RPC program answers procedure 0, NULL, which does nothing (RFC 5531 §12.1; for
NFSv4 RFC 7530 §16.1). On TCP a message is one fragment or several, each with four bytes
in front: the highest bit marks the last, the rest is its length (RFC 5531 §11). This
module does no I/O.

"""

from __future__ import annotations

import struct
from typing import Final

from trionitro._exceptions import ProtocolError

__all__ = ["HEADER_SIZE", "MAX_REPLY", "check_reply_untrusted", "length_untrusted"]
__all__ += ["null_call"]

#: Bytes in front of a fragment.
HEADER_SIZE: Final = 4

#: A reply to NULL has 24 bytes, and a verifier of at most 400.
MAX_REPLY: Final = 512

_LAST_FRAGMENT: Final = 0x8000_0000

_NFS: Final = 100003
_VERSION: Final = 4

#: xid, CALL, RPC version 2, program, version, procedure NULL; then credentials and
#: verifier, each AUTH_NONE and of no bytes.
_CALL: Final = struct.Struct("!I5I 4I")

#: xid, REPLY, MSG_ACCEPTED, the verifier's kind and length.
_REPLY: Final = struct.Struct("!5I")

_STATUS: Final = struct.Struct("!I")

_REPLIED, _ACCEPTED, _SUCCESS = 1, 0, 0

#: ``accept_stat`` of RFC 5531 §9.
_TROUBLES: Final = {
    1: "it has no NFS",
    2: "it has NFS, but not version 4",
    3: "it doesn't know procedure 0",
    4: "it couldn't read the call",
    5: "it failed",
}


def null_call(xid: int) -> bytes:
    """Write the call of NFSv4's procedure 0, with the number ``xid``."""
    call = _CALL.pack(xid, 0, 2, _NFS, _VERSION, 0, 0, 0, 0, 0)
    return struct.pack("!I", _LAST_FRAGMENT | len(call)) + call


def length_untrusted(header: bytes) -> int:
    """Read how long a reply is from the ``HEADER_SIZE`` bytes in front of it.

    Raises:
      ProtocolError: if it is longer than such a reply can be, or in parts.

    """
    (mark,) = struct.unpack("!I", header)
    length: int = mark & ~_LAST_FRAGMENT
    if not mark & _LAST_FRAGMENT or length > MAX_REPLY:
        raise ProtocolError("what answers there is no NFS server")
    return length


def check_reply_untrusted(reply: bytes, xid: int) -> None:
    """Check that a server has done what the call ``xid`` asks for, which is nothing.

    Raises:
      ProtocolError: if it hasn't, or it is no reply to that call.

    """
    try:
        number, kind, state, _, verifier = _REPLY.unpack_from(reply)
        if (number, kind) != (xid, _REPLIED):
            raise ProtocolError("what answers there is no NFS server")
        if state != _ACCEPTED:
            raise ProtocolError("the NFS server denies the call")
        (status,) = _STATUS.unpack_from(reply, _REPLY.size + verifier)
    except struct.error:
        raise ProtocolError("what answers there is no NFS server") from None
    if status != _SUCCESS:
        trouble = _TROUBLES.get(status, f"its status is {status}")
        raise ProtocolError(f"the server there won't do: {trouble}")
