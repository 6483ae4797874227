"""Whether a thread is worth having."""

from __future__ import annotations

import pytest

from trionitro._multiplexer._share import Share


def test_a_thread_that_runs_is_worth_having() -> None:
    share = Share()

    assert not any(share.is_too_small(0.002, 0.001) for _ in range(100))


def test_one_that_mostly_waits_is_not() -> None:
    share = Share(patience=0.02)

    found = [share.is_too_small(0.005, 0.0005) for _ in range(8)]

    assert found == [False, False, False, True] * 2


@pytest.mark.parametrize(("run", "too_small"), [(0.19, True), (0.21, False)])
def test_a_fifth_of_the_time_is_enough(run: float, *, too_small: bool) -> None:
    share = Share(patience=2)
    share.is_too_small(1.0, run)

    assert share.is_too_small(1.0, run) is too_small


def test_what_happened_in_a_single_pass_does_not_count() -> None:
    """Its process may have been stopped, and another one's turn have come."""
    share = Share(patience=0.02)

    assert not share.is_too_small(10.0, 0.0)


def test_what_was_judged_is_forgotten() -> None:
    share = Share(patience=0.02)
    share.is_too_small(1.0, 0.0)
    assert share.is_too_small(1.0, 0.0)

    assert not any(share.is_too_small(0.02, 0.02) for _ in range(3))
