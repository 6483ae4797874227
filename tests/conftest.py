"""What every test has: one way of running Hypothesis, and stacks when it hangs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator, Iterator
from types import FrameType

import pytest
import structlog
from hypothesis import settings

from tests.stacks import task_tree

# No deadline: a busy machine is no bug, and pytest-timeout watches for hangs. The
# same examples every time, so that a red build is about the change at hand; hunt for
# new ones with ``--hypothesis-profile=hunt``.
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.register_profile("hunt", deadline=None, max_examples=2000, print_blob=True)
# For emulated processors, where an example may take a second.
settings.register_profile("guest", settings.get_profile("repeatable"), max_examples=25)
settings.load_profile("guest" if "TRIONITRO_GUEST" in os.environ else "repeatable")


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer() -> Generator[None, object, object]:
    """Have a test that times out show its Trio tasks, which no thread's stack does."""
    result = yield
    fail = signal.getsignal(signal.SIGALRM)

    def show_tasks_and_fail(signum: int, frame: FrameType | None) -> None:
        print(task_tree(), file=sys.stderr)  # noqa: T201  pytest shows it
        if callable(fail):
            fail(signum, frame)

    signal.signal(signal.SIGALRM, show_tasks_and_fail)
    return result


@pytest.fixture(autouse=True)
def _logs_as_they_are_by_default() -> Iterator[None]:
    """Undo what a command that ran in this process has set up."""
    yield
    structlog.reset_defaults()
