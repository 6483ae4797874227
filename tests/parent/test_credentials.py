from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import boto3
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kms.fake_kms import CREDENTIALS
from trionitro import ConfigError, TcpEndpoint, UnixEndpoint, VsockEndpoint
from trionitro._listen import open_bound
from trionitro.kms import (
    ContainerCredentials,
    CredentialProvider,
    Credentials,
    CredentialsUnavailableError,
    StaticCredentials,
    VsockBackend,
)
from trionitro.parent import BrokerConfig, CredentialBroker, run_credential_broker
from trionitro.proxy import NO_ALLOWLIST, Proxy, ProxyConfig, Route, Surroundings
from trionitro.testing import MemoryVsock

PORT = 8002
URL = "http://localhost/credentials"


class Broken(CredentialProvider):
    """Has none."""

    async def get(self) -> Credentials:
        """Fail, with a text that is for the parent only."""
        raise CredentialsUnavailableError("no role on this instance")


async def start(
    nursery: trio.Nursery, provider: CredentialProvider, network: MemoryVsock
) -> None:
    broker = CredentialBroker(provider, frozenset({16}))
    bound = await open_bound(VsockEndpoint(None, PORT), network)
    nursery.start_soon(broker.serve, bound.listeners)


def client_of(network: MemoryVsock, cid: int, url: str = URL) -> ContainerCredentials:
    backend = VsockBackend(network.at(cid), 3, PORT)
    return ContainerCredentials(url=url, network_backend=backend)


async def test_the_enclave_gets_the_parent_s_credentials(
    nursery: trio.Nursery,
) -> None:
    network = MemoryVsock()
    await start(nursery, StaticCredentials(CREDENTIALS), network)

    got = await client_of(network, 16).get()

    assert got.secret_access_key == CREDENTIALS.secret_access_key
    assert got.session_token == CREDENTIALS.session_token


async def test_another_enclave_gets_nothing(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    network = MemoryVsock()
    await start(nursery, StaticCredentials(CREDENTIALS), network)

    with pytest.raises(CredentialsUnavailableError):
        await client_of(network, 17).get()


async def test_a_parent_without_credentials_says_no_more_than_that(
    nursery: trio.Nursery,
) -> None:
    network = MemoryVsock()
    await start(nursery, Broken(), network)
    async with await network.at(16).open_stream(3, PORT) as stream:
        await stream.send_all(b"GET /credentials HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await stream.receive_some()

    assert answer.startswith(b"HTTP/1.1 503")
    assert b"role" not in answer


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET / HTTP/1.1", b"404"),
        (b"GET /latest/meta-data/ HTTP/1.1", b"404"),
        (b"PUT /credentials HTTP/1.1", b"405"),
        (b"nonsense", b"400"),
    ],
)
async def test_nothing_else_is_answered(
    nursery: trio.Nursery, request_line: bytes, status: bytes
) -> None:
    network = MemoryVsock()
    await start(nursery, StaticCredentials(CREDENTIALS), network)
    async with await network.at(16).open_stream(3, PORT) as stream:
        await stream.send_all(request_line + b"\r\nHost: x\r\n\r\n")
        answer = await stream.receive_some()

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert CREDENTIALS.secret_access_key.encode() not in answer


async def test_a_crowd_is_refused_and_then_there_is_room_again(
    nursery: trio.Nursery,
) -> None:
    network = MemoryVsock()
    await start(nursery, StaticCredentials(CREDENTIALS), network)
    crowd = [await network.at(16).open_stream(3, PORT) for _ in range(64)]
    await wait_all_tasks_blocked()
    async with await network.at(16).open_stream(3, PORT) as one_more:
        assert await one_more.receive_some() == b""
    for stream in crowd:
        await stream.aclose()
    await wait_all_tasks_blocked()

    assert await client_of(network, 16).get() is not None


@pytest.mark.parametrize(
    ("listen", "cids", "word"),
    [
        (VsockEndpoint(None, PORT), [], "any enclave"),
        (TcpEndpoint("0.0.0.0", PORT), [], "network"),
        (TcpEndpoint("", PORT), [], "network"),
        (UnixEndpoint("/run/x.sock"), [16], "no CIDs"),
    ],
)
def test_a_broker_for_everybody_is_refused(
    listen: Any, cids: list[int], word: str
) -> None:
    with pytest.raises(ConfigError, match=word):
        BrokerConfig(listen=listen, allow_cids=frozenset(cids))


async def test_boto3_in_the_enclave_works_unmodified_through_a_proxy(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    network = MemoryVsock()
    await start(nursery, StaticCredentials(CREDENTIALS), network)
    proxy = Proxy(Surroundings(network.at(16), NO_ALLOWLIST))
    route = Route(listen=TcpEndpoint("127.0.0.1", 0), forward=VsockEndpoint(3, PORT))
    bound = await nursery.start(proxy.serve, ProxyConfig(routes=(route,)))
    (endpoint,) = bound
    monkeypatch.setenv(
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        f"http://127.0.0.1:{endpoint.port}/credentials",
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))

    def ask_boto3() -> Any:
        return boto3.Session().get_credentials().get_frozen_credentials()

    got = await trio.to_thread.run_sync(ask_boto3)

    assert got.access_key == CREDENTIALS.access_key_id
    assert got.secret_key == CREDENTIALS.secret_access_key
    assert got.token == CREDENTIALS.session_token


async def test_a_signal_ends_the_broker(tmp_path: Path) -> None:
    path = tmp_path / "broker.sock"
    config = BrokerConfig(listen=UnixEndpoint(str(path)))
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            await run_credential_broker(
                config, StaticCredentials(CREDENTIALS), network=MemoryVsock()
            )

        nursery.start_soon(run)
        while not path.exists():
            await trio.lowlevel.checkpoint()
        await wait_all_tasks_blocked()
        os.kill(os.getpid(), signal.SIGTERM)

    assert not path.exists()
