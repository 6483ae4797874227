"""VhostUserVsock: a virtual machine's vsock as streams, on real sockets and memory."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from tests.vsock.vhost_user.fds import open_fds
from tests.vsock.vhost_user.worlds import (
    connect,
    open_world,
    rude_guest,
    serving,
)
from trionitro import Ending, relay
from trionitro._unix import open_unix_stream
from trionitro.abc import VsockAddress, VsockStream
from trionitro.testing import (
    VhostUserGuest,
    cancel_at_every_step,
    check_vsock_network,
)
from trionitro.testing._vhost_vmm import VhostUserVmm
from trionitro.vsock import VhostUserVsock
from trionitro.vsock._vhost_user import _rings
from trionitro.vsock._vhost_user._messages import (
    Request,
    encode_message,
    encode_number,
)
from trionitro.vsock._vhost_user._packets import Operation


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "v.sock"


async def exchange(left: VsockStream, right: VsockStream) -> None:
    """Check that both hear each other."""
    for one, other in ((left, right), (right, left)):
        await one.send_all(b"hello")
        assert await other.receive_some() == b"hello"


@pytest.mark.parametrize("event_index", [False, True])
async def test_the_parent_meets_the_contract(path: Path, event_index: bool) -> None:
    async with open_world(path, event_index=event_index) as (network, guest):
        await check_vsock_network(network, guest.network)


@pytest.mark.parametrize("event_index", [False, True])
async def test_the_guest_meets_the_contract(path: Path, event_index: bool) -> None:
    async with open_world(path, event_index=event_index) as (network, guest):
        await check_vsock_network(guest.network, network)


async def test_a_guest_reaches_the_parent_as_3_and_the_host_as_2(path: Path) -> None:
    async with open_world(path) as (network, guest):
        for cid in (2, 3):
            dialled, accepted = await connect(guest.network, network, cid)
            async with dialled, accepted:
                assert dialled.peer == VsockAddress(cid, 8000)
                assert accepted.peer.cid == 16
                await exchange(dialled, accepted)


async def test_a_guest_reaches_nobody_else(path: Path) -> None:
    async with (
        open_world(path) as (network, guest),
        await network.open_listener(8000),
    ):
        for cid in (0, 1, 4, 17, 2**32 - 2):
            with pytest.raises(ConnectionResetError, match="nobody listens"):
                await guest.network.open_stream(cid, 8000)


async def test_both_ends_may_have_any_cid(path: Path) -> None:
    async with open_world(path, cid=1000) as (network, guest):
        dialled, accepted = await connect(network, guest.network, 16)

        async with dialled, accepted:
            assert accepted.peer.cid == network.cid == 1000


@pytest.mark.parametrize("guest_cid", [-1, 0, 2, 3, 2**32 - 1])
def test_a_guest_can_not_have_just_any(guest_cid: int) -> None:
    with pytest.raises(ValueError, match=f"the .*CID {guest_cid}"):
        VhostUserVsock("/tmp/v.sock", guest_cid=guest_cid)


async def test_another_cid_than_the_guests_is_an_error_that_says_so(
    path: Path,
) -> None:
    network = VhostUserVsock(path, guest_cid=16)

    with pytest.raises(OSError, match="there is only the guest with CID 16") as e:
        await network.open_stream(17, 52)

    assert e.value.errno == errno.ENETUNREACH


async def test_without_a_guest_the_error_says_that_it_may_be_booting(
    path: Path,
) -> None:
    async with serving(path) as network:
        with pytest.raises(OSError, match="it may still be booting") as error:
            await network.open_stream(16, 52)

    assert error.value.errno == errno.ENODEV


async def test_bytes_go_through_a_relay_whole(path: Path) -> None:
    """A relay takes its portable path on such streams, half-closes and all."""
    large = bytes(range(256)) * 2**13
    async with (
        open_world(path) as (network, guest),
        await network.open_listener(8000) as listener,
        trio.open_nursery() as nursery,
    ):
        dialled = await guest.network.open_stream(3, 8000)
        inner = await listener.accept()
        outer, far = await connect(network, guest.network, 16)
        endings: list[Ending] = []

        async def join() -> None:
            endings.append((await relay(inner, outer)).ending)

        async def say_it_all() -> None:
            await dialled.send_all(large)
            await dialled.send_eof()

        nursery.start_soon(join)
        nursery.start_soon(say_it_all)
        heard = b"".join([bytes(piece) async for piece in far])
        await far.send_all(b"thank you")
        await far.aclose()
        answer = b"".join([bytes(piece) async for piece in dialled])
        await dialled.aclose()

    assert heard == large
    assert answer == b"thank you"
    assert endings == [Ending.FINISHED]


async def test_a_guest_that_starts_again_breaks_streams_and_spares_listeners(
    path: Path,
) -> None:
    async with (
        open_world(path) as (network, guest),
        await network.open_listener(8000) as listener,
    ):
        await guest.network.open_stream(3, 8000)
        before = await listener.accept()

        await guest.reboot()

        with pytest.raises(trio.BrokenResourceError):
            await before.receive_some()
        with pytest.raises(trio.BrokenResourceError):
            await before.send_all(b"hello?")
        dialled = await guest.network.open_stream(3, 8000)
        async with dialled, await listener.accept() as accepted:
            await exchange(dialled, accepted)


async def test_a_guest_that_is_paused_goes_on(path: Path) -> None:
    async with open_world(path) as (network, guest), trio.open_nursery() as nursery:
        dialled, accepted = await connect(network, guest.network, 16)
        async with dialled, accepted:
            await exchange(dialled, accepted)
            await guest.pause()
            nursery.start_soon(dialled.send_all, b"when you wake up")
            nursery.start_soon(accepted.send_all, b"I dreamt of you")
            await wait_all_tasks_blocked()

            await guest.resume()

            assert await accepted.receive_some() == b"when you wake up"
            assert await dialled.receive_some() == b"I dreamt of you"


async def test_memory_that_moves_changes_nothing(path: Path) -> None:
    """QEMU sends its memory table again whenever the guest has moved something."""
    async with open_world(path) as (network, guest):
        dialled, accepted = await connect(network, guest.network, 16)
        async with dialled, accepted:
            for _ in range(3):
                await guest._vmm.share_memory(guest._memory)
                await wait_all_tasks_blocked()
                await exchange(dialled, accepted)


async def test_a_vmm_that_dies_breaks_streams_and_leaves_its_place(path: Path) -> None:
    async with serving(path) as network, await network.open_listener(8000) as listener:
        for _ in range(3):
            async with trio.open_nursery() as nursery:
                guest = VhostUserGuest(path)
                await nursery.start(guest.serve)
                dialled = await guest.network.open_stream(3, 8000)
                accepted = await listener.accept()
                await exchange(dialled, accepted)
                nursery.cancel_scope.cancel()

            with pytest.raises(trio.BrokenResourceError):
                await accepted.receive_some()
            await accepted.aclose()


async def test_a_dial_that_the_guest_never_answers_ends_with_it(path: Path) -> None:
    async with serving(path) as network, rude_guest(path) as guest:

        async def dial() -> None:
            with pytest.raises(ConnectionResetError, match="went away"):
                await network.open_stream(16, 52)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(dial)
            await guest.expect(Operation.REQUEST)
            await guest.vmm._stream.aclose()


async def test_of_two_vmms_the_second_is_turned_away(
    path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_world(path) as (network, guest):
        with capture_logs() as logs:
            async with await open_unix_stream(path) as second:
                assert await second.receive_some() == b""

        dialled, accepted = await connect(network, guest.network, 16)
        async with dialled, accepted:
            await exchange(dialled, accepted)

    assert [log["event"] for log in logs] == ["a second VMM was turned away"]


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x01", bytes(12)])
async def test_whoever_is_no_vmm_is_hung_up_on(path: Path, data: bytes) -> None:
    async with serving(path):
        with capture_logs() as logs:
            async with await open_unix_stream(path) as stream:
                await stream.send_all(data)
                await stream.send_eof()
                await VhostUserVmm(stream).wait_hung_up()
            await wait_all_tasks_blocked()

        async with trio.open_nursery() as nursery:
            await nursery.start(VhostUserGuest(path).serve)
            nursery.cancel_scope.cancel()

    assert "hung up on a VMM" in [log["event"] for log in logs]


async def test_more_file_descriptors_than_any_message_has_end_a_vmm(
    path: Path,
) -> None:
    async with serving(path), rude_guest(path) as guest:
        with capture_logs() as logs:
            await guest.vmm.send(Request.SET_OWNER, fds=[0] * 9)
            await guest.vmm.wait_hung_up()
            await wait_all_tasks_blocked()

    assert "too many file descriptors" in logs[0]["problem"]


async def test_a_message_without_its_end_ends_a_vmm(path: Path) -> None:
    async with serving(path), await open_unix_stream(path) as stream:
        with capture_logs() as logs:
            await stream.send_all(encode_message(Request.SET_FEATURES, bytes(8))[:-1])
            await stream.send_eof()
            await VhostUserVmm(stream).wait_hung_up()
            await wait_all_tasks_blocked()

    assert "in the middle of a message" in logs[0]["problem"]


async def test_one_may_wait_for_a_guest(path: Path) -> None:
    async with serving(path) as network, trio.open_nursery() as nursery:
        nursery.start_soon(network.wait_for_guest)
        await wait_all_tasks_blocked()
        async with rude_guest(path):
            await network.wait_for_guest()


async def test_a_guest_that_sends_much_lets_others_have_their_turn(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_rings, "_BATCH", 2)
    async with (
        serving(path) as network,
        rude_guest(path) as guest,
        await network.open_listener(8000) as listener,
    ):
        await guest.connect()
        for number in range(9):
            guest.send(Operation.RW, b"%d" % number)

        async with await listener.accept() as stream:
            await wait_all_tasks_blocked()
            assert await stream.receive_some() == b"012345678"


async def test_another_eventfd_to_kick_takes_the_place_of_the_first(
    path: Path,
) -> None:
    async with open_world(path) as (network, guest):
        assert guest._network.rings is not None
        sending = guest._network.rings.queues[1]
        dialled, accepted = await connect(network, guest.network, 16)
        async with dialled, accepted:
            await guest._vmm.tell(
                Request.SET_VRING_KICK, encode_number(1), [sending.kick]
            )
            await exchange(dialled, accepted)


async def test_the_log_says_what_made_no_sense(path: Path) -> None:
    async with serving(path), rude_guest(path) as guest:
        with capture_logs() as logs:
            guest.say(b"", bytes(20))
            guest.rings._sending._available[1] = 1000
            os.eventfd_write(guest.rings._sending.kick, 1)
            await guest.vmm.wait_hung_up()
            await wait_all_tasks_blocked()

    assert "were made available at once" in logs[0]["problem"]


async def test_nothing_is_left_open(path: Path) -> None:
    await trio.to_thread.run_sync(bool)  # has a cache of its own threads
    before = open_fds()

    async with open_world(path) as (network, guest):
        dialled, accepted = await connect(network, guest.network, 16)
        await exchange(dialled, accepted)
        await guest.reboot()
    async with serving(path), rude_guest(path) as rude:
        await rude.vmm.send(Request.SET_VRING_KICK, bytes(8), [0, 0, 0])
        await rude.vmm.wait_hung_up()

    assert open_fds() == before
    assert not path.exists()


def test_it_can_be_cancelled_at_every_step(path: Path) -> None:
    """Whenever it is cancelled, nothing is left: no socket, no memory, no stream."""

    async def conversation() -> None:
        before = open_fds()
        streams: list[VsockStream] = []
        try:
            async with (
                open_world(path) as (network, guest),
                await network.open_listener(8000) as listener,
            ):
                streams.append(await guest.network.open_stream(3, 8000))
                streams.append(await listener.accept())
                await exchange(*streams)
                await streams[0].aclose()
                assert await streams[1].receive_some() == b""
        finally:
            assert open_fds() == before
            assert not path.exists()
            for stream in streams:
                with pytest.raises(
                    (trio.BrokenResourceError, trio.ClosedResourceError)
                ):
                    stream._check_sendable()  # type: ignore[attr-defined]

    cancel_at_every_step(conversation)
