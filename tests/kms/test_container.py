from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.kms.servers import serving
from tests.kms.test_credentials import ANSWER
from trionitro import ConfigError
from trionitro._http_server import HttpRequest, HttpResponse
from trionitro.kms import ContainerCredentials, CredentialsUnavailableError

FULL = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
RELATIVE = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"


async def give(request: HttpRequest) -> HttpResponse:
    return HttpResponse(body=json.dumps(ANSWER).encode())


@pytest.mark.parametrize(
    "url",
    [
        "https://anywhere.example.com/x",
        "http://localhost:8002/credentials",
        "http://127.0.0.1/credentials",
        "http://127.9.9.9:80",
        "http://[::1]:8002/",
        "http://169.254.170.2/v2",
        "http://169.254.170.23/v1/credentials",
        "http://[fd00:ec2::23]/v1/credentials",
    ],
)
def test_urls_that_are_safe_are_taken(url: str) -> None:
    provider = ContainerCredentials.from_environment({FULL: url})

    assert provider is not None
    assert provider.url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/",
        "http://example.com/",
        "http://127.0.0.1.example.com/",
        "http://127.0.0.1@example.com/",
        "http://localhost\r\nX: y",
        "http://localhost:99999/",
        "http:///credentials",
        "http://[::1",
        "ftp://127.0.0.1/",
        "credentials",
        "http://2130706433/",
    ],
)
def test_urls_that_are_not_are_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        ContainerCredentials.from_environment({FULL: url})


def test_a_relative_uri_is_one_of_ecs_and_wins() -> None:
    provider = ContainerCredentials.from_environment(
        {RELATIVE: "/v2/x", FULL: "https://elsewhere"}
    )

    assert provider is not None
    assert provider.url == "http://169.254.170.2/v2/x"


def test_a_relative_uri_can_t_name_another_host() -> None:
    with pytest.raises(ConfigError, match="must start with /"):
        ContainerCredentials.from_environment({RELATIVE: "@example.com/"})


def test_an_environment_without_an_endpoint_has_none() -> None:
    assert ContainerCredentials.from_environment({}) is None


async def test_path_and_query_are_asked_for() -> None:
    async with serving(give) as served:
        provider = ContainerCredentials(
            url="http://localhost:1234/a/b?c=d", network_backend=served.backend
        )

        await provider.get()

    (request,) = served.requests
    assert request.method == "GET"
    assert request.target == "/a/b?c=d"
    assert request.headers["host"] == "localhost:1234"
    assert "authorization" not in request.headers


async def test_the_token_of_the_file_wins_and_is_read_anew_each_time(
    tmp_path: Path,
) -> None:
    file = tmp_path / "token"
    environ = {
        FULL: "http://localhost/",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(file),
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "other",
    }
    async with serving(give) as served:
        provider = ContainerCredentials.from_environment(
            environ, network_backend=served.backend
        )
        assert provider is not None
        file.write_text("first\n")
        await provider.get()
        file.write_text("second")
        await provider.get()

    tokens = [request.headers["authorization"] for request in served.requests]
    assert tokens == ["first", "second"]


async def test_a_token_with_a_line_break_is_refused_and_not_shown(
    tmp_path: Path,
) -> None:
    file = tmp_path / "token"
    file.write_text("hidden\r\nHost: evil\n")
    provider = ContainerCredentials(url="http://localhost/", token_file=str(file))

    with pytest.raises(CredentialsUnavailableError, match="header") as caught:
        await provider.get()

    assert str(file) in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * 20_000, None])
async def test_a_token_file_that_is_none_is_named(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    provider = ContainerCredentials(url="http://localhost/", token_file=str(file))

    with pytest.raises(CredentialsUnavailableError, match=str(file)):
        await provider.get()


def test_the_token_is_not_in_the_repr() -> None:
    provider = ContainerCredentials(url="http://localhost/", token="hidden")

    assert "hidden" not in repr(provider)
