"""Interfaces and addresses by netlink, as far as a boot needs it.

The messages are pyroute2's. Its sockets are not used: behind their blocking calls
runs an asyncio loop, and neither belongs into Trio. A request of ours is no more than
a system call: the kernel does what is asked while it is being sent, so that the answer
can be read at once, and nothing can be cancelled in between.

"""

from __future__ import annotations

import errno
import os
import socket
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

from pyroute2.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REQUEST,
    NLMSG_ERROR,
)
from pyroute2.netlink.rtnl import RTM_DELADDR, RTM_NEWADDR, RTM_NEWLINK
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

__all__ = ["add_address", "bring_up", "remove_address"]

#: ``IFF_UP`` of ``linux/if.h``.
_IFF_UP: Final = 1

#: ``struct nlmsghdr``, then the number that ``struct nlmsgerr`` begins with: 0 is an
#: acknowledgement, -n the error n.
_ANSWER: Final = struct.Struct("=IHHII i")

_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}

#: Ours is the only request on a socket, so one number will do.
_SEQUENCE: Final = 1


def bring_up(interface: str) -> None:
    """Set an interface up; one that is up stays so.

    Raises:
      OSError: if there is no such interface, or we may not.

    """
    message = ifinfmsg()
    message["index"] = socket.if_nametoindex(interface)
    message["flags"] = message["change"] = _IFF_UP
    _request(message, RTM_NEWLINK)


def add_address(interface: str, address: IPv4Address | IPv6Address) -> None:
    """Give an interface an address of its own, with no network around it.

    Raises:
      FileExistsError: if it has that address.
      OSError: if there is no such interface, or we may not.

    """
    message = _address_message(interface, address)
    _request(message, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL)


def remove_address(interface: str, address: IPv4Address | IPv6Address) -> None:
    """Take an address away that :func:`add_address` has added.

    Raises:
      OSError: if it isn't there, or we may not.

    """
    _request(_address_message(interface, address), RTM_DELADDR)


def _address_message(interface: str, address: IPv4Address | IPv6Address) -> Any:
    message = ifaddrmsg()
    message["family"] = _FAMILIES[address.version]
    message["prefixlen"] = address.max_prefixlen
    message["index"] = socket.if_nametoindex(interface)
    message["attrs"] = [["IFA_LOCAL", str(address)], ["IFA_ADDRESS", str(address)]]
    return message


def _request(message: Any, kind: int, flags: int = 0) -> None:
    message["header"]["type"] = kind
    message["header"]["flags"] = NLM_F_REQUEST | NLM_F_ACK | flags
    message["header"]["sequence_number"] = _SEQUENCE
    message.encode()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as sock:
        # An answer that isn't there at once is an error, and no reason to wait.
        sock.setblocking(False)
        sock.send(message.data)
        answer = sock.recv(2**16)
    if len(answer) < _ANSWER.size:
        raise OSError(errno.EBADMSG, "the kernel's netlink answer is cut short")
    _, answered, _, _, _, error = _ANSWER.unpack_from(answer)
    if answered != NLMSG_ERROR:
        raise OSError(errno.EBADMSG, f"netlink answered with a message {answered}")
    if error:
        raise OSError(-error, os.strerror(-error))
