"""The only interface that an enclave has: lo, up, with an address for each route.

An enclave's lo is down when it starts, and has no address. Once it is up, all of
127.0.0.0/8 can be bound; addresses are added all the same, so that they are seen where
people look, and because a manifest may name others.

What was added is taken away at the end. That lo is up stays: nobody can tell any more
who relies on it.

"""

from __future__ import annotations

import contextlib
import errno
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Final, final

import attrs
import structlog
import trio

from trionitro._exceptions import CannotStartError
from trionitro.enclave import _netlink

__all__ = ["IPAddress", "Loopback", "NetlinkLoopback", "loopback_addresses"]

_log = structlog.get_logger("trionitro.enclave")

IPAddress = IPv4Address | IPv6Address

#: What every program takes for granted; it comes with lo being up.
_LOCALHOST: Final = IPv4Address("127.0.0.1")

#: Seconds before an address is tried again, at first, and for how long.
_FIRST_PAUSE: Final = 0.001
_PATIENCE: Final = 2.0

_REMEDIES: Final = {
    errno.EPERM: "boot as root, or with CAP_NET_ADMIN",
    errno.ENODEV: "boot in a network namespace that has lo",
    errno.EOPNOTSUPP: "use a kernel with IPv6 (CONFIG_IPV6), or an IPv4 address",
    errno.EAFNOSUPPORT: "use a kernel with netlink (CONFIG_NET)",
}


class Loopback(ABC):
    """What the boot asks of the loopback interface. The kernel answers at once."""

    @abstractmethod
    def bring_up(self) -> None:
        """Set it up; where it is up already, nothing happens.

        Raises:
          OSError: if that can't be.

        """

    @abstractmethod
    def add(self, address: IPAddress) -> None:
        """Add an address.

        Raises:
          FileExistsError: if it is there.
          OSError: if that can't be.

        """

    @abstractmethod
    def remove(self, address: IPAddress) -> None:
        """Take an address away that was added.

        Raises:
          OSError: if that can't be.

        """


@final
@attrs.frozen
class NetlinkLoopback(Loopback):
    """The kernel's lo, in the network namespace that this process is in."""

    def bring_up(self) -> None:
        """Set it up, as :meth:`.Loopback.bring_up` says."""
        _netlink.bring_up("lo")

    def add(self, address: IPAddress) -> None:
        """Add an address, as :meth:`.Loopback.add` says."""
        _netlink.add_address("lo", address)

    def remove(self, address: IPAddress) -> None:
        """Take an address away, as :meth:`.Loopback.remove` says."""
        _netlink.remove_address("lo", address)


@contextlib.asynccontextmanager
async def loopback_addresses(
    addresses: Iterable[IPAddress], *, loopback: Loopback
) -> AsyncIterator[None]:
    """Have lo up, and ``addresses`` on it, as long as this lasts.

    An address that is there already is used, and stays. Where we may not change lo,
    and it is as it should be, that is no error.

    Raises:
      CannotStartError: if an address can't be had.

    """
    with contextlib.ExitStack() as added:
        _bring_up(loopback)
        for address in dict.fromkeys(addresses):
            if _add(loopback, address):
                added.callback(_remove, loopback, address)
            await _wait_until_usable(address)
        yield


def _bring_up(loopback: Loopback) -> None:
    try:
        loopback.bring_up()
        _try(_LOCALHOST)
    except OSError as exc:
        if not _is_denied_but_usable(exc, _LOCALHOST):
            raise _cannot("bring the interface lo up", exc) from exc


def _add(loopback: Loopback, address: IPAddress) -> bool:
    """Add ``address``, and return whether it must be taken away again."""
    try:
        loopback.add(address)
    except OSError as exc:
        if not isinstance(exc, FileExistsError) and not _is_denied_but_usable(
            exc, address
        ):
            raise _cannot(f"add the address {address} to lo", exc) from exc
        return False
    return True


async def _wait_until_usable(address: IPAddress) -> None:
    """Wait for the kernel to make use of an address.

    That of an IPv4 address is at once. An IPv6 address is "tentative" until a worker of
    the kernel has come to it, and the way to it is made after that; nothing tells when.

    """
    pause = _FIRST_PAUSE
    deadline = trio.current_time() + _PATIENCE
    await trio.lowlevel.checkpoint()
    while True:
        try:
            _try(address)
        except OSError as exc:
            if trio.current_time() >= deadline:
                raise _cannot(f"use the address {address} of lo", exc) from exc
        else:
            return
        await trio.sleep(pause)
        pause *= 2


def _remove(loopback: Loopback, address: IPAddress) -> None:
    try:
        loopback.remove(address)
    except OSError as exc:
        _log.warning("address not removed", address=str(address), problem=exc.strerror)


def _is_denied_but_usable(problem: OSError, address: IPAddress) -> bool:
    if problem.errno != errno.EPERM:
        return False
    try:
        _try(address)
    except OSError:
        return False
    return True


def _try(address: IPAddress) -> None:
    """Have the kernel say whether ``address`` is its own, and leads anywhere."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((str(address), 0))
        # While nothing has an address at all, any can be bound; but there is no way
        # to it. Connecting a datagram socket only looks for one.
        sock.connect(sock.getsockname())


def _cannot(what: str, problem: OSError) -> CannotStartError:
    remedy = _REMEDIES.get(problem.errno or 0, "check the address in the manifest")
    return CannotStartError(f"can't {what}: {problem.strerror or problem}; {remedy}")
