"""What stands at the two ends of a proxy, and the proxy between them."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import attrs
import pytest
import trio
import trio.abc

from trionitro import Endpoint, TcpEndpoint, UnixEndpoint, VsockEndpoint
from trionitro.sandbox import LoggedProcess
from trionitro.vsock import LocalVsock

Stream = trio.abc.HalfCloseableStream
Handler = Callable[[Any], Awaitable[object]]


@attrs.define(eq=False)
class ProxyProcess:
    """A ``python -m trionitro.proxy`` that is listening.

    Attributes:
      logged: the process and its log.
      listens: where its routes listen, in the order given.

    """

    logged: LoggedProcess
    listens: list[Endpoint]

    @property
    def port(self) -> int:
        """The port of the first route."""
        first = self.listens[0]
        assert not isinstance(first, UnixEndpoint)
        return first.port

    def send_signal(self, signum: int) -> None:
        """Send a signal to the process."""
        self.logged.process.send_signal(signum)

    async def wait(self) -> int:
        """Wait for its end, and return its exit code."""
        return await self.logged.wait()


class StartProxy(Protocol):
    """Starts a proxy with these arguments on the side with ``cid``."""

    async def __call__(self, *args: str, cid: int = 3) -> ProxyProcess:
        """Return it when all of its routes are listening."""


@attrs.frozen
class Network:
    """The two ends of the test's LocalVsock, and TCP, by endpoint."""

    nursery: trio.Nursery
    directory: Path
    _opened: list[Stream] = attrs.field(factory=list)

    def at(self, cid: int) -> LocalVsock:
        """Return the vsock as the side with ``cid`` sees it."""
        return LocalVsock(self.directory / "vsock", cid=cid)

    async def connect(self, endpoint: Endpoint, *, cid: int = 3) -> Stream:
        """Connect to ``endpoint``, as the side with ``cid``; closed with the test."""
        stream: Stream
        match endpoint:
            case TcpEndpoint(host=host, port=port):
                stream = await trio.open_tcp_stream(host, port)
            case VsockEndpoint(port=port):
                stream = await self.at(cid).open_stream(3 if cid != 3 else 16, port)
            case UnixEndpoint(path=path):
                stream = await trio.open_unix_socket(path)
        self._opened.append(stream)
        return stream

    async def connect_proven(self, endpoint: Endpoint) -> Stream:
        """Connect to an echo: a byte came back, so the target has been reached."""
        stream = await self.connect(endpoint)
        await stream.send_all(b"?")
        assert await stream.receive_some(1) == b"?"
        return stream

    async def expect_reset(self, endpoint: Endpoint) -> None:
        """Check that a client of ``endpoint`` is reset, and not given end-of-file.

        The reset may come before the client has even noticed that it is connected.

        """
        try:
            stream = await self.connect(endpoint)
            data = await stream.receive_some(1)
        except (OSError, trio.BrokenResourceError) as exc:
            if "reset" not in _reasons(exc):
                raise
        else:
            pytest.fail(f"received {data!r}, not a reset")

    async def close_all(self) -> None:
        """Close every stream that was opened here."""
        for stream in self._opened:
            await trio.aclose_forcefully(stream)

    async def serve(self, handler: Handler, *, cid: int | None = None) -> Endpoint:
        """Serve on TCP, or on a vsock port of the side with ``cid``."""
        if cid is None:
            listeners = await self.nursery.start(
                functools.partial(trio.serve_tcp, handler, 0, host="127.0.0.1")
            )
            return TcpEndpoint("127.0.0.1", listeners[0].socket.getsockname()[1])
        listener = await self.at(cid).open_listener(2000)
        self.nursery.start_soon(trio.serve_listeners, handler, [listener])
        return VsockEndpoint(cid, listener.port)


def _reasons(exc: BaseException | None) -> str:
    """Return the texts of an exception, its causes and its companions."""
    if exc is None:
        return ""
    inner = exc.exceptions if isinstance(exc, BaseExceptionGroup) else ()
    return " ".join([str(exc), _reasons(exc.__cause__), *map(_reasons, inner)])


async def receive_all(stream: Stream) -> bytes:
    """Read until end-of-file."""
    return b"".join([bytes(chunk) async for chunk in stream])


async def echo(stream: Stream) -> None:
    """Send back what comes, for as long as the client is there."""
    with contextlib.suppress(trio.BrokenResourceError):
        async for chunk in stream:
            await stream.send_all(chunk)


async def answer_with_digest(stream: Stream) -> None:
    """Read until end-of-file, then answer with the SHA-256 of it all."""
    data = await receive_all(stream)
    await stream.send_all(hashlib.sha256(data).digest())
