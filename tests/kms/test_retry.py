from __future__ import annotations

import pytest

from trionitro.kms._retry import RetryQuota, backoff, is_throttling, is_transient


@pytest.mark.parametrize(
    ("attempt", "throttled", "expected"),
    [(1, False, 0.05), (2, False, 0.1), (1, True, 1.0), (2, True, 2.0), (9, True, 20)],
)
def test_the_pause_doubles_up_to_a_limit(
    attempt: int, throttled: bool, expected: float
) -> None:
    assert backoff(attempt, throttled=throttled, draw=lambda: 1.0) == expected


def test_the_pause_is_a_random_part_of_it() -> None:
    assert 0 <= backoff(1, throttled=True) <= 1.0


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("KMSInternalException", 400, True),
        ("DependencyTimeoutException", 400, True),
        ("KeyUnavailableException", 400, True),
        ("Http503", 503, True),
        ("AccessDeniedException", 400, False),
        ("InvalidCiphertextException", 400, False),
        ("KMSInvalidStateException", 400, False),
    ],
)
def test_only_what_may_pass_is_transient(
    code: str, status: int, expected: bool
) -> None:
    assert is_transient(code, status) is expected


def test_throttling_is_known_by_its_code() -> None:
    assert is_throttling("ThrottlingException")
    assert is_throttling("TooManyRequestsException")
    assert not is_throttling("LimitExceededException")


def test_the_quota_runs_out_and_fills_up_again() -> None:
    quota = RetryQuota()
    paid = 0
    while cost := quota.take(throttled=False):
        paid += cost

    assert paid == 490
    assert quota.take(throttled=True) == 5
    quota.give_back(14)
    assert quota.take(throttled=False) == 14


def test_success_without_a_retry_gives_a_little_back_and_never_too_much() -> None:
    quota = RetryQuota()
    quota.take(throttled=True)

    for _ in range(100):
        quota.give_back(0)

    assert sum(quota.take(throttled=True) or 0 for _ in range(200)) == 500
