"""Answering HTTP/1.1 on a stream: h11 for the protocol, Trio for the bytes.

For the small servers an enclave's surroundings need: metrics, credentials, the
emulated world. The client is not trusted: heads and bodies are bounded, and a
request must arrive whole in good time.

"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import attrs
import h11
import trio
import trio.abc

__all__ = ["HttpRequest", "HttpResponse", "answer_http"]

_CHUNK: Final = 2**16

#: Seconds for a whole request to arrive, and for a connection to stay idle.
_PATIENCE: Final = 10.0

_MAX_BODY: Final = 2**20


@attrs.frozen(kw_only=True)
class HttpRequest:
    """What a client asked.

    Attributes:
      method: in capitals, ``"GET"``.
      target: path and query as sent, ``"/metrics"``.
      headers: names in lower case. Whatever bytes were sent, each is a character.
      body: all of it.

    """

    method: str
    target: str
    headers: dict[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class HttpResponse:
    """What it is answered.

    Attributes:
      status: a code of HTTP.
      content_type: of the body.
      headers: others, by their names; the body's length is added.
      body: all of it.

    """

    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    body: bytes = attrs.field(default=b"", repr=False)


Respond = Callable[[HttpRequest], Awaitable[HttpResponse]]


async def answer_http(
    stream: trio.abc.Stream,
    respond: Respond,
    *,
    max_body: int = _MAX_BODY,
    patience: float = _PATIENCE,
) -> None:
    """Answer the requests of one connection until the client has no more.

    Args:
      stream: the connection; closed when this returns, raises or is cancelled.
      respond: called with each request.
      max_body: the most bytes of a body; a longer one is answered 413.
      patience: seconds for one request to arrive whole, and again for its answer to
          be taken; after that the connection is dropped.

    Error handling:
      A client that vanishes, dawdles or talks nonsense ends its own connection; the
      last gets a 4xx first, as far as HTTP still allows one.

    """
    conversation = _Conversation(stream, respond, max_body, patience)
    async with stream:
        try:
            await conversation.run()
        except h11.RemoteProtocolError as nonsense:
            await conversation.refuse(nonsense.error_status_hint)
        except (trio.BrokenResourceError, trio.TooSlowError):
            pass  # there is no one left to tell


@attrs.define(eq=False)
class _Conversation:
    stream: trio.abc.Stream
    respond: Respond
    max_body: int
    patience: float
    _http: h11.Connection = attrs.field(factory=lambda: h11.Connection(h11.SERVER))

    async def run(self) -> None:
        while True:
            with trio.fail_after(self.patience):
                request = await self._receive_request()
            if request is None:
                return
            response = await self.respond(request)
            with trio.fail_after(self.patience):
                await self._send_response(response, head=request.method == "HEAD")
            if self._http.our_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def refuse(self, status: int) -> None:
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        with trio.move_on_after(self.patience):
            await self._send_response(HttpResponse(status=status), head=False)

    async def _receive_request(self) -> HttpRequest | None:
        event = await self._next_event()
        if isinstance(event, h11.ConnectionClosed):
            return None
        assert isinstance(event, h11.Request)
        body = bytearray()
        while isinstance(data := await self._next_event(), h11.Data):
            body += data.data
            if len(body) > self.max_body:
                raise h11.RemoteProtocolError("body too long", error_status_hint=413)
        return HttpRequest(
            method=event.method.decode("latin-1"),
            target=event.target.decode("latin-1"),
            headers={
                name.decode("latin-1"): value.decode("latin-1")
                for name, value in event.headers
            },
            body=bytes(body),
        )

    async def _next_event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            self._http.receive_data(bytes(await self.stream.receive_some(_CHUNK)))
        return event

    async def _send_response(self, response: HttpResponse, *, head: bool) -> None:
        headers = [
            ("content-type", response.content_type),
            ("content-length", str(len(response.body))),
            *response.headers.items(),
        ]
        await self._send(
            h11.Response(status_code=response.status, headers=headers),
            h11.Data(data=b"" if head else response.body),
            h11.EndOfMessage(),
        )

    async def _send(self, *events: h11.Event) -> None:
        await self.stream.send_all(
            b"".join(self._http.send(event) or b"" for event in events)
        )
