"""The world outside, as far as the demo needs one: an HTTPS server and a digest."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
from functools import partial

import structlog
import trio

from trionitro._http_server import HttpRequest, HttpResponse, answer_http

__all__ = ["serve_outside"]

_log = structlog.get_logger("trionitro.sandbox")

_HOST = "127.0.0.1"

_CHUNK = 2**18

GREETING = b"hello from outside the enclave\n"


async def serve_outside(certificate: str) -> None:
    """Serve HTTPS, and SHA-256 over plain TCP, on free ports of 127.0.0.1.

    The digest server reads until end-of-file, answers with the digest in hex, and
    closes. Logs ``listening`` with the service and its port for each.

    Args:
      certificate: a PEM file with the HTTPS server's chain and private key.

    """
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    async with trio.open_nursery() as nursery:
        https = await nursery.start(
            partial(trio.serve_ssl_over_tcp, _greet, 0, tls, host=_HOST)
        )
        digest = await nursery.start(partial(trio.serve_tcp, _digest, 0, host=_HOST))
        _log.info("listening", service="https", port=_port(https[0].transport_listener))
        _log.info("listening", service="digest", port=_port(digest[0]))


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
