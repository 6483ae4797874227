"""How HTTP gets out of an enclave: network backends for httpcore, and so for httpx.

A backend decides where the socket goes. The name in the URL stays what the TLS
certificate is checked against and what ``Host`` says, and TLS ends in this process:
whatever carries the bytes sees none of them in the clear.

"""

from __future__ import annotations

import ssl
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, assert_never, final

import attrs
import httpcore
import trio
import trio.abc

from trionitro._endpoints import (
    Endpoint,
    TcpEndpoint,
    UnixEndpoint,
    VsockEndpoint,
    check_target,
)
from trionitro._exceptions import ProtocolError
from trionitro._unix import open_unix_stream
from trionitro.abc import VsockNetwork

__all__ = [
    "EndpointBackend",
    "HttpAnswer",
    "StreamBackend",
    "TcpBackend",
    "VsockBackend",
    "default_tls",
    "fetch",
]

#: Seconds for a connection to be made and, again, for its TLS handshake.
_CONNECT_TIMEOUT: Final = 10.0

_SocketOption = (
    tuple[int, int, int]
    | tuple[int, int, bytes | bytearray]
    | tuple[int, int, None, int]
)

_Errors = Mapping[type[Exception], type[Exception]]

_READING: Final[_Errors] = {
    trio.TooSlowError: httpcore.ReadTimeout,
    trio.BrokenResourceError: httpcore.ReadError,
    trio.ClosedResourceError: httpcore.ReadError,
}
_WRITING: Final[_Errors] = {
    trio.TooSlowError: httpcore.WriteTimeout,
    trio.BrokenResourceError: httpcore.WriteError,
    trio.ClosedResourceError: httpcore.WriteError,
}
_CONNECTING: Final[_Errors] = {
    trio.TooSlowError: httpcore.ConnectTimeout,
    trio.BrokenResourceError: httpcore.ConnectError,
    OSError: httpcore.ConnectError,
}


@attrs.frozen(kw_only=True)
class HttpAnswer:
    """What a server answered.

    Attributes:
      status: of HTTP.
      headers: names in lower case.
      body: all of it.

    """

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)


