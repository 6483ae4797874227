"""A security module served to other processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nsm_servers import serving
from trionitro import FramedChannel, encode_frame
from trionitro._unix import open_unix_stream
from trionitro.nsm import Nsm
from trionitro.testing import NsmEmulator, cancel_at_every_step, serve_nsm


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> str:
    return str(tmp_path / "nsm.sock")


async def test_a_frame_carries_exactly_the_ioctl_s_bytes(path: str) -> None:
    """As DESIGN has it: a length of four bytes, big-endian, and CBOR."""
    async with serving(NsmEmulator(), path), await open_unix_stream(path) as stream:
        await stream.send_all(b"\0\0\0\x11\xa1\x67LockPCR\xa1\x65index\x10")
        await stream.send_eof()
        answer = b"".join([bytes(data) async for data in stream])

    assert answer == encode_frame(b"\x67LockPCR")


async def test_one_connection_may_carry_many_requests(path: str) -> None:
    async with (
        serving(NsmEmulator(), path),
        FramedChannel(await open_unix_stream(path)) as channel,
    ):
        for _ in range(3):
            await channel.send(b"\x69GetRandom")
            assert (await channel.receive()).startswith(b"\xa1\x69GetRandom")


def test_a_server_cancelled_anywhere_leaves_no_socket(path: str) -> None:
    async def scenario() -> None:
        try:
            async with serving(NsmEmulator(), path) as client:
                await Nsm(client).random(10)
        finally:
            assert not Path(path).exists()

    cancel_at_every_step(scenario)


@pytest.mark.parametrize(
    "nonsense", [b"\xff\xff\xff\xff", b"\0\0\0\5ab", b""], ids=repr
)
async def test_a_client_that_speaks_nonsense_ends_itself_alone(
    path: str, nonsense: bytes
) -> None:
    async with serving(NsmEmulator(), path) as client:
        async with await open_unix_stream(path) as stream:
            await stream.send_all(nonsense)
            await stream.send_eof()
            assert not await stream.receive_some()

        assert await Nsm(client).random(1)


async def test_too_long_a_request_is_refused_as_by_the_device(path: str) -> None:
    async with serving(NsmEmulator(), path) as client:
        answer = await client.process(bytes(4097))

    assert answer == b"\xa1\x65Error\x6dInputTooLarge"


async def test_a_socket_in_use_is_named(path: str) -> None:
    async with serving(NsmEmulator(), path):
        with pytest.raises(OSError, match=f"{path}.*listens there already"):
            await serve_nsm(NsmEmulator(), path)
