"""Two enclaves that talk to each other, which only their parent can arrange.

The parent runs a proxy as one task of its own program. On the command line it is
``python -m trionitro.proxy vsock://:9000 vsock://17:9000 --allow-cid 16``.
"""

from __future__ import annotations

import trio

from trionitro import parse_endpoint
from trionitro.abc import VsockStream
from trionitro.proxy import NO_ALLOWLIST, Proxy, ProxyConfig, Route, Surroundings
from trionitro.testing import MemoryVsock

PARENT, ALICE, BOB = 3, 16, 17

CONFIG = ProxyConfig(
    routes=(
        Route(
            listen=parse_endpoint("vsock://:9000"),
            forward=parse_endpoint(f"vsock://{BOB}:9000"),
            allow_cids=frozenset({ALICE}),
        ),
    ),
)


async def be_bob(stream: VsockStream) -> None:
    """Say who seems to be there: it is the parent, whoever is behind it."""
    await stream.send_all(b"hello, CID %d, I am Bob" % stream.peer.cid)


async def main() -> None:
    """Let Alice call, and then somebody whom the route doesn't admit."""
    parent = MemoryVsock(PARENT)
    async with trio.open_nursery() as nursery:
        listener = await parent.at(BOB).open_listener(9000)
        nursery.start_soon(trio.serve_listeners, be_bob, [listener])
        proxy = Proxy(Surroundings(parent, NO_ALLOWLIST))
        await nursery.start(proxy.serve, CONFIG)

        for caller in (ALICE, 99):
            async with await parent.at(caller).open_stream(PARENT, 9000) as stream:
                print(f"CID {caller} hears {bytes(await stream.receive_some())!r}")
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
