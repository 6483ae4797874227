"""A security module behind a unix socket."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest
import trio

from tests.nsm_servers import serving, serving_elsewhere
from trionitro import FramedChannel, ProtocolError
from trionitro._unix import open_unix_listener
from trionitro.abc import NsmDevice
from trionitro.nsm import NsmUnavailableError, UnixNsm
from trionitro.testing import (
    NsmEmulator,
    cancel_at_every_step,
    check_nsm_device,
)


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> str:
    return str(tmp_path / "nsm.sock")


@contextlib.asynccontextmanager
async def answering(data: bytes, path: str) -> AsyncIterator[UnixNsm]:
    """Have every client sent these bytes, whatever it asks, and then end-of-file."""

    async def answer(stream: trio.SocketStream) -> None:
        async with FramedChannel(stream) as channel:
            await channel.receive()
            await stream.send_all(data)

    async with (
        await open_unix_listener(path) as listener,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(trio.serve_listeners, answer, [listener])
        yield UnixNsm(path)
        nursery.cancel_scope.cancel()


@attrs.define
class EchoingDevice(NsmDevice):
    """Answers with the request, when it may."""

    gate: trio.Event = attrs.field(factory=trio.Event)

    async def process(self, request: bytes) -> bytes:
        """Wait for the gate unless the request is urgent."""
        if not request.startswith(b"urgent"):
            await self.gate.wait()
        return request


async def test_an_emulator_behind_it_meets_the_contract(path: str) -> None:
    async with serving(NsmEmulator(), path) as device:
        await check_nsm_device(device)


async def test_a_cancelled_caller_takes_its_answer_with_it(path: str) -> None:
    device = EchoingDevice()
    async with serving(device, path) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.process, b"slow")
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        device.gate.set()

        assert await client.process(b"urgent") == b"urgent"


def test_cancelled_anywhere_the_next_request_gets_its_own_answer(path: str) -> None:
    async def scenario() -> None:
        client = UnixNsm(path)
        try:
            await client.process(b"urgent 1")
        finally:
            with trio.CancelScope(shield=True):
                assert await client.process(b"urgent 2") == b"urgent 2"

    with serving_elsewhere(EchoingDevice(), path):
        steps = cancel_at_every_step(scenario)

    assert steps > 10


async def test_nobody_there_is_explained(path: str) -> None:
    with pytest.raises(NsmUnavailableError, match=f"listens on unix:{path}; .*emulate"):
        await UnixNsm(path).process(b"request")


async def test_hanging_up_is_an_error(path: str) -> None:
    async with answering(b"", path) as client:
        with pytest.raises(OSError, match="hung up without an answer") as problem:
            await client.process(b"request")

    assert problem.value.errno == errno.ECONNRESET


@pytest.mark.parametrize("data", [b"\0\0\0\5ab", b"\xff\xff\xff\xffab"], ids=repr)
async def test_what_is_no_frame_is_an_error(path: str, data: bytes) -> None:
    async with answering(data, path) as client:
        with pytest.raises(ProtocolError, match=r"frame|end-of-file"):
            await client.process(b"request")
