"""VhostUserVsock under a real QEMU, with a real kernel's AF_VSOCK in its guest.

Where the environment variable ``TRIONITRO_TEST_VM`` is set, and a kit for guests can
be built; that takes minutes. One guest serves all the checks, as it is slow to boot.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
import trio

from trionitro import Ending, relay
from trionitro.abc import VsockStream
from trionitro.vm import Machine, build_kit, run_guest
from trionitro.vsock import VhostUserVsock

pytestmark = [
    pytest.mark.skipif(
        "TRIONITRO_TEST_VM" not in os.environ,
        reason="boots a virtual machine, which TRIONITRO_TEST_VM=1 asks for",
    ),
    pytest.mark.timeout(900),
]

GUEST: Final = 16
END, ECHO, DIGEST, SOURCE, HANG_UP, END_THEN_READ, TELL, STOP_READING, DIAL = range(
    2000, 2009
)
READY: Final = 9000

LARGE: Final = bytes(range(256)) * 2**14


@asynccontextmanager
async def guest_on(network: VhostUserVsock, out: Path) -> AsyncIterator[None]:
    """Boot a guest, and let it end by itself."""
    kit = await trio.to_thread.run_sync(build_kit)
    machine = Machine(kit=kit, vsock=Path(network.socket_path), devices=())
    work = Path(__file__).with_name("guest")
    async with trio.open_nursery() as nursery:
        await nursery.start(network.serve)
        async with (
            await network.open_listener(READY) as ready,
            trio.open_nursery() as running,
        ):
            running.start_soon(run_guest, machine, work, out)
            await (await ready.accept()).aclose()
            yield
            await (await network.open_stream(GUEST, END)).aclose()
        nursery.cancel_scope.cancel()


async def read_all(stream: VsockStream) -> bytes:
    """Read until end-of-file, and close."""
    async with stream:
        return b"".join([bytes(data) async for data in stream])


async def ask(network: VhostUserVsock, port: int, question: bytes = b"") -> bytes:
    """Connect, say something with an end, and return all of the answer."""
    stream = await network.open_stream(GUEST, port)
    if question:
        await stream.send_all(question)
        await stream.send_eof()
    return await read_all(stream)


async def test_a_real_kernel_agrees_with_us(tmp_path: Path) -> None:
    network = VhostUserVsock(tmp_path / "v.sock", guest_cid=GUEST)
    out = tmp_path / "out"
    out.mkdir()

    async with guest_on(network, out):
        with trio.fail_after(300):
            await check_half_closes(network)
            await check_bulk(network)
            await check_ends(network)
            await check_refusals(network)
            await check_dials(network)
            await check_crowd(network)
            await check_relay(network)

    assert (out / "status").read_text().strip() == "0"


async def check_half_closes(network: VhostUserVsock) -> None:
    """Each direction ends by itself."""
    assert await ask(network, ECHO, b"hello") == b"hello"
    async with await network.open_stream(GUEST, END_THEN_READ) as stream:
        assert await stream.receive_some() == b""
        await stream.send_all(b"you can still hear me")
    while (told := await ask(network, TELL)) == b"":
        await trio.sleep(0.01)
    assert told == b"you can still hear me"


async def check_bulk(network: VhostUserVsock) -> None:
    """Credit is kept to, and nothing is lost."""
    answer = await ask(network, DIGEST, LARGE)
    size, digest, cid, _ = answer.decode().split()
    assert (int(size), digest) == (len(LARGE), hashlib.sha256(LARGE).hexdigest())
    assert int(cid) == network.cid
    assert await ask(network, SOURCE, b"%d" % len(LARGE)) == LARGE


async def check_ends(network: VhostUserVsock) -> None:
    """Who sends to a peer that has gone, or doesn't receive, is told."""
    assert await ask(network, HANG_UP) == b""
    for port in (HANG_UP, STOP_READING):
        async with await network.open_stream(GUEST, port) as stream:
            with pytest.raises(trio.BrokenResourceError):
                await send_for_ever(stream)


async def send_for_ever(stream: VsockStream) -> None:
    """Send until something stops it."""
    while True:
        await stream.send_all(bytes(1000))


async def check_refusals(network: VhostUserVsock) -> None:
    """Where nobody listens, both sides say so."""
    with pytest.raises(ConnectionResetError, match="nobody listens"):
        await network.open_stream(GUEST, 4444)
    for nowhere in (b"3 4444", b"2 4444", b"17 8000"):
        assert await ask(network, DIAL, nowhere) == b"ECONNRESET"


async def check_dials(network: VhostUserVsock) -> None:
    """The guest reaches us as the parent, and as the host."""

    async def answer(stream: VsockStream) -> None:
        await stream.send_all(b"%d said " % stream.peer.cid + await read_hello(stream))

    async with (
        await network.open_listener(8000) as listener,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(trio.serve_listeners, answer, [listener])
        for us in (b"3 8000", b"2 8000"):
            assert await ask(network, DIAL, us) == b"ok 16 said hello"
        nursery.cancel_scope.cancel()


async def read_hello(stream: VsockStream) -> bytes:
    """Read until end-of-file."""
    return b"".join([bytes(data) async for data in stream])


async def check_crowd(network: VhostUserVsock) -> None:
    """Many at once don't get mixed up."""

    async def one(number: int) -> None:
        assert await ask(network, ECHO, b"%d" % number) == b"%d" % number

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(one, number)


async def check_relay(network: VhostUserVsock) -> None:
    """The guest's dial is joined to a stream back into the guest."""
    endings = []

    async with await network.open_listener(8001) as listener:

        async def join() -> None:
            inwards = await listener.accept()
            outwards = await network.open_stream(GUEST, ECHO)
            endings.append((await relay(inwards, outwards)).ending)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(join)
            assert await ask(network, DIAL, b"3 8001") == b"ok hello"

    assert endings == [Ending.FINISHED]
