"""The CONNECT handshake, as bytes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro import ProtocolError
from trionitro.vsock._connect import encode_connect, is_answered_untrusted


def test_the_command_is_a_line_with_the_port() -> None:
    assert encode_connect(52) == b"CONNECT 52\n"


@given(number=st.integers(0, 2**32 - 1))
def test_an_answer_is_complete_with_its_last_byte(number: int) -> None:
    answer = b"OK %d\n" % number

    progress = [is_answered_untrusted(answer[:n]) for n in range(len(answer) + 1)]

    assert progress == [False] * len(answer) + [True]


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"OK\n",
        b"OK \n",
        b"ok 5\n",
        b"OK  5\n",
        b"OK 5\r\n",
        b"OK -5\n",
        b"OK 5 6\n",
        b"OK 5\n\n",
        b" OK 5\n",
        b"SSH-2.0-OpenSSH_9.6\n",
    ],
)
def test_any_other_line_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError, match="the answer to CONNECT is b"):
        is_answered_untrusted(line)


def test_an_answer_without_an_end_is_refused_at_32_bytes() -> None:
    endless = b"OK " + b"1" * 29

    assert not is_answered_untrusted(endless[:31])
    with pytest.raises(ProtocolError, match="no end after 32 bytes"):
        is_answered_untrusted(endless)


@given(received=st.binary(max_size=40))
def test_nothing_but_a_protocol_error_comes_of_any_bytes(received: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert is_answered_untrusted(received) == received.endswith(b"\n")
