"""The control channel, from both of its ends."""

from __future__ import annotations

from functools import partial

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.control.ends import (
    CID,
    OURS,
    PORT,
    THEIRS,
    Ears,
    accept_one,
    enclave_end,
    enclave_logs,
    parent_end,
    parent_logs,
    say_hello,
    state,
)
from trionitro import CannotStartError, FramedChannel, encode_frame
from trionitro._control import (
    Exited,
    Heartbeat,
    Hello,
    Lines,
    PairingError,
    Purpose,
    Stop,
)
from trionitro._control._messages import encode_message
from trionitro.abc import VsockStream
from trionitro.testing import MemoryVsock, cancel_at_every_step


async def test_the_parent_hears_each_state_and_the_end() -> None:
    network, ears = MemoryVsock(), Ears()
    enclave = enclave_end(network)
    exited = Exited(code=3, last_words="no key")
    async with trio.open_nursery() as nursery:
        await nursery.start(parent_end(network, ears).serve)
        enclave.tell(state("before anybody is there"))
        await nursery.start(enclave.serve)
        enclave.tell(state("after"))

        assert await enclave.finish(exited)
        nursery.cancel_scope.cancel()

    assert ears.heard == ["paired", "before anybody is there", "after", exited]


async def test_the_parent_can_ask_for_a_stop() -> None:
    network, ears = MemoryVsock(), Ears()
    parent, enclave = parent_end(network, ears), enclave_end(network)
    async with trio.open_nursery() as nursery:
        assert not parent.request_stop()
        await nursery.start(parent.serve)
        await nursery.start(enclave.serve)
        await wait_all_tasks_blocked()

        assert parent.request_stop()
        await enclave.stop_wanted.wait()
        nursery.cancel_scope.cancel()


async def test_other_manifests_don_t_pair_and_both_halves_say_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    network, ears = MemoryVsock(), Ears()
    async with trio.open_nursery() as nursery:
        await nursery.start(parent_end(network, ears).serve)

        with pytest.raises(PairingError) as caught:
            await enclave_end(network, THEIRS).serve()
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    for text in (str(caught.value), capsys.readouterr().out):
        assert "another manifest" in text
        assert OURS[:8].hex() in text
        assert THEIRS[:8].hex() in text
    assert ears.heard == []


async def test_without_a_parent_the_wait_is_bounded_and_told(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    enclave = enclave_end(MemoryVsock())

    with pytest.raises(CannotStartError, match=r"no parent at .* in 60 s: .*wait"):
        await enclave.serve(wait=60)

    assert trio.current_time() >= 60
    assert capsys.readouterr().out.count("waiting for the parent") == 12


@pytest.mark.parametrize(
    "answer",
    [
        encode_frame(b"nonsense"),
        encode_frame(encode_message(Heartbeat())),
        encode_frame(encode_message(Hello(purpose=Purpose.LOGS, digest=OURS))),
        encode_frame(
            encode_message(Hello(version=2, purpose=Purpose.CONTROL, digest=OURS))
        ),
        b"\xff\xff\xff\xff",
    ],
)
async def test_a_parent_that_answers_nonsense_ends_the_boot_at_once(
    answer: bytes,
) -> None:
    network = MemoryVsock()

    async def be_the_parent() -> None:
        stream = await accept_one(network)
        await stream.send_all(answer)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(be_the_parent)
        with pytest.raises(PairingError):
            await enclave_end(network).serve(wait=5)


async def test_a_parent_that_accepts_and_says_nothing_is_given_up(
    autojump_clock: MockClock,
) -> None:
    network = MemoryVsock()
    async with await network.open_listener(PORT):
        with pytest.raises(CannotStartError, match="in 15 s"):
            await enclave_end(network).serve(wait=15)


async def test_a_parent_that_never_reads_holds_nothing_up(
    autojump_clock: MockClock,
) -> None:
    network = MemoryVsock()
    enclave = enclave_end(network)
    streams: list[VsockStream] = []

    async def pair_and_sleep() -> None:
        async with await network.open_listener(PORT) as listener:
            while True:
                streams.append(await listener.accept())
                channel = FramedChannel(streams[-1])
                hello = Hello(purpose=Purpose.CONTROL, digest=OURS)
                await channel.send(encode_message(hello))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair_and_sleep)
        await nursery.start(enclave.serve)
        for _ in range(10_000):
            enclave.tell(state("x" * 1000))

        assert not await enclave.finish(Exited(code=0))
        nursery.cancel_scope.cancel()


async def test_a_silent_parent_is_lost_and_found_again(
    autojump_clock: MockClock,
) -> None:
    network, ears = MemoryVsock(), Ears()
    enclave = enclave_end(network)
    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as first_life:
            await first_life.start(parent_end(network, ears).serve)
            await nursery.start(enclave.serve)
            await trio.sleep(100)  # many heartbeats
            first_life.cancel_scope.cancel()
        await trio.sleep(100)
        await nursery.start(parent_end(network, ears).serve)

        assert await enclave.finish(Exited(signal=9))
        nursery.cancel_scope.cancel()

    assert ears.heard == ["paired", "paired", Exited(signal=9)]


async def test_the_end_reaches_a_parent_that_is_back_only_after_it(
    autojump_clock: MockClock,
) -> None:
    network, ears = MemoryVsock(), Ears()
    enclave = enclave_end(network)
    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as first_life:
            await first_life.start(parent_end(network, Ears()).serve)
            await nursery.start(enclave.serve)
            first_life.cancel_scope.cancel()
        await wait_all_tasks_blocked()

        async with trio.open_nursery() as end:
            end.start_soon(enclave.finish, Exited(code=0))
            await trio.sleep(2)
            await nursery.start(parent_end(network, ears).serve)
        nursery.cancel_scope.cancel()

    assert ears.heard == ["paired", Exited(code=0)]


