from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionitro import ProtocolError
from trionitro.enclave._nfs_rpc import (
    HEADER_SIZE,
    MAX_REPLY,
    check_reply_untrusted,
    length_untrusted,
    null_call,
)

#: What a server answers: xid 7, REPLY, MSG_ACCEPTED, AUTH_NONE of no bytes, SUCCESS.
REPLY = struct.pack("!6I", 7, 1, 0, 0, 0, 0)


def test_the_call_is_as_rfc_5531_has_it() -> None:
    fields = struct.unpack("!11I", null_call(7))

    assert fields == (0x8000_0000 | 40, 7, 0, 2, 100003, 4, 0, 0, 0, 0, 0)


def test_a_reply_s_length_is_read() -> None:
    assert length_untrusted(b"\x80\x00\x00\x18") == 24
    assert length_untrusted(struct.pack("!I", 0x8000_0000 | MAX_REPLY)) == MAX_REPLY


@pytest.mark.parametrize("header", [b"\x00\x00\x00\x18", b"\x80\x00\x02\x01", b"HTTP"])
def test_what_no_server_sends_is_refused(header: bytes) -> None:
    with pytest.raises(ProtocolError, match="no NFS server"):
        length_untrusted(header)


def test_a_reply_is_recognised_with_a_verifier_and_without() -> None:
    check_reply_untrusted(REPLY, 7)
    check_reply_untrusted(struct.pack("!5I8xI", 7, 1, 0, 6, 8, 0), 7)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"", "no NFS server"),
        (REPLY[:-1], "no NFS server"),
        (struct.pack("!6I", 8, 1, 0, 0, 0, 0), "no NFS server"),
        (struct.pack("!6I", 7, 0, 0, 0, 0, 0), "no NFS server"),
        (struct.pack("!6I", 7, 1, 1, 0, 0, 0), "denies the call"),
        (struct.pack("!6I", 7, 1, 0, 0, 0, 1), "it has no NFS"),
        (struct.pack("!6I", 7, 1, 0, 0, 0, 2), "not version 4"),
        (struct.pack("!6I", 7, 1, 0, 0, 0, 99), "its status is 99"),
    ],
)
def test_another_reply_says_what_is_wrong(reply: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        check_reply_untrusted(reply, 7)


@given(st.binary(min_size=HEADER_SIZE, max_size=HEADER_SIZE), st.binary(max_size=600))
def test_any_bytes_are_a_reply_or_a_protocol_error(header: bytes, reply: bytes) -> None:
    for check, argument in ((length_untrusted, header), (_check, reply)):
        try:
            check(argument)
        except ProtocolError:
            continue


def _check(reply: bytes) -> None:
    check_reply_untrusted(REPLY[:20] + reply, 7)
    check_reply_untrusted(reply, 7)
