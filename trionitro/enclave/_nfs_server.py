"""Waiting until an NFS server answers, however many proxies are on the way to it.

That a connection can be opened says nothing: the enclave's own route accepts it, and
finds out only then whether there is a parent, and the parent whether there is a server.

"""

from __future__ import annotations

import secrets
from typing import Final

import structlog
import trio
import trio.abc

from trionitro._exceptions import CannotStartError, ProtocolError
from trionitro.enclave._nfs_rpc import (
    HEADER_SIZE,
    check_reply_untrusted,
    length_untrusted,
    null_call,
)
from trionitro.manifest import PlannedVolume

__all__ = ["wait_for_server"]

_log = structlog.get_logger("trionitro.enclave")

#: Seconds for a server to answer: it has proved nothing yet.
_PROOF_TIMEOUT: Final = 5.0

#: Seconds before it is asked again.
_PAUSE: Final = 0.5

#: Seconds from one line that says so to the next.
_TELL_INTERVAL: Final = 5.0


async def wait_for_server(volume: PlannedVolume, *, patience: float) -> None:
    """Wait until the server of ``volume`` answers.

    Args:
      volume: says where.
      patience: seconds to wait in all.

    Raises:
      CannotStartError: if it doesn't.

    """
    problem = "it didn't answer"
    told = trio.current_time()
    with trio.move_on_after(patience):
        while True:
            try:
                await _ask(volume.address, volume.port)
            except (OSError, ProtocolError, trio.BrokenResourceError) as exc:
                problem = str(exc) if isinstance(exc, ProtocolError) else _why(exc)
            except trio.TooSlowError:
                problem = f"it didn't answer within {_PROOF_TIMEOUT:g} s"
            else:
                return
            if trio.current_time() >= told:
                _log.info("waiting for NFS", volume=volume.place, problem=problem)
                told = trio.current_time() + _TELL_INTERVAL
            await trio.sleep(_PAUSE)
    raise CannotStartError(
        f"{volume.place}: no NFS server at {volume.address}:{volume.port} in"
        f" {patience:g} s: {problem}; start NFS version 4 on the parent (systemctl"
        " start nfs-server), and `trionitro parent`"
    )


async def _ask(host: str, port: int) -> None:
    xid = secrets.randbits(32)
    with trio.fail_after(_PROOF_TIMEOUT):
        async with await trio.open_tcp_stream(host, port) as stream:
            await stream.send_all(null_call(xid))
            length = length_untrusted(await _receive(stream, HEADER_SIZE))
            check_reply_untrusted(await _receive(stream, length), xid)


async def _receive(stream: trio.abc.ReceiveStream, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = await stream.receive_some(size - len(data))
        if not piece:
            raise ProtocolError("the connection was closed without an answer")
        data += piece
    return bytes(data)


def _why(problem: Exception) -> str:
    if isinstance(problem, OSError):
        return problem.strerror or str(problem)
    return "the connection was broken off: nothing answers behind the proxies"
