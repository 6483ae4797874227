from __future__ import annotations

import ssl
from pathlib import Path

import httpcore
import httpx
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kms.servers import PORT, serving, serving_on, trusting_tls
from trionitro import (
    ConfigError,
    Endpoint,
    ProtocolError,
    TcpEndpoint,
    UnixEndpoint,
    VsockEndpoint,
)
from trionitro._http_server import HttpRequest, HttpResponse
from trionitro.kms import EndpointBackend, StreamBackend, TcpBackend
from trionitro.kms._http import default_tls, fetch
from trionitro.testing import MemoryVsock

HOST = "service.example.com"


async def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(body=request.headers["host"].encode() + request.body)


async def get(backend: StreamBackend, url: str, *, max_body: int = 100) -> bytes:
    pool = httpcore.AsyncConnectionPool(
        network_backend=backend, ssl_context=trusting_tls()
    )
    async with pool:
        answer = await fetch(
            pool, "GET", url, headers=[("Host", HOST)], max_body=max_body
        )
    return answer.body


async def test_httpx_reaches_any_name_through_a_vsock_route() -> None:
    async with serving(echo, tls=HOST) as served:
        transport = httpx.AsyncHTTPTransport(verify=trusting_tls())
        transport._pool = httpcore.AsyncConnectionPool(
            ssl_context=trusting_tls(), network_backend=served.backend
        )
        async with httpx.AsyncClient(transport=transport) as client:
            response = await client.get(f"https://{HOST}/")

    assert response.text == HOST


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_an_endpoint_is_dialled_instead_of_the_host(
    tmp_path: Path, kind: str
) -> None:
    listen: Endpoint = TcpEndpoint("127.0.0.1", 0)
    if kind == "unix":
        listen = UnixEndpoint(str(tmp_path / "s"))
    async with serving_on(listen, echo, tls=HOST) as endpoint:
        backend = EndpointBackend(endpoint, MemoryVsock())

        assert await get(backend, f"https://{HOST}/") == HOST.encode()


async def test_a_vsock_endpoint_is_dialled_likewise() -> None:
    async with serving(echo, tls=HOST) as served:
        backend = EndpointBackend(VsockEndpoint(3, PORT), served.network.at(16))

        assert await get(backend, f"https://{HOST}/") == HOST.encode()


async def test_without_a_detour_the_host_is_dialled() -> None:
    async with serving_on(TcpEndpoint("127.0.0.1", 0), echo) as endpoint:
        assert isinstance(endpoint, TcpEndpoint)

        assert await get(TcpBackend(), f"http://127.0.0.1:{endpoint.port}/")


def test_an_endpoint_that_can_only_be_listened_on_is_refused() -> None:
    with pytest.raises(ConfigError, match="names no CID"):
        EndpointBackend(VsockEndpoint(None, 8000), MemoryVsock())


async def test_an_idle_connection_that_ended_is_not_used_again() -> None:
    async with serving_on(TcpEndpoint("127.0.0.1", 0), echo) as endpoint:
        assert isinstance(endpoint, TcpEndpoint)
        async with httpcore.AsyncConnectionPool(network_backend=TcpBackend()) as pool:
            for _ in range(3):
                await fetch(
                    pool,
                    "GET",
                    f"http://127.0.0.1:{endpoint.port}/",
                    headers=[("Host", HOST)],
                    max_body=100,
                )
            assert len(pool.connections) == 1


async def test_an_answer_that_is_too_long_is_cut_off() -> None:
    async def flood(request: HttpRequest) -> HttpResponse:
        return HttpResponse(body=b"x" * 1_000_000)

    with pytest.RaisesGroup(
        pytest.RaisesExc(ProtocolError, match="more than 1000 bytes"),
        flatten_subgroups=True,
    ):
        async with serving(flood) as served:
            await get(served.backend, f"http://{HOST}/", max_body=1000)


async def answer_with(data: bytes, network: MemoryVsock) -> None:
    listener = await network.open_listener(PORT)
    async with listener, await listener.accept() as stream:
        await stream.receive_some()
        await stream.send_all(data)


@pytest.mark.parametrize("data", [b"nonsense\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nX"])
async def test_what_is_no_http_is_an_error_of_ours(data: bytes) -> None:
    network = MemoryVsock()
    backend = EndpointBackend(VsockEndpoint(3, PORT), network)
    with pytest.RaisesGroup(ProtocolError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_with, data, network)
            await wait_all_tasks_blocked()
            await get(backend, f"http://{HOST}/")


async def test_a_peer_that_never_shakes_hands_is_given_up(
    autojump_clock: MockClock,
) -> None:
    network = MemoryVsock()
    async with await network.open_listener(PORT):
        backend = EndpointBackend(VsockEndpoint(3, PORT), network)

        with pytest.raises(TimeoutError, match=HOST):
            await get(backend, f"https://{HOST}/")

    assert trio.current_time() >= 10


def test_the_system_s_authorities_or_certifi_s_are_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    empty = ssl.DefaultVerifyPaths("", str(tmp_path), "", "", "", "")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: empty)

    fallen_back = default_tls()

    assert fallen_back.verify_mode is ssl.CERT_REQUIRED
    assert fallen_back.check_hostname
    assert fallen_back.cert_store_stats()["x509_ca"] > 50
