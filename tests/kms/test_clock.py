from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro.kms._clock import SigningClock

NOON = dt.datetime(2025, 1, 2, 12, tzinfo=dt.UTC)


def test_the_service_s_time_is_taken_over() -> None:
    clock = SigningClock(lambda: NOON)

    assert clock.correct_untrusted("Thu, 02 Jan 2025 13:00:00 GMT", signed=NOON)
    assert clock.read() == NOON + dt.timedelta(hours=1)


@pytest.mark.parametrize(
    "date",
    [
        None,
        "",
        "soon",
        "Thu, 02 Jan 2025 12:03:00 GMT",
        "Thu, 99 Jan 2025 12:00:00 GMT",
    ],
)
def test_a_time_that_was_not_the_reason_changes_nothing(date: str | None) -> None:
    clock = SigningClock(lambda: NOON)

    assert not clock.correct_untrusted(date, signed=NOON)
    assert clock.read() == NOON


@given(st.text())
def test_any_text_may_stand_for_the_date(date: str) -> None:
    clock = SigningClock(lambda: NOON)

    clock.correct_untrusted(date, signed=NOON)

    assert clock.read().tzinfo is not None


def test_a_date_at_the_edge_of_time_changes_nothing() -> None:
    clock = SigningClock(lambda: NOON)

    clock.correct_untrusted("Fri, 31 Dec 9999 23:59:59 -1200", signed=NOON)

    assert clock.read().year >= 2025
