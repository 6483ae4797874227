"""Bytes through real proxy processes, in every direction."""

from __future__ import annotations

import functools
import hashlib
import random
import shutil
import ssl
from pathlib import Path

import attrs
import pytest
import trio
import trustme

from tests.proxy.ends import Network, StartProxy, Stream, receive_all
from trionitro._http_server import HttpRequest, HttpResponse, answer_http

SIZE = 8 * 2**20
REQUEST = random.Random(1).randbytes(SIZE)
ANSWER = random.Random(2).randbytes(SIZE)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@attrs.frozen
class Direction:
    """Who listens where, and on which side of the vsock."""

    listen: str
    proxy_cid: int
    target_cid: int | None
    client_cid: int


DIRECTIONS = {
    "parent, enclave to outside": Direction("vsock://:8000", 3, None, 16),
    "enclave, enclave to outside": Direction("tcp://127.0.0.1:0", 16, 3, 16),
    "parent, outside to enclave": Direction("tcp://127.0.0.1:0", 3, 16, 3),
    "enclave, outside to enclave": Direction("vsock://:2000", 16, None, 3),
}


async def answer_after_eof(stream: Stream) -> None:
    """Read the request to its end, and only if it is whole send the answer."""
    if sha256(await receive_all(stream)) == sha256(REQUEST):
        await stream.send_all(ANSWER)


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
async def test_8_mib_each_way_with_the_client_half_closing_first(
    run_proxy: StartProxy, network: Network, direction: Direction
) -> None:
    """The answer comes back whole although the client sent end-of-file before it."""
    target = await network.serve(answer_after_eof, cid=direction.target_cid)
    proxy = await run_proxy(direction.listen, str(target), cid=direction.proxy_cid)
    client = await network.connect(proxy.listens[0], cid=direction.client_cid)

    async with client:
        await client.send_all(REQUEST)
        await client.send_eof()
        answer = await receive_all(client)

    assert sha256(answer) == sha256(ANSWER)


async def test_both_halves_in_a_row(run_proxy: StartProxy, network: Network) -> None:
    """TCP inside reaches TCP outside through the enclave's half and the parent's."""
    target = await network.serve(answer_after_eof)
    await run_proxy("vsock://:8000", str(target))
    enclave = await run_proxy("tcp://127.0.0.1:0", "vsock://parent:8000", cid=16)
    client = await network.connect(enclave.listens[0], cid=16)

    async with client:
        await client.send_all(REQUEST)
        await client.send_eof()
        answer = await receive_all(client)

    assert sha256(answer) == sha256(ANSWER)


async def test_unix_sockets_and_enclave_to_enclave(
    run_proxy: StartProxy, network: Network, tmp_path: Path
) -> None:
    """A unix listener reaches a vsock target, and the parent joins two enclaves."""
    target = await network.serve(answer_after_eof, cid=16)
    path = tmp_path / "app.sock"
    await run_proxy(
        *(f"unix://{path}", "vsock://3:9000"), *("vsock://:9000", str(target))
    )

    client = await trio.open_unix_socket(path)
    async with client:
        await client.send_all(REQUEST)
        await client.send_eof()
        answer = await receive_all(client)

    assert sha256(answer) == sha256(ANSWER)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_through_both_halves(
    run_proxy: StartProxy, network: Network, tmp_path: Path
) -> None:
    """An unmodified client doesn't notice, and checks the server's certificate."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("kms.test").configure_cert(tls)
    target = await network.serve(functools.partial(greet, tls))
    await run_proxy("vsock://:8000", str(target))
    enclave = await run_proxy("tcp://127.0.0.1:0", "vsock://parent:8000", cid=16)

    curl = await trio.run_process(
        [
            *("curl", "--silent", "--show-error", "--noproxy", "*"),
            *("--resolve", f"kms.test:{enclave.port}:127.0.0.1"),
            *("--cacert", str(tmp_path / "ca.pem")),
            f"https://kms.test:{enclave.port}/",
        ],
        capture_stdout=True,
    )

    assert curl.stdout == b"hello"


async def greet(tls: ssl.SSLContext, stream: trio.SocketStream) -> None:
    async def respond(request: HttpRequest) -> HttpResponse:
        return HttpResponse(body=b"hello")

    secure = trio.SSLStream(stream, tls, server_side=True, https_compatible=True)
    await answer_http(secure, respond)