async def test_an_enclave_that_falls_silent_is_lost(autojump_clock: MockClock) -> None:
    network, ears = MemoryVsock(), Ears()
    async with trio.open_nursery() as nursery:
        await nursery.start(parent_end(network, ears).serve)
        async with await say_hello(network, Purpose.CONTROL):
            await ears.end.wait()
        nursery.cancel_scope.cancel()

    assert trio.current_time() == pytest.approx(15, abs=1)
    assert ears.heard == [
        "paired",
        "lost: it said nothing, or took nothing, for too long",
    ]


@pytest.mark.parametrize("message", [Stop(), Lines(lines=())])
async def test_an_enclave_that_says_what_is_not_its_to_say_is_lost(
    message: Stop | Lines,
) -> None:
    network, ears = MemoryVsock(), Ears()
    async with trio.open_nursery() as nursery:
        await nursery.start(parent_end(network, ears).serve)
        async with await say_hello(network, Purpose.CONTROL) as channel:
            await channel.send(encode_message(message))
            await ears.end.wait()
        nursery.cancel_scope.cancel()

    assert ears.heard == [
        "paired",
        f"lost: the enclave sent a {type(message).__name__}",
    ]


async def test_another_cid_gets_no_word() -> None:
    network, ears = MemoryVsock(), Ears()
    async with trio.open_nursery() as nursery:
        await nursery.start(parent_end(network, ears).serve)
        stream = await network.at(17).open_stream(3, PORT)
        await stream.send_all(
            encode_frame(encode_message(Hello(purpose=Purpose.CONTROL, digest=OURS)))
        )

        assert await stream.receive_some() == b""
        nursery.cancel_scope.cancel()

    assert ears.heard == []


async def test_an_enclave_opens_no_more_than_a_few_connections_that_prove_nothing(
    autojump_clock: MockClock,
) -> None:
    network, ears = MemoryVsock(), Ears()
    async with trio.open_nursery() as nursery:
        await nursery.start(parent_end(network, ears).serve)
        streams = [await network.at(CID).open_stream(3, PORT) for _ in range(5)]

        assert await streams[-1].receive_some() == b""
        assert trio.current_time() < 10
        for stream in streams[:-1]:  # and these are given up in their time
            assert await stream.receive_some() == b""
        assert trio.current_time() == pytest.approx(10, abs=1)
        nursery.cancel_scope.cancel()


async def test_an_enclave_that_started_again_takes_the_old_one_s_place() -> None:
    network, ears = MemoryVsock(), Ears()
    second = enclave_end(network)
    async with trio.open_nursery() as nursery:
        await nursery.start(parent_end(network, ears).serve)
        await nursery.start(enclave_end(network).serve)
        await nursery.start(second.serve)

        assert await second.finish(Exited(code=0))
        nursery.cancel_scope.cancel()

    assert ears.heard[:2] == ["paired", "paired"]
    assert Exited(code=0) in ears.heard


async def test_the_old_one_s_connection_ends_when_a_new_one_is_paired(
    autojump_clock: MockClock,
) -> None:
    network, ears = MemoryVsock(), Ears()
    async with trio.open_nursery() as nursery:
        await nursery.start(parent_end(network, ears).serve)
        old = await say_hello(network, Purpose.CONTROL)
        await old.receive()
        await nursery.start(enclave_end(network).serve)

        async for _ in old:
            pass  # heartbeats
        assert trio.current_time() < 1
        nursery.cancel_scope.cancel()

    assert ears.heard == ["paired", "paired"]


async def test_a_port_that_is_taken_is_told() -> None:
    network = MemoryVsock()
    async with await network.open_listener(PORT):
        with pytest.raises(CannotStartError, match=f"vsock://:{PORT} .control"):
            await parent_end(network, Ears()).serve()


async def test_whoever_wants_to_know_is_told_that_the_parent_is_lost(
    autojump_clock: MockClock,
) -> None:
    network = MemoryVsock()
    lost: list[float] = []
    enclave = enclave_end(network)
    enclave.on_lost = lambda: lost.append(trio.current_time())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(enclave.serve)
        channel = FramedChannel(await accept_one(network))
        await channel.receive()
        await channel.send(encode_message(Hello(purpose=Purpose.CONTROL, digest=OURS)))
        await trio.sleep(20)
        nursery.cancel_scope.cancel()

    assert lost == [pytest.approx(15, abs=1)]


def test_cancelled_anywhere_both_ends_leave_nothing_open() -> None:
    async def conversation() -> None:
        network, ears = MemoryVsock(), Ears()
        enclave, logs = enclave_end(network), enclave_logs(network)
        logs = attrs.evolve(logs, port=PORT + 1)
        theirs = attrs.evolve(parent_logs(network, ears), port=PORT + 1)
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(parent_end(network, ears).serve)
                await nursery.start(theirs.serve)
                nursery.start_soon(logs.serve)
                await nursery.start(enclave.serve)
                enclave.tell(state("going"))
                logs.put("application", b"line")
                await enclave.finish(Exited(code=0))
                await logs.finish()
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                # Both ports are free again.
                for port in (PORT, PORT + 1):
                    await (await network.open_listener(port)).aclose()

    cancel_at_every_step(conversation, clock=partial(MockClock, autojump_threshold=0))
