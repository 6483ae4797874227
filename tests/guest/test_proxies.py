"""Proxies as processes, on a real AF_VSOCK, in every direction."""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest
import trio

from tests.kernel_vsock import LOCAL
from tests.proxy.ends import Stream, answer_with_digest, receive_all
from trionitro import TcpEndpoint, parse_endpoint
from trionitro.sandbox import run_logged
from trionitro.vsock import KernelVsock

#: Four times as much as is on the way at most.
REQUEST = random.Random(1).randbytes(2**20)
DIGEST = hashlib.sha256(REQUEST).digest()

#: The vsock's ports: the target's, and a proxy's.
TARGET, PROXY = 9000, 8000

StartProxy = Callable[..., Awaitable[str]]


@pytest.fixture(name="start_proxy")
def _start_proxy(nursery: trio.Nursery) -> StartProxy:
    """Start a proxy, and return where it listens."""

    async def start(*args: str) -> str:
        options = ("--vsock", "kernel", "--log-format", "json")
        command = [sys.executable, "-m", "trionitro.proxy", *args, *options]
        logged = await nursery.start(partial(run_logged, command))
        (line,) = await logged.wait_logged("listening")
        return str(line["listen"])

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
        case _:
            return await KernelVsock().open_stream(LOCAL, PROXY)


async def test_the_parents_half_from_the_enclave_to_the_outside(
    start_proxy: StartProxy, tcp_target: str
) -> None:
    proxy = await start_proxy(f"vsock://:{PROXY}", tcp_target)

    assert await ask(await connect(proxy)) == DIGEST


async def test_the_enclaves_half_from_inside_to_the_parent(
    start_proxy: StartProxy, vsock_target: str
) -> None:
    proxy = await start_proxy("tcp://127.0.0.1:0", vsock_target)

    assert await ask(await connect(proxy)) == DIGEST


async def test_both_halves_in_a_row_on_the_way_out(
    start_proxy: StartProxy, tcp_target: str
) -> None:
    await start_proxy(f"vsock://:{PROXY}", tcp_target)
    enclave = await start_proxy("tcp://127.0.0.1:0", f"vsock://{LOCAL}:{PROXY}")

    assert await ask(await connect(enclave)) == DIGEST


async def test_both_halves_in_a_row_on_the_way_in_for_many_at_once(
    start_proxy: StartProxy, tcp_target: str
) -> None:
    """An ingress: the parent's half listens on TCP, the enclave's on the vsock."""
    await start_proxy(f"vsock://:{PROXY}", tcp_target)
    parent = await start_proxy("tcp://127.0.0.1:0", f"vsock://{LOCAL}:{PROXY}")

    answers: list[bytes] = []
    async with trio.open_nursery() as nursery:
        for _ in range(10):

            async def one() -> None:
                answers.append(await ask(await connect(parent)))

            nursery.start_soon(one)

    assert answers == [DIGEST] * 10


async def test_a_parent_between_two_enclaves(
    start_proxy: StartProxy, vsock_target: str
) -> None:
    proxy = await start_proxy(f"vsock://:{PROXY}", vsock_target)

    assert await ask(await connect(proxy)) == DIGEST


async def test_only_an_allowed_cid_is_served(
    start_proxy: StartProxy, tcp_target: str
) -> None:
    """The peer's CID is what the kernel says, and not what the peer does."""
    proxy = await start_proxy(f"vsock://:{PROXY}", tcp_target, "--allow-cid", "16")

    async with await connect(proxy) as stream:
        assert await stream.receive_some(1) == b""


async def test_an_allowed_cid_is_served(
    start_proxy: StartProxy, tcp_target: str
) -> None:
    proxy = await start_proxy(
        f"vsock://:{PROXY}", tcp_target, "--allow-cid", str(LOCAL)
    )

    assert await ask(await connect(proxy)) == DIGEST
