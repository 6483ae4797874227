"""The one contract that every vsock network meets, be it a kernel or a fake.

A fake that production code is tested with is only as good as its likeness to the
real thing: this is where the likeness is checked.

"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

import trio
import trio.testing

from trionitro.abc import VMADDR_ANY, VsockAddress, VsockNetwork, VsockStream
from trionitro.testing._vsock_ends import VsockEnds, clogged

__all__ = ["check_vsock_network"]

#: Seconds for each check. They take milliseconds; this is for a machine that has
#: much else to do.
_PATIENCE: Final = 20.0

#: ``VMADDR_CID_LOCAL``: the machine itself, which then sees itself as its peer.
_LOCAL: Final = 1

_CONNECTIONS: Final = 50

#: In how many different passes of the scheduler a dial is cancelled.
_CANCELLED_DIALS: Final = 10

#: Many times what a network holds while nobody reads.
_LARGE: Final = bytes(range(256)) * 2**14


async def check_vsock_network(
    listening: VsockNetwork,
    dialling: VsockNetwork | None = None,
    *,
    cid: int | None = None,
) -> None:
    """Check that one network can be connected to from another as it should.

    Args:
      listening: one machine's network.
      dialling: the other machine's, or None for the same.
      cid: what to dial, or None for ``listening.cid``.

    Raises:
      AssertionError: if something doesn't hold; the message says what must.
      ValueError: if ``cid`` must be given and isn't.

    """
    dialled_cid = listening.cid if cid is None else cid
    if dialled_cid is None:
        raise ValueError("this network doesn't tell its CID: say which one to dial")
    ends = VsockEnds(listening, dialling or listening, dialled_cid)
    for sentence, check in _CHECKS.items():
        try:
            with trio.fail_after(_PATIENCE):
                await check(ends)
        except Exception as problem:
            raise AssertionError(f"{sentence}; but: {problem!r}") from problem


async def _check_free_ports(ends: VsockEnds) -> None:
    async with await ends.listen() as one, await ends.listen() as other:
        assert 0 <= one.port < VMADDR_ANY, one.port
        assert one.port != other.port, one.port


async def _check_address_in_use(ends: VsockEnds) -> None:
    async with await ends.listen() as listener:
        await _expect_os_error(ends.listen, listener.port)
        await _check_greeting(*await ends.connect(listener))


async def _check_closed_port(ends: VsockEnds) -> None:
    async with await ends.listen() as listener:
        port = listener.port
    await _expect_os_error(ends.dial, port)


async def _check_dial_without_waiting(ends: VsockEnds) -> None:
    async with await ends.listen() as listener:
        port = listener.port
        try:
            dialled = ends.dialling.open_stream_nowait(ends.cid, port)
        except trio.WouldBlock:
            return  # it is no network's duty
        await _check_greeting(dialled, await listener.accept())
    try:
        ends.dialling.open_stream_nowait(ends.cid, port)
    except OSError:
        return
    raise AssertionError("a closed port was connected to")


async def _check_port_is_free_again(ends: VsockEnds) -> None:
    async with await ends.listen() as listener:
        port = listener.port
    async with await ends.listen(port) as listener:
        assert listener.port == port, listener.port
        await _check_greeting(*await ends.connect(listener))


async def _check_close_wakes_accept(ends: VsockEnds) -> None:
    listener = await ends.listen()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_expect, trio.ClosedResourceError, listener.accept)
        await trio.testing.wait_all_tasks_blocked()
        await listener.aclose()
    await _expect(trio.ClosedResourceError, listener.accept)


async def _check_close_spares_connections(ends: VsockEnds) -> None:
    await _check_greeting(*await ends.pair())


async def _check_greeting(dialled: VsockStream, accepted: VsockStream) -> None:
    async with dialled, accepted:
        for sender, receiver in ((dialled, accepted), (accepted, dialled)):
            await sender.send_all(b"hello")
            await _expect_bytes(receiver, b"hello")


async def _check_half_close(ends: VsockEnds) -> None:
    for order in (1, -1):
        dialled, accepted = await ends.pair()
        async with dialled, accepted:
            first, last = (dialled, accepted)[::order]
            await first.send_eof()
            assert await last.receive_some() == b""
            await last.send_all(b"I am still here")
            await _expect_bytes(first, b"I am still here")
            await last.send_eof()
            assert await first.receive_some() == b""


async def _check_peers(ends: VsockEnds) -> None:
    async with await ends.listen() as listener:
        dialled, accepted = await ends.connect(listener)
        async with dialled, accepted:
            assert dialled.peer == VsockAddress(ends.cid, listener.port), dialled.peer
            assert _may_be(accepted.peer.cid, ends), accepted.peer


def _may_be(cid: int, ends: VsockEnds) -> bool:
    """Tell whether a listener may take the dialling machine for ``cid``."""
    if ends.dialling.cid is None or cid == VMADDR_ANY:
        return True
    return cid == (_LOCAL if ends.cid == _LOCAL else ends.dialling.cid)


async def _check_many_connections(ends: VsockEnds) -> None:
    async def echo(stream: VsockStream) -> None:
        async with stream:
            await stream.send_all(await stream.receive_some())

    async def ask(port: int, question: bytes) -> None:
        async with await ends.dial(port) as stream:
            await stream.send_all(question)
            await _expect_bytes(stream, question)

    async with await ends.listen() as listener, trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, echo, [listener])
        async with trio.open_nursery() as askers:
            for number in range(_CONNECTIONS):
                askers.start_soon(ask, listener.port, b"%d" % number)
        nursery.cancel_scope.cancel()


async def _check_cancelled_accept(ends: VsockEnds) -> None:
    async with await ends.listen() as listener:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener.accept)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        await _check_greeting(*await ends.connect(listener))


async def _check_cancelled_dial(ends: VsockEnds) -> None:
    async with await ends.listen() as listener:
        for passes in range(_CANCELLED_DIALS):
            await _dial_and_cancel(ends, listener.port, passes)
        async with await ends.dial(listener.port) as dialled:
            await dialled.send_all(b"hello")
            # What was cancelled may have come; then it must have gone again.
            greeting = b""
            while not greeting:
                greeting = await _last_words(await listener.accept())
            assert greeting == b"hello", greeting


async def _last_words(stream: VsockStream) -> bytes:
    async with stream:
        try:
            return bytes(await stream.receive_some())
        except trio.BrokenResourceError:
            return b""


async def _dial_and_cancel(ends: VsockEnds, port: int, passes: int) -> None:
    async def dial() -> None:
        await (await ends.dial(port)).aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(dial)
        for _ in range(passes):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def _check_back_pressure(ends: VsockEnds) -> None:
    dialled, accepted = await ends.pair()
    async with dialled, accepted, trio.open_nursery() as nursery:
        nursery.start_soon(_send_and_close, dialled, _LARGE)
        await trio.testing.wait_all_tasks_blocked()
        assert nursery.child_tasks, f"{len(_LARGE)} bytes went where nobody reads"
        received = bytearray()
        while piece := await accepted.receive_some(10_000):
            received += piece
        assert received == _LARGE, f"{len(received)} of {len(_LARGE)} bytes came whole"


async def _send_and_close(stream: VsockStream, data: bytes) -> None:
    await stream.send_all(data)
    await stream.aclose()


async def _check_streams(ends: VsockEnds) -> None:
    await trio.testing.check_half_closeable_stream(ends.pair, None)


async def _check_clogged_streams(ends: VsockEnds) -> None:
    # One direction at a time, not both at once as check_half_closeable_stream() would
    # have it: while there is something to read, the kernel's vsock doesn't tell a
    # sender that waits for room that its peer has gone.
    for make_pair in (ends.pair, ends.flipped_pair):
        await trio.testing.check_one_way_stream(make_pair, partial(clogged, make_pair))


async def _check_one_sender(ends: VsockEnds) -> None:
    for make_pair in (ends.pair, ends.flipped_pair):
        sender, receiver = await clogged(make_pair)
        async with sender, receiver, trio.open_nursery() as nursery:
            nursery.start_soon(sender.send_all, b"x")
            await trio.testing.wait_all_tasks_blocked()
            await _expect(trio.BusyResourceError, sender.send_eof)
            nursery.cancel_scope.cancel()


async def _expect_os_error(
    function: Callable[[int], Awaitable[object]], port: int
) -> None:
    await _expect(OSError, lambda: function(port))


async def _expect(
    error: type[Exception], function: Callable[[], Awaitable[object]]
) -> None:
    try:
        result = await function()
    except error:
        return
    raise AssertionError(f"there was no {error.__name__}, but {result!r}")


async def _expect_bytes(stream: VsockStream, expected: bytes) -> None:
    received = bytearray()
    while len(received) < len(expected):
        piece = await stream.receive_some()
        assert piece, f"the stream ended after {bytes(received)!r}"
        received += piece
    assert received == expected, bytes(received)


_CHECKS: Final[Mapping[str, Callable[[VsockEnds], Awaitable[None]]]] = MappingProxyType(
    {
        "a free port must be picked and reported": _check_free_ports,
        "a port in use must be refused with an OSError, and stay with its owner": (
            _check_address_in_use
        ),
        "dialling where nobody listens must be an OSError": _check_closed_port,
        "dialling without waiting must be refused, or do what dialling does": (
            _check_dial_without_waiting
        ),
        "a port must be free again after its listener was closed": (
            _check_port_is_free_again
        ),
        "closing a listener must wake accept() with ClosedResourceError": (
            _check_close_wakes_accept
        ),
        "a connection must outlive its listener, and carry bytes both ways": (
            _check_close_spares_connections
        ),
        "each direction must end by itself": _check_half_close,
        "each end must know who its peer is": _check_peers,
        "many connections at once must not get mixed up": _check_many_connections,
        "a cancelled accept() must leave the listener usable": _check_cancelled_accept,
        "a cancelled open_stream() must leave nothing open": _check_cancelled_dial,
        "a slow reader must hold its sender back, and lose nothing": (
            _check_back_pressure
        ),
        "streams must meet trio's contract for half-closeable ones": _check_streams,
        "streams must meet trio's contract for clogged ones": _check_clogged_streams,
        "two tasks that send at once must be told": _check_one_sender,
    }
)
