"""The world outside, as far as the demo needs one: KMS, HTTPS and a digest."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
from functools import partial
from pathlib import Path

import structlog
import trio

from trionitro._http_server import HttpRequest, HttpResponse, answer_http
from trionitro.sandbox._demo_kms import emulator_from

__all__ = ["CERTIFICATE", "GREETING", "serve_outside"]

_log = structlog.get_logger("trionitro.sandbox")

_HOST = "127.0.0.1"

_CHUNK = 2**18

#: The HTTPS server's chain and private key, in the directory.
CERTIFICATE = "server.pem"

GREETING = b"hello from outside the enclave\n"


async def serve_outside(directory: Path) -> None:
    """Serve HTTPS, SHA-256 over plain TCP, and KMS, on free ports of 127.0.0.1.

    The digest server reads until end-of-file, answers with the digest in hex, and
    closes. Logs ``listening`` with the service and its port for each.

    Args:
      directory: with the HTTPS server's chain and private key, and the files that
          the emulated KMS starts from.

    """
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(directory / CERTIFICATE)
    kms = emulator_from(directory)
    async with trio.open_nursery() as nursery:
        https = await nursery.start(
            partial(trio.serve_ssl_over_tcp, _greet, 0, tls, host=_HOST)
        )
        digest = await nursery.start(partial(trio.serve_tcp, _digest, 0, host=_HOST))
        aws = await trio.open_tcp_listeners(0, host=_HOST)
        await nursery.start(kms.serve_https, aws)
        _log.info("listening", service="https", port=_port(https[0].transport_listener))
        _log.info("listening", service="digest", port=_port(digest[0]))
        _log.info("listening", service="kms", port=_port(aws[0]))


def _port(listener: trio.SocketListener) -> int:
    port: int = listener.socket.getsockname()[1]
    return port


async def _greet(stream: trio.SSLStream[trio.SocketStream]) -> None:
    # A handshake that fails is the client's affair: that is what one step shows.
    with contextlib.suppress(trio.BrokenResourceError):
        await answer_http(stream, _respond)


async def _respond(request: HttpRequest) -> HttpResponse:
    return HttpResponse(body=GREETING)


async def _digest(stream: trio.SocketStream) -> None:
    digest = hashlib.sha256()
    with contextlib.suppress(trio.BrokenResourceError):
        while data := await stream.receive_some(_CHUNK):
            digest.update(data)
        await stream.send_all(digest.hexdigest().encode())