class StreamBackend(httpcore.AsyncNetworkBackend):
    """A backend whose connections are streams of Trio.

    Give one to ``httpcore.AsyncConnectionPool(network_backend=…)``.

    """

    @abstractmethod
    async def open_stream(self, host: str, port: int) -> trio.abc.Stream:
        """Connect to where requests to ``host`` and ``port`` go.

        Raises:
          OSError: if it can't be done.

        """

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[_SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect, as httpcore asks for it."""
        with _translated(_CONNECTING), _deadline(timeout):
            return _NetworkStream(await self.open_stream(host, port))

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's interface
        socket_options: Iterable[_SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: where connections go is for the backend to say.

        Raises:
          httpcore.ConnectError: always.

        """
        raise httpcore.ConnectError(f"this backend doesn't connect to {path}")

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await trio.sleep(seconds)


@final
@attrs.frozen
class VsockBackend(StreamBackend):
    """Sends every request to one vsock port, where a proxy knows the way on.

    Attributes:
      network: the vsock.
      cid: whose port; 3 is the parent.
      port: the port of the proxy's route.

    """

    network: VsockNetwork
    cid: int
    port: int

    async def open_stream(self, host: str, port: int) -> trio.abc.Stream:
        """Connect to the proxy."""
        return await self.network.open_stream(self.cid, self.port)


@final
@attrs.frozen
class EndpointBackend(StreamBackend):
    """Sends every request to one endpoint of any kind.

    Attributes:
      endpoint: where to.
      network: for a vsock endpoint.

    Raises:
      ConfigError: if ``endpoint`` can only be listened on.

    """

    endpoint: Endpoint = attrs.field(validator=lambda _, __, value: check_target(value))
    network: VsockNetwork

    async def open_stream(self, host: str, port: int) -> trio.abc.Stream:
        """Connect to the endpoint."""
        match self.endpoint:
            case TcpEndpoint() as tcp:
                return await trio.open_tcp_stream(tcp.host, tcp.port)
            case UnixEndpoint(path=path):
                return await open_unix_stream(path)
            case VsockEndpoint(cid=cid, port=vsock_port):
                assert cid is not None  # check_target said so
                return await self.network.open_stream(cid, vsock_port)
            case _:
                assert_never(self.endpoint)


@final
@attrs.frozen
class TcpBackend(StreamBackend):
    """Sends a request to the host that its URL names."""

    async def open_stream(self, host: str, port: int) -> trio.abc.Stream:
        """Resolve and connect."""
        return await trio.open_tcp_stream(host, port)


@attrs.frozen(eq=False)
class _NetworkStream(httpcore.AsyncNetworkStream):
    """A stream of Trio as httpcore sees it.

    httpcore has one of its own, which forgets to close the stream when a TLS
    handshake is cancelled, and which only knows streams that are TCP.

    """

    _stream: trio.abc.Stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        with _translated(_READING), _deadline(timeout):
            return bytes(await self._stream.receive_some(max_bytes))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        if buffer:
            with _translated(_WRITING), _deadline(timeout):
                await self._stream.send_all(buffer)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        tls = trio.SSLStream(
            self._stream,
            ssl_context,
            server_hostname=server_hostname,
            https_compatible=True,
        )
        try:
            with _translated(_CONNECTING), _deadline(timeout):
                await tls.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(self._stream)
            raise
        return _NetworkStream(tls)

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object" and isinstance(self._stream, trio.SSLStream):
            # httpcore only asks it which protocol ALPN chose.
            return self._stream
        if info == "is_readable":
            return self._is_readable()
        return None

    def _is_readable(self) -> bool:
        """Tell whether an idle connection has ended, or talks out of turn."""
        stream: Any = self._stream
        while isinstance(stream, trio.SSLStream):
            stream = stream.transport_stream
        socket = getattr(stream, "socket", None)
        return socket is not None and bool(socket.is_readable())


def default_tls() -> ssl.SSLContext:
    """Trust the system's certificate authorities; where it has none, certifi's.

    A minimal image has often forgotten them. ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``
    count as the system's. This reads files: call it in a thread.

    """
    paths = ssl.get_default_verify_paths()
    if paths.cafile or (paths.capath and any(Path(paths.capath).iterdir())):
        return ssl.create_default_context()
    return httpcore.default_ssl_context()


@attrs.define(eq=False)
class _Body:
    """Bytes as httpcore sends them, in one piece.

    httpcore's own is a generator, which a cancelled request leaves to the garbage
    collector, and that to a warning of Trio's.

    """

    _content: bytes

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Body(self._content)

    async def __anext__(self) -> bytes:
        if not self._content:
            raise StopAsyncIteration
        content, self._content = self._content, b""
        return content


async def fetch(
    pool: httpcore.AsyncConnectionPool,
    method: str,
    url: str,
    *,
    headers: Iterable[tuple[str, str]],
    content: bytes = b"",
    max_body: int,
) -> HttpAnswer:
    """Send a request, and read the whole answer.

    A connection that isn't made within ten seconds, or whose TLS handshake takes
    longer, is given up: until then the peer has proved nothing.

    Args:
      pool: whose connections to use.
      method: in capitals.
      url: where to.
      headers: all of them, ``Host`` and ``Content-Length`` too.
      content: the body.
      max_body: the most bytes that an answer may have.

    Raises:
      OSError: if there was no connection, or it broke.
      ProtocolError: if the answer is no HTTP, or too long.

    Cancellation:
      The peer may have acted on the request. Its connection is not used again.

    """
    request = httpcore.Request(
        method,
        url,
        headers=list(headers),
        content=_Body(content),
        extensions={"timeout": {"connect": _CONNECT_TIMEOUT}},
    )
    body = bytearray()
    try:
        response = await pool.handle_async_request(request)
        try:
            async for chunk in response.aiter_stream():
                body += chunk
                if len(body) > max_body:
                    # The next chunk is an error then. Nobody may leave this loop: it
                    # would leave httpcore's generators to the garbage collector.
                    await response.aclose()
        finally:
            await response.aclose()
    except (httpcore.NetworkError, httpcore.TimeoutException) as problem:
        if len(body) <= max_body:
            raise _os_error(request, problem) from problem
    except httpcore.RemoteProtocolError as problem:
        raise ProtocolError(f"an answer that is no HTTP: {problem}") from problem
    if len(body) > max_body:
        raise ProtocolError(f"an answer of more than {max_body} bytes")
    return HttpAnswer(
        status=response.status,
        headers={
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in response.headers
        },
        body=bytes(body),
    )


def _os_error(request: httpcore.Request, problem: Exception) -> OSError:
    host = request.url.host.decode("ascii", "replace")
    if isinstance(problem, httpcore.TimeoutException):
        return TimeoutError(f"{host} did not answer in time")
    return ConnectionError(f"no connection to {host}: {str(problem) or 'it broke'}")


@contextmanager
def _translated(errors: _Errors) -> Iterator[None]:
    try:
        yield
    except tuple(errors) as exc:
        for kind, translated in errors.items():
            if isinstance(exc, kind):
                raise translated(str(exc)) from exc
        raise


@contextmanager
def _deadline(seconds: float | None) -> Iterator[None]:
    if seconds is None:
        yield
    else:
        with trio.fail_after(seconds):
            yield
