from __future__ import annotations

import math
import socket
from functools import partial

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from trionitro.testing import cancel_at_every_step

autojump = partial(MockClock, autojump_threshold=0)


def test_every_checkpoint_is_cancelled_once_and_then_none() -> None:
    reached: list[int] = []

    async def scenario() -> None:
        count = 0
        try:
            for _ in range(3):
                await trio.lowlevel.checkpoint()
                count += 1
        finally:
            reached.append(count)

    steps = cancel_at_every_step(scenario)

    assert steps == len(reached) - 1
    assert set(reached) == {0, 1, 2, 3}
    assert reached == sorted(reached)


def test_arguments_are_passed_on() -> None:
    seen = []

    async def scenario(left: int, right: str) -> None:
        seen.append((left, right))
        await trio.lowlevel.checkpoint()

    cancel_at_every_step(scenario, 1, "two")

    assert set(seen) == {(1, "two")}


def test_a_task_that_is_woken_and_then_cancelled_is_a_step_of_its_own() -> None:
    """It has got what it waited for, and must not lose it at the next checkpoint."""
    woken: list[bool] = []

    async def scenario() -> None:
        near, far = socket.socketpair()
        with near, far:
            far.send(b"x")
            await trio.lowlevel.wait_readable(near)
            woken.append(trio.current_effective_deadline() == -math.inf)
            await trio.lowlevel.checkpoint()

    cancel_at_every_step(scenario)

    assert set(woken) == {True, False}


def test_a_broken_invariant_is_raised_with_the_step_it_broke_at() -> None:
    async def scenario() -> None:
        done = False
        try:
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
            done = True
        finally:
            assert done, "half done"

    with pytest.raises(AssertionError, match="half done") as caught:
        cancel_at_every_step(scenario)

    assert caught.value.__notes__ == ["This happened in the run cancelled at step 0."]


def test_a_task_left_behind_is_named() -> None:
    async def scenario() -> None:
        trio.lowlevel.spawn_system_task(trio.sleep_forever, name="straggler")
        await trio.lowlevel.checkpoint()

    with pytest.raises(AssertionError, match="left running: straggler"):
        cancel_at_every_step(scenario)


def test_a_task_that_is_just_ending_is_not_left_behind() -> None:
    async def scenario() -> None:
        trio.lowlevel.spawn_system_task(trio.lowlevel.checkpoint)
        await trio.lowlevel.checkpoint()

    assert cancel_at_every_step(scenario)


def test_a_run_that_can_not_be_cancelled_is_given_up() -> None:
    release: list[trio.lowlevel.Task] = []
    token: list[trio.lowlevel.TrioToken] = []

    async def scenario() -> None:
        release.append(trio.lowlevel.current_task())
        token.append(trio.lowlevel.current_trio_token())
        await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)

    with pytest.raises(AssertionError, match=r"did not end within 0\.05 seconds"):
        cancel_at_every_step(scenario, seconds=0.05)

    token[0].run_sync_soon(trio.lowlevel.reschedule, release[0])


def test_a_scenario_that_never_ends_is_given_up() -> None:
    async def scenario() -> None:
        while True:
            await trio.sleep(1)

    with pytest.raises(AssertionError, match="did not end by itself within 20 steps"):
        cancel_at_every_step(scenario, clock=autojump, max_steps=20)


def test_the_scenario_s_own_timeout_is_not_taken_for_a_hang() -> None:
    async def scenario() -> None:
        await trio.lowlevel.cancel_shielded_checkpoint()
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        cancel_at_every_step(scenario)
