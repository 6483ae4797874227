from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from tests.stacks import task_tree


async def wait_for_ever_and_a_day() -> None:
    await trio.sleep_forever()


async def test_the_tree_shows_where_each_task_waits(nursery: trio.Nursery) -> None:
    nursery.start_soon(wait_for_ever_and_a_day)
    await wait_all_tasks_blocked()

    tree = task_tree()

    assert "wait_for_ever_and_a_day" in tree
    assert "sleep_forever" in tree


def test_without_trio_there_is_no_tree() -> None:
    assert task_tree() == ""
