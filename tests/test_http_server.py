from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, memory_stream_pair

from trionitro._http_server import HttpRequest, HttpResponse, answer_http


async def echo_request(request: HttpRequest) -> HttpResponse:
    line = f"{request.method} {request.target} ".encode()
    return HttpResponse(body=line + request.body)


async def talk(sent: bytes, **settings: float) -> bytes:
    """Send ``sent`` and end-of-file; return all that is answered."""
    client, server = memory_stream_pair()
    answer = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: answer_http(server, echo_request, **settings)  # type: ignore[arg-type]
        )
        await client.send_all(sent)
        await client.send_eof()
        async for chunk in client:
            answer += chunk
    return answer


async def test_requests_on_one_connection_are_answered_in_order() -> None:
    answer = await talk(
        b"GET /one HTTP/1.1\r\nHost: x\r\n\r\n"
        b"POST /two HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
    )

    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.index(b"GET /one ") < answer.index(b"POST /two body")


async def test_a_head_request_is_answered_without_a_body() -> None:
    answer = await talk(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert b"content-length: 7" in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_headers_of_the_answer_s_own_are_sent() -> None:
    client, server = memory_stream_pair()

    async def respond(request: HttpRequest) -> HttpResponse:
        return HttpResponse(headers={"x-request": "17"})

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer_http, server, respond)
        await client.send_all(b"GET / HTTP/1.0\r\n\r\n")
        await client.send_eof()

        assert b"\r\nx-request: 17\r\n" in await client.receive_some()


async def test_a_client_that_expects_100_continue_gets_it() -> None:
    client, server = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer_http, server, echo_request)
        await client.send_all(
            b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        assert (await client.receive_some()).startswith(b"HTTP/1.1 100")
        await client.send_all(b"ok")
        assert b"PUT / ok" in await client.receive_some()
        await client.aclose()


async def test_nonsense_is_answered_400() -> None:
    assert (await talk(b"hello\r\n\r\n")).startswith(b"HTTP/1.1 400")


async def test_too_long_a_body_is_answered_413() -> None:
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n" + bytes(11)

    assert (await talk(request, max_body=10)).startswith(b"HTTP/1.1 413")


async def test_too_long_a_head_is_answered_431() -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 2**20

    assert (await talk(request)).startswith(b"HTTP/1.1 431")


async def test_a_client_that_dawdles_is_dropped(autojump_clock: MockClock) -> None:
    client, server = memory_stream_pair()
    await client.send_all(b"GET / HT")

    await answer_http(server, echo_request, patience=5)

    assert trio.current_time() == pytest.approx(5)
    assert await client.receive_some() == b""


async def test_a_client_that_vanishes_is_nobodys_error() -> None:
    client, server = memory_stream_pair()
    await client.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await client.aclose()

    await answer_http(server, echo_request)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_end_their_own_connection_and_nothing_else(
    sent: bytes,
) -> None:
    assert trio.run(talk, sent) is not None
