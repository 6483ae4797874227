"""Interfaces and addresses by netlink, as far as a boot needs it: three requests.

A message is a header, a record, and for addresses attributes (rtnetlink(7))::

    nlmsghdr   length, kind, flags, sequence, port
    ifinfomsg  family, type, index, flags, which of the flags change
    ifaddrmsg  family, prefix length, flags, scope, index
    rtattr     length, type; then its data

The kernel does what is asked while it is being sent, so that its answer can be read at
once. A request is no more than a system call, and nothing can be cancelled in between.

They are written by hand because a library for them (pyroute2) takes longer to import
than all the rest of a boot, and would be the larger part of an enclave's image.

"""

from __future__ import annotations

import errno
import os
import socket
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final

__all__ = ["add_address", "bring_up", "remove_address"]

_HEADER: Final = struct.Struct("=IHHII")
_INTERFACE: Final = struct.Struct("=BxHiII")
_ADDRESS: Final = struct.Struct("=BBBBI")
_ATTRIBUTE: Final = struct.Struct("=HH")

#: What an answer's header is followed by: 0 for an acknowledgement, -n for the error n.
_ERROR: Final = struct.Struct("=i")

#: Kinds of messages (``linux/rtnetlink.h``, ``linux/netlink.h``).
_RTM_NEWLINK: Final = 16
_RTM_NEWADDR: Final = 20
_RTM_DELADDR: Final = 21
_NLMSG_ERROR: Final = 2

#: Flags of messages: a request that wants an answer; make something new.
_REQUEST: Final = 0x1 | 0x4
_CREATE_NEW: Final = 0x400 | 0x200

#: Attributes of addresses: the same for an interface without a peer.
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2

#: ``IFF_UP`` of ``linux/if.h``.
_IFF_UP: Final = 1

_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}

#: An answer is short; this is what it could be at most.
_MAX_ANSWER: Final = 2**16


def bring_up(interface: str) -> None:
    """Set an interface up; one that is up stays so.

    Raises:
      OSError: if there is no such interface, or we may not.

    """
    index = socket.if_nametoindex(interface)
    _request(_RTM_NEWLINK, 0, _INTERFACE.pack(0, 0, index, _IFF_UP, _IFF_UP))


def add_address(interface: str, address: IPv4Address | IPv6Address) -> None:
    """Give an interface an address of its own, with no network around it.

    Raises:
      FileExistsError: if it has that address.
      OSError: if there is no such interface, or we may not.

    """
    _request(_RTM_NEWADDR, _CREATE_NEW, _address_record(interface, address))


def remove_address(interface: str, address: IPv4Address | IPv6Address) -> None:
    """Take an address away that :func:`add_address` has added.

    Raises:
      OSError: if it isn't there, or we may not.

    """
    _request(_RTM_DELADDR, 0, _address_record(interface, address))


def _address_record(interface: str, address: IPv4Address | IPv6Address) -> bytes:
    family, index = _FAMILIES[address.version], socket.if_nametoindex(interface)
    record = _ADDRESS.pack(family, address.max_prefixlen, 0, 0, index)
    for kind in (_IFA_LOCAL, _IFA_ADDRESS):
        size = _ATTRIBUTE.size + len(address.packed)  # of 4 bytes or 16: no padding
        record += _ATTRIBUTE.pack(size, kind) + address.packed
    return record


def _request(kind: int, flags: int, record: bytes) -> None:
    header = _HEADER.pack(_HEADER.size + len(record), kind, _REQUEST | flags, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as sock:
        # An answer that isn't there at once is an error, and no reason to wait.
        sock.setblocking(False)
        sock.send(header + record)
        answer = sock.recv(_MAX_ANSWER)
    _, answered, *_ = _HEADER.unpack_from(answer)
    if answered != _NLMSG_ERROR:
        raise OSError(errno.EBADMSG, f"netlink answered with a message {answered}")
    (error,) = _ERROR.unpack_from(answer, _HEADER.size)
    if error:
        raise OSError(-error, os.strerror(-error))
