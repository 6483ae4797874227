"""Security modules on unix sockets: in this Trio run, or beside it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import trio

from trionitro.abc import NsmDevice
from trionitro.nsm import UnixNsm
from trionitro.testing import serve_nsm


@contextlib.asynccontextmanager
async def serving(device: NsmDevice, path: str) -> AsyncIterator[UnixNsm]:
    """Serve in a task."""
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_nsm, device, path)
        yield UnixNsm(path)
        nursery.cancel_scope.cancel()


@contextlib.contextmanager
def serving_elsewhere(device: NsmDevice, path: str) -> Iterator[None]:
    """Serve in a thread, out of reach of what is cancelled here."""
    started = Future[tuple[trio.lowlevel.TrioToken, trio.Event]]()

    async def serve() -> None:
        async with serving(device, path):
            stop = trio.Event()
            started.set_result((trio.lowlevel.current_trio_token(), stop))
            await stop.wait()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(trio.run, serve)
        token, stop = started.result(20)
        try:
            yield
        finally:
            token.run_sync_soon(stop.set)
            done.result(20)
