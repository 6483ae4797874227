"""Cancelling a scenario at every step it takes.

Whoever awaits may be cancelled there. A test that cancels at one place says
something about that place; this one takes them all in turn.

"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from typing import TypeVarTuple

import attrs
import trio
import trio.testing

__all__ = ["cancel_at_every_step"]

_Args = TypeVarTuple("_Args")


def cancel_at_every_step(
    scenario: Callable[[*_Args], Awaitable[object]],
    *args: *_Args,
    clock: Callable[[], trio.abc.Clock] | None = None,
    max_steps: int = 2000,
    seconds: float = 10.0,
) -> int:
    """Run ``scenario`` again and again, cancelled one step later each time.

    A step is the moment before, or after, some task does something: between the two
    a socket may become readable and a deadline may pass, and whoever was woken just
    before the cancellation must cope with both. The first run is cancelled before it
    begins, and the last is the first to end uncancelled. Each is a Trio run of its
    own, so this is called outside of Trio::

        async def conversation() -> None:
            left, right = await open_pair()
            try:
                await relay(left, right)
            finally:
                assert is_closed(left)
                assert is_closed(right)


        cancel_at_every_step(conversation)

    The scenario asserts its own invariant in a ``finally``. What is asserted here is
    that it lets itself be cancelled, and that no task outlives it, system tasks
    included.

    Args:
      scenario: an async function that comes to an end by itself. Trio shuffles
          tasks that are ready at once, and real I/O takes a few steps more or fewer
          each time: such a scenario is not swept in quite the same way twice.
      *args: passed to ``scenario``.
      clock: makes each run's clock, for example
          ``partial(MockClock, autojump_threshold=0)``; None for real time.
      max_steps: how many steps may pass before the scenario ends by itself.
      seconds: how much real time one run may take.

    Returns:
      How many steps there were.

    Raises:
      AssertionError: if a run does not end, or leaves a task behind; the message
          says at which step it was cancelled.
      Exception: what ``scenario`` raised, with a note that says the same.

    """

    async def main() -> None:
        await run.watch(scenario, *args)

    for step in range(max_steps):
        run = _Run(step)
        try:
            _call_in_thread(run, main, clock=clock and clock(), seconds=seconds)
        except BaseException as exc:
            exc.add_note(f"This happened in the run cancelled at step {step}.")
            raise
        if not run.cancelled:
            return step
    raise AssertionError(f"the scenario did not end by itself within {max_steps} steps")


@attrs.define(eq=False)
class _Run(trio.abc.Instrument):
    """One run of a scenario, which it cancels at one step.

    Attributes:
      step: when to cancel: 0 is before the scenario begins.
      cancelled: whether the scenario got as far as that.

    """

    step: int
    cancelled: bool = False
    _taken: int = 0
    _scope: trio.CancelScope = attrs.field(init=False, factory=trio.CancelScope)
    _before: frozenset[trio.lowlevel.Task] = frozenset()
    _root: trio.lowlevel.Task | None = None

    async def watch(
        self, scenario: Callable[[*_Args], Awaitable[object]], *args: *_Args
    ) -> None:
        """Run the scenario, then check that it left nothing running."""
        # Trio's own tasks are starting still, and their steps are no step of ours.
        await trio.testing.wait_all_tasks_blocked()
        self._root = trio.lowlevel.current_root_task()
        self._before = frozenset(_tasks_below(self._root))
        self._cancel_when_due()
        trio.lowlevel.add_instrument(self)
        with self._scope:
            await scenario(*args)
        trio.lowlevel.remove_instrument(self)
        # What was told to end may need a step or two more for it.
        await trio.testing.wait_all_tasks_blocked()
        if leftover := self.leftover():
            raise AssertionError(f"left running: {leftover}")

    def leftover(self) -> str:
        """Name the tasks that were not there when the scenario began."""
        names = [t.name for t in _tasks_below(self._root) if t not in self._before]
        return ", ".join(sorted(names))

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Called by Trio."""
        self._take_step()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Called by Trio."""
        self._take_step()

    def _take_step(self) -> None:
        self._taken += 1
        self._cancel_when_due()

    def _cancel_when_due(self) -> None:
        if self._taken == self.step:
            self.cancelled = True
            self._scope.cancel()


def _tasks_below(task: trio.lowlevel.Task | None) -> Iterator[trio.lowlevel.Task]:
    if task is not None:
        yield task
        for nursery in task.child_nurseries:
            for child in nursery.child_tasks:
                yield from _tasks_below(child)


def _call_in_thread(
    run: _Run,
    main: Callable[[], Awaitable[None]],
    *,
    clock: trio.abc.Clock | None,
    seconds: float,
) -> None:
    """Call ``trio.run(main)`` in a thread, which is all that can leave a hung one."""
    done = Future[None]()

    def body() -> None:
        try:
            done.set_result(trio.run(main, clock=clock))
        except BaseException as exc:  # noqa: BLE001  # raised again by result()
            done.set_exception(exc)

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(body,), daemon=True)
    thread.start()
    try:
        done.result(timeout=seconds)
    except TimeoutError:
        if done.done():  # the scenario's own
            raise
        raise AssertionError(
            f"did not end within {seconds} seconds; still running: {run.leftover()}"
        ) from None
    thread.join()
