from __future__ import annotations

import contextlib
from typing import Any

import cbor2
import pytest
from attrs import fields_dict
from hypothesis import given
from hypothesis import strategies as st

from trionitro import ProtocolError
from trionitro._control import (
    MAX_LINE,
    Exited,
    Heartbeat,
    Hello,
    Line,
    Lines,
    Message,
    Phase,
    Purpose,
    State,
    Stop,
)
from trionitro._control._messages import (
    MAX_MESSAGE,
    decode_message_untrusted,
    encode_message,
)

#: The keys that messages have, and one that none has.
KEYS = ["type", "more"]
KEYS += [key for record in (Hello, State, Exited, Lines) for key in fields_dict(record)]

NUMBERS = st.integers(0, 2**32 - 1)
TEXTS = st.text(st.characters())  # lone surrogates among them

MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        Hello,
        version=NUMBERS,
        purpose=st.sampled_from(Purpose),
        digest=st.binary(min_size=32, max_size=32),
    ),
    st.builds(Heartbeat),
    st.builds(State, phase=st.sampled_from(Phase), detail=TEXTS),
    st.builds(
        Exited,
        code=st.none() | st.integers(0, 255),
        signal=st.none() | st.integers(1, 127),
        last_words=TEXTS,
    ),
    st.builds(Stop),
    st.builds(
        Lines,
        dropped=st.integers(0, 2**63 - 1),
        lines=st.lists(st.builds(Line, TEXTS, st.binary())).map(tuple),
    ),
)

#: What CBOR can say, maps that are nearly messages among it.
ITEMS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "version",
                    "purpose",
                    "digest",
                    "phase",
                    "detail",
                    "code",
                    "signal",
                    "last_words",
                    "dropped",
                    "lines",
                    "more",
                ]
            ),
            inner
            | st.sampled_from(["hello", "state", "exited", "lines", "stop", "control"]),
        )
    ),
    max_leaves=8,
)


def fields_of(message: Message) -> dict[str, Any]:
    """Return a message as the map that it is on the wire."""
    fields: dict[str, Any] = cbor2.loads(encode_message(message))
    return fields


@given(MESSAGES)
def test_what_is_written_is_read_again(message: Message) -> None:
    assert decode_message_untrusted(encode_message(message)) == message


@given(st.binary() | ITEMS.map(cbor2.dumps))
def test_whatever_comes_is_a_message_or_a_protocol_error(data: bytes) -> None:
    try:
        message = decode_message_untrusted(data)
    except ProtocolError:
        return
    assert decode_message_untrusted(encode_message(message)) == message


@given(MESSAGES, st.data())
def test_every_changed_byte_is_a_message_or_a_protocol_error(
    message: Message, data: st.DataObject
) -> None:
    encoded = bytearray(encode_message(message))
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] = data.draw(st.integers(0, 255))

    with contextlib.suppress(ProtocolError):
        decode_message_untrusted(bytes(encoded))


def test_texts_are_cut_to_what_their_receiver_has_room_for() -> None:
    state = State(phase=Phase.BOOTING, detail="x" * 5000)
    exited = Exited(code=1, last_words="first" + "x" * 5000 + "last")
    line = Line("application" * 9, b"x" * (MAX_LINE + 1))

    assert len(state.detail) == 1024
    assert exited.last_words.endswith("last")
    assert "first" not in exited.last_words
    assert (len(line.source), len(line.text)) == (32, MAX_LINE)


def test_the_longest_messages_are_within_the_limit() -> None:
    text = "\U0001f980" * 3000

    for message in (
        State(phase=Phase.STOPPING, detail=text),
        Exited(code=255, signal=127, last_words=text),
    ):
        assert len(encode_message(message)) < MAX_MESSAGE


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"type": "gossip"}, "unknown type 'gossip'"),
        ({"type": None}, "type is null"),
        ({"digest": b"short"}, "5 bytes, must have 32"),
        ({"version": -1}, "version is -1"),
        ({"version": True}, "version is true or false"),
        ({"purpose": "gossip"}, "must be one of control, logs"),
        ({"more": 1}, "1 keys too many"),
    ],
)
def test_a_wrong_hello_is_refused_with_what_is_wrong(
    change: dict[str, Any], words: str
) -> None:
    hello = fields_of(Hello(purpose=Purpose.LOGS, digest=bytes(32)))

    with pytest.raises(ProtocolError, match=words):
        decode_message_untrusted(cbor2.dumps(hello | change))


@pytest.mark.parametrize(
    "line", [["application"], ["application", "text"], [b"a", b"b"], "no list"]
)
def test_a_wrong_line_is_refused(line: object) -> None:
    message = fields_of(Lines(lines=())) | {"lines": [line]}

    with pytest.raises(ProtocolError):
        decode_message_untrusted(cbor2.dumps(message))
