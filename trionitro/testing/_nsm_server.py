"""A security module for other processes, on a unix socket as ``unix:PATH`` wants."""

from __future__ import annotations

import os
from functools import partial
from typing import NoReturn

import trio

from trionitro._channel import FramedChannel
from trionitro._exceptions import ProtocolError
from trionitro._unix import open_unix_listener
from trionitro.abc import NsmDevice

__all__ = ["serve_nsm"]


async def serve_nsm(
    device: NsmDevice,
    path: str | os.PathLike[str],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Have ``device`` answer whoever connects to the unix socket at ``path``.

    A connection carries any number of requests, one after the other, in frames.

    Args:
      device: what answers; its errors end the server.
      path: where to listen; the socket is removed in the end.
      task_status: started when it is listened on.

    Raises:
      OSError: if it can't be listened on; the message names it.

    """
    listener = await open_unix_listener(path)
    async with listener:
        task_status.started()
        await trio.serve_listeners(partial(_answer_client, device), [listener])


async def _answer_client(device: NsmDevice, stream: trio.SocketStream) -> None:
    async with FramedChannel(stream) as channel:
        try:
            async for request in channel:
                await channel.send(await device.process(request))
        except (ProtocolError, trio.BrokenResourceError):
            # A client that stops in the middle, or that is none: its own affair.
            return
