from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import attrs
import pytest
import trio
from trio.testing import MockClock

from trionitro.enclave._restart import keep_running
from trionitro.manifest import Restart


@attrs.define(eq=False)
class Runs:
    """An application that ends after some seconds, with one code after the other."""

    codes: Iterator[int]
    lasting: float = 0.0
    began: list[float] = attrs.field(factory=list)

    async def __call__(self) -> int:
        """Run once."""
        self.began.append(trio.current_time())
        await trio.sleep(self.lasting)
        return next(self.codes)

    def pauses(self) -> list[float]:
        """Tell how long nothing ran, between the runs."""
        return [
            round(later - earlier - self.lasting, 3)
            for earlier, later in zip(self.began, self.began[1:], strict=False)
        ]


async def keep(
    run: Callable[[], Awaitable[int]],
    policy: Restart,
    stopping: trio.Event | None = None,
) -> int:
    if stopping is None:
        stopping = trio.Event()
    return await keep_running(run, policy=policy, first_delay=1.0, stopping=stopping)


@pytest.mark.parametrize("code", [0, 1])
async def test_never_is_once(code: int) -> None:
    runs = Runs(iter([code]))

    assert await keep(runs, "never") == code


async def test_on_failure_ends_with_the_first_success(
    autojump_clock: MockClock,
) -> None:
    runs = Runs(iter([1, 137, 0]))

    assert await keep(runs, "on-failure") == 0
    assert len(runs.began) == 3


async def test_always_goes_on_until_stopped(autojump_clock: MockClock) -> None:
    stopping = trio.Event()
    codes = iter([0, 1, 0, 3])

    async def run() -> int:
        code = next(codes)
        if code == 3:
            stopping.set()
        return code

    assert await keep(run, "always", stopping) == 3


async def test_the_pause_doubles_up_to_a_minute(autojump_clock: MockClock) -> None:
    runs = Runs(iter([1] * 8 + [0]))

    await keep(runs, "on-failure")

    assert runs.pauses() == [1, 2, 4, 8, 16, 32, 60, 60]


async def test_after_a_long_run_the_pause_is_short_again(
    autojump_clock: MockClock,
) -> None:
    runs = Runs(iter([1, 1, 1, 0]), lasting=61)

    await keep(runs, "on-failure")

    assert runs.pauses() == [1, 1, 1]


async def test_a_pause_ends_when_stopped(autojump_clock: MockClock) -> None:
    stopping = trio.Event()
    runs = Runs(iter([1] * 9))

    async with trio.open_nursery() as nursery:

        async def stop() -> None:
            await trio.sleep(20)
            stopping.set()

        nursery.start_soon(stop)
        assert await keep(runs, "always", stopping) == 1

    assert trio.current_time() == pytest.approx(runs.began[0] + 20)
