"""Proxies as processes, on a real AF_VSOCK, in every direction."""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from itertools import chain

import pytest
import trio

from tests.kernel_vsock import LOCAL
from tests.proxy.ends import Stream, answer_with_digest, receive_all
from trionitro import TcpEndpoint, VsockEndpoint, parse_endpoint
from trionitro.sandbox import run_logged
from trionitro.vsock import KernelVsock

#: Four times as much as is on the way at most.
REQUEST = random.Random(1).randbytes(2**20)
DIGEST = hashlib.sha256(REQUEST).digest()

#: The vsock's ports: the target's, and the proxies'.
TARGET, EGRESS, INGRESS, BETWEEN = 9000, 8000, 8001, 8002

StartProxy = Callable[..., Awaitable[list[str]]]


@pytest.fixture(name="start_proxy")
def _start_proxy(nursery: trio.Nursery) -> StartProxy:
    """Start a proxy with some routes, and return where each of them listens."""

    async def start(*routes: tuple[str, str], options: Sequence[str] = ()) -> list[str]:
        words = (*chain(*routes), *options, "--vsock", "kernel", "--log-format", "json")
        command = [sys.executable, "-m", "trionitro.proxy", *words]
        logged = await nursery.start(partial(run_logged, command))
        lines = await logged.wait_logged("listening", len(routes))
        return [str(line["listen"]) for line in lines]

    return start


@pytest.fixture(name="tcp_target")
async def _tcp_target(nursery: trio.Nursery) -> str:
    """A server outside: answers with the digest of what it was sent."""
    serve = partial(trio.serve_tcp, answer_with_digest, 0, host="127.0.0.1")
    listeners = await nursery.start(serve)
    return f"tcp://127.0.0.1:{listeners[0].socket.getsockname()[1]}"


@pytest.fixture(name="vsock_target")
async def _vsock_target(nursery: trio.Nursery) -> AsyncIterator[str]:
    """A server on the vsock: answers with the digest of what it was sent."""
    async with await KernelVsock().open_listener(TARGET) as listener:
        nursery.start_soon(trio.serve_listeners, answer_with_digest, [listener])
        yield f"vsock://{LOCAL}:{TARGET}"


async def ask(stream: Stream) -> bytes:
    """Send the request and end-of-file, and return what comes back."""
    async with stream:
        await stream.send_all(REQUEST)
        await stream.send_eof()
        return await receive_all(stream)


async def connect(endpoint: str) -> Stream:
    match parse_endpoint(endpoint):
        case TcpEndpoint(host=host, port=port):
            return await trio.open_tcp_stream(host, port)
        case VsockEndpoint(port=port):
            return await KernelVsock().open_stream(LOCAL, port)
        case other:
            raise AssertionError(other)


async def test_a_request_is_answered_in_every_direction(
    start_proxy: StartProxy, tcp_target: str, vsock_target: str
) -> None:
    """By one half alone, and by both in a row."""
    out, between, to_parent, into = await start_proxy(
        (f"vsock://:{EGRESS}", tcp_target),
        (f"vsock://:{BETWEEN}", vsock_target),
        ("tcp://127.0.0.1:0", vsock_target),
        ("tcp://127.0.0.1:0", f"vsock://{LOCAL}:{INGRESS}"),
    )
    (from_inside, _) = await start_proxy(
        ("tcp://127.0.0.1:0", f"vsock://{LOCAL}:{EGRESS}"),
        (f"vsock://:{INGRESS}", tcp_target),
    )
    ways = {
        "the parent's half, from the enclave to the outside": out,
        "the parent's half, between two enclaves": between,
        "the enclave's half, from inside to the parent": to_parent,
        "both halves, on the way out": from_inside,
        "both halves, on the way in": into,
    }

    answers = {way: await ask(await connect(end)) for way, end in ways.items()}
    at_once = []
    async with trio.open_nursery() as nursery:

        async def one() -> None:
            at_once.append(await ask(await connect(into)))

        for _ in range(10):
            nursery.start_soon(one)

    assert answers == dict.fromkeys(ways, DIGEST)
    assert at_once == [DIGEST] * 10


async def test_only_an_allowed_cid_is_served(
    start_proxy: StartProxy, tcp_target: str
) -> None:
    """The peer's CID is what the kernel says, and not what the peer does."""
    route = (f"vsock://:{EGRESS}", tcp_target)
    (proxy,) = await start_proxy(route, options=("--allow-cid", "16"))

    async with await connect(proxy) as stream:
        assert await stream.receive_some(1) == b""


async def test_an_allowed_cid_is_served(
    start_proxy: StartProxy, tcp_target: str
) -> None:
    route = (f"vsock://:{EGRESS}", tcp_target)
    (proxy,) = await start_proxy(route, options=("--allow-cid", str(LOCAL)))

    assert await ask(await connect(proxy)) == DIGEST
