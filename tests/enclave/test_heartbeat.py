from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from trionitro import CannotStartError
from trionitro.abc import VsockStream
from trionitro.enclave._heartbeat import send_heartbeat
from trionitro.testing import MemoryVsock

Answer = Callable[[VsockStream], Awaitable[object]]


async def beat(answer: Answer) -> bytes:
    """Send a heartbeat to a parent that answers, and return what it was sent."""
    network = MemoryVsock(cid=3)
    received = bytearray()
    async with await network.open_listener(9000) as listener, trio.open_nursery() as n:

        async def serve() -> None:
            async with await listener.accept() as stream:
                received.extend(await stream.receive_some(10))
                await answer(stream)

        n.start_soon(serve)
        await send_heartbeat(network.at(16), cid=3, port=9000)
        n.cancel_scope.cancel()
    return bytes(received)


def saying(data: bytes) -> Answer:
    async def answer(stream: VsockStream) -> None:
        await stream.send_all(data)

    return answer


async def silence(stream: VsockStream) -> None:
    await trio.sleep_forever()


async def test_one_byte_goes_there_and_comes_back() -> None:
    assert await beat(saying(b"\xb7")) == b"\xb7"


@pytest.mark.parametrize(
    ("said", "told"), [(b"\xb8", "was b8, must be b7"), (b"", "was empty")]
)
async def test_another_answer_is_an_error(said: bytes, told: str) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await beat(saying(said))

    assert told in str(caught.value.exceptions[0])
    assert isinstance(caught.value.exceptions[0], CannotStartError)


async def test_silence_is_waited_for_a_while(autojump_clock: MockClock) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await beat(silence)

    assert "no answer within 10 s; leave --heartbeat" in str(caught.value.exceptions[0])


async def test_where_nobody_listens_the_error_says_what_to_do() -> None:
    with pytest.raises(
        CannotStartError, match=r"vsock://3:9000: .*; leave --heartbeat"
    ):
        await send_heartbeat(MemoryVsock(cid=3).at(16), cid=3, port=9000)
