"""Carriers beside each other: who is over, who is late, and who waits for a thread."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.multiplexer.runs import hang_up, join, on_each, use
from trionitro import Ending
from trionitro._multiplexer import Carrier
from trionitro._multiplexer._flow import Flow
from trionitro._multiplexer._lanes import Lanes


@on_each
async def test_who_comes_after_a_carrier_was_cancelled_is_given_up_at_once(
    make_lanes: Callable[[], Lanes],
) -> None:
    lanes = use(make_lanes)
    carrier = Carrier()
    with trio.CancelScope() as scope:
        scope.cancel()
        await carrier.run()

    one = await join(carrier)

    assert one.ended.is_set()
    assert one.ending is None
    assert lanes.small.any_flow() is None
    await hang_up(one)


@on_each
async def test_however_many_have_been_heard_of_late_none_of_them_is_idle(
    make_lanes: Callable[[], Lanes], mock_clock: MockClock
) -> None:
    """As after a process was stopped: what has come in the meantime counts."""
    use(make_lanes)
    carrier = Carrier(idle_timeout=60)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(carrier.run)
        many = [await join(carrier) for _ in range(150)]
        silent = await join(carrier)
        await wait_all_tasks_blocked()

        for one in many:
            assert isinstance(one.client, trio.SocketStream)
            one.client.socket._sock.send(b"?")  # type: ignore[attr-defined]
        mock_clock.jump(61)
        await silent.ended.wait()

        assert silent.ending is Ending.IDLE
        assert not any(one.ended.is_set() for one in many)
        nursery.cancel_scope.cancel()
    await hang_up(silent, *many)


async def test_bulk_has_a_thread_though_who_was_to_run_it_has_no_bulk_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between being called and running, the last of its bulk may have ended."""
    lanes = use(Lanes.double)
    bulk = lanes.bulk
    assert bulk is not None
    first, second, _ = carriers = Carrier(), Carrier(), Carrier()
    pass_on = Lanes.pass_on
    ended: list[Flow] = []

    def pass_on_and_end(lanes: Lanes) -> None:
        pass_on(lanes)
        if len(lanes._bulky) == 2 and not bulk.is_running and not ended:
            called = next(iter(lanes._bulky))
            (flow,) = called.bulky
            ended.append(flow)
            with bulk.held() as mover:
                mover.remove(flow)
            flow.ending = Ending.LEFT_BROKE
            lanes.ended(flow)

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as inner:
                for carrier in carriers[1:]:
                    nursery.start_soon(carrier.run)
                await wait_all_tasks_blocked()
                inner.start_soon(first.run)
                many = [await join(carrier) for carrier in carriers]
                for one in many:
                    await one.become_bulk()
                assert lanes._driver is first._group
                monkeypatch.setattr(Lanes, "pass_on", pass_on_and_end)
                scope.cancel()
        assert ended
        (left,) = lanes._bulky
        one = many[1] if left is second._group else many[2]
        with trio.fail_after(5):
            await one.become_bulk()
        nursery.cancel_scope.cancel()
    await hang_up(*many)
