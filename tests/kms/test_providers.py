from __future__ import annotations

import json

import pytest
import trio
from trio.testing import MockClock

from tests.kms.servers import serving
from tests.kms.test_credentials import ANSWER
from trionitro._http_server import HttpRequest, HttpResponse
from trionitro.kms import (
    ContainerCredentials,
    Credentials,
    CredentialsUnavailableError,
    EnvironmentCredentials,
    StaticCredentials,
    VsockBackend,
)
from trionitro.kms._providers import HttpSource
from trionitro.testing import MemoryVsock

URL = "http://localhost/credentials"


async def test_static_credentials_stay_what_they_are() -> None:
    credentials = Credentials(access_key_id="AKIA", secret_access_key="s")

    assert await StaticCredentials(credentials).get() is credentials


async def test_the_environment_is_read_anew_each_time() -> None:
    environ = {"AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "hidden"}
    provider = EnvironmentCredentials(environ)
    first = await provider.get()
    environ.update(AWS_ACCESS_KEY_ID="ASIA2", AWS_SESSION_TOKEN="hidden too")

    with pytest.raises(CredentialsUnavailableError, match="session_token"):
        await provider.get()
    environ.update(AWS_SESSION_TOKEN="token")
    second = await provider.get()

    assert (first.access_key_id, first.session_token) == ("AKIA1", None)
    assert (second.access_key_id, second.session_token) == ("ASIA2", "token")
    assert "hidden" not in repr(provider)


@pytest.mark.parametrize("environ", [{}, {"AWS_ACCESS_KEY_ID": "AKIA"}])
async def test_an_environment_without_keys_says_which_to_set(
    environ: dict[str, str],
) -> None:
    with pytest.raises(CredentialsUnavailableError, match="set AWS_ACCESS_KEY_ID"):
        await EnvironmentCredentials(environ).get()


class Flaky:
    """Answers with what it was given, one after the other."""

    def __init__(self, *answers: HttpResponse | float) -> None:
        self.answers = list(answers)

    async def respond(self, request: HttpRequest) -> HttpResponse:
        """Answer one request."""
        answer = self.answers.pop(0)
        if isinstance(answer, float):
            await trio.sleep(answer)
            return HttpResponse(body=b"too late")
        return answer


GOOD = HttpResponse(body=json.dumps(ANSWER).encode())


async def ask(flaky: Flaky) -> Credentials:
    async with serving(flaky.respond) as served:
        provider = ContainerCredentials(url=URL, network_backend=served.backend)
        return await provider.get()


async def test_an_endpoint_that_fails_for_a_moment_is_asked_again(
    autojump_clock: MockClock,
) -> None:
    credentials = await ask(Flaky(HttpResponse(status=500), 60.0, GOOD))

    assert credentials.access_key_id == "ASIAEXAMPLE"


@pytest.mark.parametrize(
    ("answers", "word"),
    [
        ([HttpResponse(status=500)] * 3, "500"),
        ([HttpResponse(status=403)], "403"),
        ([HttpResponse(body=b"no")], "JSON"),
        ([60.0] * 3, "within 2 s"),
        ([HttpResponse(body=b"x" * 100_000)] * 3, "65536"),
    ],
)
async def test_an_endpoint_that_fails_for_good_is_named(
    autojump_clock: MockClock, answers: list[HttpResponse | float], word: str
) -> None:
    flaky = Flaky(*answers)

    with pytest.RaisesGroup(
        pytest.RaisesExc(
            CredentialsUnavailableError, match=f"http://localhost.*{word}"
        ),
        flatten_subgroups=True,
    ):
        await ask(flaky)

    assert not flaky.answers


async def test_an_endpoint_that_is_not_there_is_named(
    autojump_clock: MockClock,
) -> None:
    network = MemoryVsock()
    source = HttpSource(origin="http://localhost", backend=VsockBackend(network, 3, 1))

    with pytest.raises(CredentialsUnavailableError, match="no connection to localhost"):
        await source.ask("GET", "/", {}, bytes)
