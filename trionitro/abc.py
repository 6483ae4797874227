"""The seams: what an enclave gets from its surroundings, as interfaces.

Production code depends on these and nothing behind them, which is why a whole
enclave runs in a test. This is a public namespace: everything in it is API.

"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

import attrs
import trio
import trio.abc

__all__ = [
    "VMADDR_ANY",
    "NsmDevice",
    "VsockAddress",
    "VsockListener",
    "VsockNetwork",
    "VsockStream",
]

#: "Any CID", "any port", and "not known" where a peer has not said who it is
#: (``VMADDR_CID_ANY`` and ``VMADDR_PORT_ANY`` of ``linux/vm_sockets.h``).
VMADDR_ANY: Final = 0xFFFF_FFFF


@attrs.frozen
class VsockAddress:
    """Who is at one end of a vsock stream.

    Attributes:
      cid: the context identifier, or ``VMADDR_ANY`` when it is not known.
      port: the port, or ``VMADDR_ANY`` when it is not known.

    """

    cid: int
    port: int

    def __str__(self) -> str:
        return f"vsock://{self.cid}:{self.port}"


class VsockStream(trio.abc.HalfCloseableStream):
    """A vsock connection.

    The rules are those of :class:`trio.abc.HalfCloseableStream`, with one
    warning: a vsock has no reset. A peer that was killed in the middle of a
    sentence reads as a clean end-of-file, so framing or TLS must tell a
    truncated stream from a whole one.

    """

    @property
    @abstractmethod
    def peer(self) -> VsockAddress:
        """The other end's CID and port, as far as the network vouches for them."""


class VsockListener(trio.abc.Listener[VsockStream]):
    """A port that vsock peers connect to."""

    @property
    @abstractmethod
    def port(self) -> int:
        """The port that is listened on."""


class VsockNetwork(ABC):
    """How vsock addresses become streams."""

    @property
    def cid(self) -> int | None:
        """This side's own CID, or None when the network can't tell."""
        return None

    @abstractmethod
    async def open_stream(self, cid: int, port: int) -> VsockStream:
        """Connect to ``port`` of the machine ``cid``.

        Raises:
          OSError: if nobody listens there, nobody is there, or this machine has
              no vsock; the message says which, as far as the network knows.

        Cancellation:
          Nothing is left open. The peer may have seen a connection come and go.

        """

    def open_stream_nowait(self, cid: int, port: int) -> VsockStream:
        """Connect, if that takes no waiting; a network need not be able to.

        Raises:
          trio.WouldBlock: if it might take time: use :meth:`open_stream`.
          OSError: as :meth:`open_stream` says.

        """
        raise trio.WouldBlock

    @abstractmethod
    async def open_listener(
        self, port: int, *, backlog: int | None = None
    ) -> VsockListener:
        """Listen on ``port``, for peers with any CID.

        Args:
          port: 0 to 2**32 - 2; ``VMADDR_ANY`` picks a free one.
          backlog: how many connections may wait to be accepted; None for the
              system's usual number.

        Raises:
          OSError: if the port is taken or not allowed, or there is no vsock.

        """


class NsmDevice(ABC):
    """The Nitro Security Module, as bytes: one CBOR request in, one response out."""

    @abstractmethod
    async def process(self, request: bytes) -> bytes:
        """Have the device answer ``request``.

        Args:
          request: at most 4096 bytes of CBOR.

        Returns:
          At most 12288 bytes of CBOR.

        Raises:
          NsmUnavailableError: if there is no such device here.
          OSError: if the device is there and fails.

        Cancellation:
          The device may have done what was asked: a request that is on its way
          can't be called back.

        """
