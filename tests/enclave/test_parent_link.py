"""ParentLink: one line to the parent, of two channels that hear of each other."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from trionitro import FramedChannel
from trionitro._control import Hello, Purpose
from trionitro._control._messages import encode_message
from trionitro.enclave import ParentLink
from trionitro.manifest import parse_plan
from trionitro.testing import MemoryVsock

PLAN = parse_plan(
    """
    [enclave]
    name = "signer"
    cid = 16
    command = ["signer"]
    """,
    source="nitro.toml",
)


async def test_a_parent_that_goes_without_a_word_is_left_on_both_channels(
    autojump_clock: MockClock,
) -> None:
    """The logs have nothing by which to notice; lines would be sent to nobody."""
    network = MemoryVsock()
    link = ParentLink(PLAN, network.at(16))

    async def be_the_parent(port: int, purpose: Purpose) -> FramedChannel:
        async with await network.open_listener(port) as listener:
            channel = FramedChannel(await listener.accept())
        await channel.receive()
        await channel.send(encode_message(Hello(purpose=purpose, digest=PLAN.digest)))
        return channel

    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.serve)
        await be_the_parent(PLAN.control_port, Purpose.CONTROL)
        logs = await be_the_parent(PLAN.logs_port, Purpose.LOGS)

        assert [message async for message in logs] == []
        assert trio.current_time() < 20
        nursery.cancel_scope.cancel()
