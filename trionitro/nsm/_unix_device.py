"""A security module behind a unix socket: the emulator, or a program of your own.

Frames (:mod:`trionitro._framing`) go over it, and each carries exactly what the ioctl
of ``/dev/nsm`` would take or give.

"""

from __future__ import annotations

import errno
import os
from typing import final

import attrs
import trio

from trionitro._channel import FramedChannel
from trionitro._unix import open_unix_stream
from trionitro.abc import NsmDevice
from trionitro.nsm._errors import NsmUnavailableError
from trionitro.nsm._wire import (
    MAX_RESPONSE_SIZE,
)

__all__ = ["UnixNsm"]


def _to_text(path: str | os.PathLike[str]) -> str:
    return os.fspath(path)


@final
@attrs.frozen
class UnixNsm(NsmDevice):
    """A security module that listens on a unix socket.

    Whoever listens there is the module: it is for development, and for tests.

    Attributes:
      path: where the socket is.

    """

    path: str = attrs.field(converter=_to_text)

    async def process(self, request: bytes) -> bytes:
        """Have a request answered, as :meth:`.NsmDevice.process` says.

        Raises:
          ProtocolError: if what comes back is no frame.

        Cancellation:
          Nothing is left open. The module may have done what was asked.

        """
        # A connection for each request: were it kept, the answer to a request whose
        # sender was cancelled would be taken for that to the next.
        async with await self._connect() as channel:
            try:
                await channel.send(request)
                return await channel.receive()
            except (trio.EndOfChannel, trio.BrokenResourceError):
                raise OSError(
                    errno.ECONNRESET,
                    f"the security module at unix:{self.path} hung up without an"
                    " answer; see what it logs",
                ) from None

    async def _connect(self) -> FramedChannel:
        try:
            stream = await open_unix_stream(self.path)
        except (FileNotFoundError, ConnectionRefusedError):
            raise NsmUnavailableError(
                f"no security module listens on unix:{self.path}; start one with"
                f" 'trionitro nsm emulate --listen unix:{self.path}'"
            ) from None
        return FramedChannel(stream, max_size=MAX_RESPONSE_SIZE)
