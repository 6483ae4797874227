from __future__ import annotations

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from trionitro._control._outbox import Outbox


def outbox(limit: int) -> Outbox[int]:
    """Make an outbox of numbers, which weigh what they are."""
    return Outbox(limit, lambda number: number)


@given(st.lists(st.integers(0, 9)), st.integers(0, 30), st.integers(0, 30))
def test_the_newest_that_fit_come_out_in_order_and_the_rest_are_counted(
    numbers: list[int], limit: int, most: int
) -> None:
    box = outbox(limit)
    for number in numbers:
        box.put(number)
    kept = len(box)
    box.finish()

    async def take_all() -> tuple[list[int], int]:
        taken: list[int] = []
        lost = 0
        while batch := await box.take(most):
            items, dropped = batch
            if not items:
                return taken, lost
            assert len(items) == 1 or sum(items) <= most
            taken += items
            lost += dropped
        raise AssertionError

    taken, lost = trio.run(take_all)

    assert taken == numbers[len(numbers) - kept :]
    assert lost == (len(numbers) - kept)
    assert kept <= 1 or sum(taken) <= limit


async def test_what_could_not_be_sent_goes_back_to_the_front() -> None:
    box = outbox(10)
    for number in (1, 2, 3):
        box.put(number)
    items, dropped = await box.take(3)
    box.put_back(items, dropped + 7)

    assert await box.take(99) == ([1, 2, 3], 7)


async def test_who_waits_is_woken_by_an_item_and_by_the_end() -> None:
    box = outbox(10)
    taken: list[list[int]] = []

    async def take() -> None:
        while True:
            items, _ = await box.take(99)
            taken.append(items)
            if not items:
                return

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await wait_all_tasks_blocked()
        box.put(5)
        await wait_all_tasks_blocked()
        box.finish()

    assert taken == [[5], []]
