"""An application with a proxy: the program that ``responsiveness`` measures.

    application.py together|apart resting|answering|hashing ANSWERS PORT DIRECTORY

The proxy listens on PORT of 127.0.0.1 and connects to the unix socket
DIRECTORY/3/8000.sock: in the application's own thread, or in a process of its own. The
application answers on the port ANSWERS, or hashes, or does nothing.

Whoever connects to DIRECTORY/application.sock observes it for as long as the
connection lasts. The observer sends what time it is, again and again, and the
application notes how late it is when its turn comes to hear it. When the observer has
sent its end-of-file, it is told in JSON how late that was each time, and how much work
was done meanwhile.

"""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import structlog
import trio
from trionitro import TcpEndpoint, VsockEndpoint
from trionitro.proxy import NO_ALLOWLIST, Proxy, ProxyConfig, Route, Surroundings
from trionitro.vsock import parse_network

__all__ = ["main"]

#: How long the hashing application computes before it lets others have a turn, in
#: seconds: what one who minds his neighbours does.
_SLICE: Final = 100e-6

#: What it hashes at once. Python keeps its lock for that: of more than 2047 bytes it
#: would let it go.
_BLOCK: Final = bytes(1024)

#: How many blocks the answering application hashes for each answer: a good 100
#: microseconds of work on a machine of today.
_BLOCKS_PER_ANSWER: Final = 64

#: What the load generator's greeting is long, which the answering one has no use for.
_GREETING_SIZE: Final = 8

_TIME: Final = struct.Struct("d")


@attrs.define(eq=False)
class Application:
    """What the application does.

    Attributes:
      work: how many blocks it has hashed.

    """

    work: int = 0

    async def observed(
        self, observer: trio.SocketStream, *, hashing: bool
    ) -> dict[str, object]:
        """Hear the time from the observer, and hash meanwhile if it is to.

        Returns:
          How many blocks were hashed meanwhile, and how late it was each time when
          it heard what time it is, in seconds.

        """
        before = self.work
        late: list[float] = []
        async with trio.open_nursery() as nursery:
            if hashing:
                nursery.start_soon(self.hash_on)
            while times := await observer.receive_some():
                now = time.monotonic()
                late += [now - sent for (sent,) in _TIME.iter_unpack(times)]
            nursery.cancel_scope.cancel()
        return {"work": self.work - before, "late": late}

    async def hash_on(self) -> None:
        """Compute in slices, and let others have their turn between them."""
        while True:
            pause_at = time.perf_counter() + _SLICE
            while time.perf_counter() < pause_at:
                hashlib.sha256(_BLOCK)
                self.work += 1
            await trio.lowlevel.checkpoint()

    async def answer(self, client: trio.SocketStream) -> None:
        """Send back what a client says, each time after some work."""
        to_skip = _GREETING_SIZE
        async with client:
            while said := await client.receive_some():
                answer, to_skip = said[to_skip:], max(0, to_skip - len(said))
                if answer:
                    for _ in range(_BLOCKS_PER_ANSWER):
                        hashlib.sha256(_BLOCK)
                    self.work += _BLOCKS_PER_ANSWER
                    await client.send_all(answer)


async def main(
    placing: str, kind: str, answers: int, port: int, directory: Path
) -> None:
    """Run until killed."""
    application = Application()
    observers = trio.socket.socket(trio.socket.AF_UNIX)
    await observers.bind(str(directory / "application.sock"))
    observers.listen()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(trio.serve_tcp, application.answer, answers, host="127.0.0.1")
        )
        nursery.start_soon(_PLACINGS[placing], port, directory)
        while True:
            connection, _ = await observers.accept()
            async with trio.SocketStream(connection) as observer:
                found = await application.observed(observer, hashing=kind == "hashing")
                await observer.send_all(json.dumps(found).encode())


async def _proxy_in_this_thread(port: int, directory: Path) -> None:
    listen = TcpEndpoint("127.0.0.1", port)
    route = Route(listen=listen, forward=VsockEndpoint(3, 8000))
    network = parse_network(f"local:{directory}?cid=16")
    proxy = Proxy(Surroundings(network, NO_ALLOWLIST))
    await proxy.serve(ProxyConfig(routes=(route,)))


async def _proxy_in_a_process(port: int, directory: Path) -> None:
    command = [sys.executable, "-m", "trionitro.proxy"]
    command += [f"tcp://127.0.0.1:{port}", "vsock://3:8000"]
    await trio.run_process([*command, "--vsock", f"local:{directory}?cid=16"])


_PLACINGS: Final[dict[str, Callable[[int, Path], Awaitable[object]]]] = {
    "together": _proxy_in_this_thread,
    "apart": _proxy_in_a_process,
}

if __name__ == "__main__":
    # As in the proxy's own program: without this, structlog writes all of it.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO)
    )
    # What a program that has run for a while has behind it: the one long collection
    # that looks at all that was imported.
    gc.collect()
    _, place, what, own_port, proxy_port, where = sys.argv
    trio.run(main, place, what, int(own_port), int(proxy_port), Path(where))
