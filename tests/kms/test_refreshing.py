from __future__ import annotations

import datetime as dt

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trionitro import ConfigError
from trionitro.kms import (
    ContainerCredentials,
    CredentialProvider,
    Credentials,
    CredentialsUnavailableError,
    EnvironmentCredentials,
    ImdsCredentials,
    RefreshingCredentials,
    default_credentials,
)
from trionitro.testing import cancel_at_every_step

START = dt.datetime(2025, 1, 2, tzinfo=dt.UTC)


def now() -> dt.datetime:
    """Tell a time that goes with Trio's clock."""
    return START + dt.timedelta(seconds=trio.current_time())


@attrs.define
class Source(CredentialProvider):
    """Gives credentials for an hour, or fails, and counts."""

    lifetime: float = 3600.0
    duration: float = 0.0
    failing: bool = False
    asked: int = 0

    async def get(self) -> Credentials:
        """Give or fail."""
        self.asked += 1
        number = self.asked
        await trio.sleep(self.duration)
        if self.failing:
            raise CredentialsUnavailableError("the source is down")
        return Credentials(
            access_key_id=f"ASIA{number}",
            secret_access_key="s",
            expires_at=now() + dt.timedelta(seconds=self.lifetime),
        )


async def test_credentials_are_kept_until_ten_minutes_before_their_end(
    autojump_clock: MockClock,
) -> None:
    source = Source()
    provider = RefreshingCredentials(source, now)
    first = await provider.get()
    await trio.sleep(2990)
    second = await provider.get()
    await trio.sleep(20)
    third = await provider.get()

    assert first is second
    assert [first.access_key_id, third.access_key_id] == ["ASIA1", "ASIA2"]


async def test_credentials_without_an_end_are_kept(autojump_clock: MockClock) -> None:
    @attrs.define
    class Forever(CredentialProvider):
        async def get(self) -> Credentials:
            return Credentials(access_key_id="AKIA", secret_access_key="s")

    provider = RefreshingCredentials(Forever(), now)
    first = await provider.get()
    await trio.sleep(1e9)

    assert await provider.get() is first


async def test_many_at_once_cause_one_fetch(autojump_clock: MockClock) -> None:
    source = Source(duration=5)
    provider = RefreshingCredentials(source, now)
    got = set()

    async def use() -> None:
        got.add((await provider.get()).access_key_id)

    for _ in range(2):
        async with trio.open_nursery() as nursery:
            for _ in range(200):
                nursery.start_soon(use)

    assert source.asked == 1
    assert got == {"ASIA1"}


async def test_nobody_waits_for_a_refresh_while_the_old_ones_hold(
    autojump_clock: MockClock,
) -> None:
    source = Source()
    provider = RefreshingCredentials(source, now)
    await provider.get()
    await trio.sleep(3100)
    source.duration = 60
    async with trio.open_nursery() as nursery:
        nursery.start_soon(provider.get)
        await wait_all_tasks_blocked()
        began = trio.current_time()

        assert (await provider.get()).access_key_id == "ASIA1"
        assert trio.current_time() == began


async def test_a_refresh_that_fails_is_survived_while_the_old_ones_hold(
    autojump_clock: MockClock,
) -> None:
    source = Source()
    provider = RefreshingCredentials(source, now)
    await provider.get()
    await trio.sleep(3100)
    source.failing = True

    assert (await provider.get()).access_key_id == "ASIA1"
    assert (await provider.get()).access_key_id == "ASIA1"
    assert source.asked == 2  # the source is left alone for a minute
    await trio.sleep(61)
    await provider.get()
    assert source.asked == 3
    await trio.sleep(500)
    with pytest.raises(CredentialsUnavailableError, match="down"):
        await provider.get()
    source.failing = False
    assert (await provider.get()).access_key_id == "ASIA5"


async def test_a_clock_that_is_ahead_does_not_cause_a_fetch_for_each_request(
    autojump_clock: MockClock,
) -> None:
    source = Source()
    provider = RefreshingCredentials(source, lambda: now() + dt.timedelta(days=1))

    for _ in range(5):
        await provider.get()

    assert source.asked == 1
    await trio.sleep(61)
    await provider.get()
    assert source.asked == 2


def test_a_cancelled_fetch_leaves_the_next_one_free_to_fetch() -> None:
    async def scenario() -> None:
        provider = RefreshingCredentials(Source(duration=1), now)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(provider.get)
                nursery.start_soon(provider.get)
        finally:
            with trio.CancelScope(shield=True):
                assert (await provider.get()).access_key_id

    cancel_at_every_step(scenario, clock=lambda: MockClock(autojump_threshold=0))


FULL = "AWS_CONTAINER_CREDENTIALS_FULL_URI"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (
            {"AWS_ACCESS_KEY_ID": "AKIA", FULL: "http://localhost"},
            EnvironmentCredentials,
        ),
        ({FULL: "http://localhost"}, ContainerCredentials),
        ({}, ImdsCredentials),
    ],
)
async def test_what_is_configured_first_is_chosen(
    environ: dict[str, str], expected: type
) -> None:
    chosen = default_credentials(environ)
    if isinstance(chosen, RefreshingCredentials):
        chosen = chosen.source

    assert isinstance(chosen, expected)


async def test_a_wrong_configuration_is_not_passed_over(
    autojump_clock: MockClock,
) -> None:
    with pytest.raises(ConfigError, match="loopback"):
        default_credentials({FULL: "http://example.com"})
