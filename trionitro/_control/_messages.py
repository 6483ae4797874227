"""What the halves say to each other, as records and as CBOR.

A message is a map with the key ``type`` and the attributes of its record::

    {"type": "hello", "version": 1, "purpose": "control", "digest": h'…32 bytes…'}
    {"type": "heartbeat"}
    {"type": "state", "phase": "booting", "detail": "loopback is up (2 ms)"}
    {"type": "exited", "code": 3, "signal": null, "last_words": "…"}
    {"type": "stop"}
    {"type": "lines", "dropped": 0, "lines": [["application", h'…']]}

``hello`` is the first from either side, the enclave's before the parent's, and its
form stays as it is in every version. Texts longer than their limits are cut, what is
unknown is refused.

"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import attrs
import cbor2

from trionitro._cbor import decode_cbor_untrusted, expect_kind
from trionitro._exceptions import ProtocolError

__all__ = [
    "DIGEST_SIZE",
    "MAX_LINE",
    "MAX_MESSAGE",
    "VERSION",
    "Exited",
    "Heartbeat",
    "Hello",
    "Line",
    "Lines",
    "Message",
    "Phase",
    "Purpose",
    "State",
    "Stop",
    "decode_message_untrusted",
    "encode_message",
]

#: Changes when one side wouldn't understand the other any more.
VERSION: Final = 1

#: A manifest's digest is SHA-256.
DIGEST_SIZE: Final = 32

#: The longest message, in bytes: a full batch of lines, and some to spare.
MAX_MESSAGE: Final = 2**15

#: The longest line of a log, in bytes. Whoever has more makes several.
MAX_LINE: Final = 2**13

#: Characters of a state's detail, and of an application's last words.
_MAX_DETAIL: Final = 2**10
_MAX_LAST_WORDS: Final = 2**11

#: Characters of a line's source.
_MAX_SOURCE: Final = 32

#: What a wait status has room for.
_MAX_CODE: Final = 255
_MAX_SIGNAL: Final = 127

_MAX_DROPPED: Final = 2**63 - 1

E = TypeVar("E", bound=enum.StrEnum)


class Purpose(enum.StrEnum):
    """What a connection is for."""

    CONTROL = "control"
    LOGS = "logs"


class Phase(enum.StrEnum):
    """How far an enclave is."""

    BOOTING = "booting"
    RUNNING = "running"
    STOPPING = "stopping"
    FAILED = "failed"


def _detail(text: str) -> str:
    return _encodable(text[:_MAX_DETAIL])


def _last_words(text: str) -> str:
    return _encodable(text[-_MAX_LAST_WORDS:])


def _source(text: str) -> str:
    return _encodable(text[:_MAX_SOURCE])


def _line_text(text: bytes) -> bytes:
    return text[:MAX_LINE]


def _encodable(text: str) -> str:
    # A program's output and a file's name may hold lone surrogates.
    return text.encode(errors="replace").decode()


@attrs.frozen(kw_only=True)
class Hello:
    """Who speaks.

    Attributes:
      version: of this protocol.
      purpose: what the connection is for.
      digest: of the manifest that this half has, 32 bytes.

    """

    version: int = VERSION
    purpose: Purpose
    digest: bytes = attrs.field(repr=bytes.hex)


@attrs.frozen
class Heartbeat:
    """A sign of life, from either side."""


@attrs.frozen(kw_only=True)
class State:
    """How far the enclave is.

    Attributes:
      phase: one of four.
      detail: what it did last, or what it waits for; at most 1024 characters.

    """

    phase: Phase
    detail: str = attrs.field(default="", converter=_detail)


@attrs.frozen(kw_only=True)
class Exited:
    """The application has ended, and so does the enclave.

    Attributes:
      code: its exit code, 0 to 255, or None if a signal ended it.
      signal: that signal, or None.
      last_words: the end of what it said on standard error, or why there is neither
          code nor signal; at most 2048 characters.

    """

    code: int | None = None
    signal: int | None = None
    last_words: str = attrs.field(default="", converter=_last_words)


@attrs.frozen
class Stop:
    """From the parent: stop the application, as SIGTERM would."""


@attrs.frozen
class Line:
    """One line of a log.

    Attributes:
      source: who said it, such as ``application``; at most 32 characters.
      text: without its end; at most ``MAX_LINE`` bytes.

    """

    source: str = attrs.field(converter=_source)
    text: bytes = attrs.field(converter=_line_text)


@attrs.frozen(kw_only=True)
class Lines:
    """Some of a log.

    Attributes:
      dropped: how many lines were lost before the first of these.
      lines: in their order.

    """

    dropped: int = 0
    lines: tuple[Line, ...]


Message = Hello | Heartbeat | State | Exited | Stop | Lines


def encode_message(message: Message) -> bytes:
    """Write a message, which the sender keeps below ``MAX_MESSAGE`` bytes."""
    fields: dict[str, Any] = {"type": _NAMES[type(message)]}
    for field in attrs.fields(type(message)):
        value = getattr(message, field.name)
        if isinstance(message, Lines) and field.name == "lines":
            value = [[line.source, line.text] for line in message.lines]
        fields[field.name] = str(value) if isinstance(value, enum.StrEnum) else value
    return cbor2.dumps(fields)


def decode_message_untrusted(data: bytes) -> Message:
    """Read a message.

    Raises:
      ProtocolError: whatever the bytes are.

    """
    item = decode_cbor_untrusted(data, max_size=MAX_MESSAGE)
    fields = expect_kind(item, dict, "a message")
    name = expect_kind(fields.pop("type", None), str, "a message's type")
    if name not in _DECODERS:
        raise ProtocolError(f"a message of the unknown type {name[:32]!r}")
    take = _Fields(name, fields)
    message = _DECODERS[name](take)
    take.check_empty()
    return message


@attrs.define
class _Fields:
    """What is left of a message's map."""

    _name: str
    _left: dict[Any, Any]

    def take(self, key: str, kind: type[Any]) -> Any:
        """Take a value out."""
        return expect_kind(self._left.pop(key, None), kind, f"{self._name}.{key}")

    def number(self, key: str, lowest: int, highest: int) -> int:
        """Take a number in a range out."""
        value: int = self.take(key, int)
        if not lowest <= value <= highest:
            raise ProtocolError(
                f"{self._name}.{key} is {value}, must be {lowest} to {highest}"
            )
        return value

    def number_or_none(self, key: str, lowest: int, highest: int) -> int | None:
        """Take a number in a range out, or null."""
        if self._left.get(key) is None:
            return self.take(key, type(None))  # type: ignore[no-any-return]
        return self.number(key, lowest, highest)

    def one_of(self, key: str, kind: type[E]) -> E:
        """Take one of a few words out."""
        value = self.take(key, str)
        try:
            return kind(value)
        except ValueError:
            raise ProtocolError(
                f"{self._name}.{key} is {value[:32]!r}, must be one of"
                f" {', '.join(kind)}"
            ) from None

    def check_empty(self) -> None:
        """Check that nobody said more than was asked."""
        if self._left:
            raise ProtocolError(f"{self._name} has {len(self._left)} keys too many")


def _decode_hello(fields: _Fields) -> Hello:
    version = fields.number("version", 0, 2**32 - 1)
    purpose = fields.one_of("purpose", Purpose)
    digest = fields.take("digest", bytes)
    if len(digest) != DIGEST_SIZE:
        raise ProtocolError(
            f"hello.digest has {len(digest)} bytes, must have {DIGEST_SIZE}"
        )
    return Hello(version=version, purpose=purpose, digest=digest)


def _decode_state(fields: _Fields) -> State:
    return State(phase=fields.one_of("phase", Phase), detail=fields.take("detail", str))


def _decode_exited(fields: _Fields) -> Exited:
    return Exited(
        code=fields.number_or_none("code", 0, _MAX_CODE),
        signal=fields.number_or_none("signal", 1, _MAX_SIGNAL),
        last_words=fields.take("last_words", str),
    )


def _decode_lines(fields: _Fields) -> Lines:
    return Lines(
        dropped=fields.number("dropped", 0, _MAX_DROPPED),
        lines=tuple(map(_decode_line, fields.take("lines", list))),
    )


def _decode_line(item: object) -> Line:
    pair = expect_kind(item, list, "a line")
    if len(pair) != 2:
        raise ProtocolError(f"a line of {len(pair)} parts, must be 2")
    return Line(
        expect_kind(pair[0], str, "a line's source"),
        expect_kind(pair[1], bytes, "a line's text"),
    )


_NAMES: Final[Mapping[type[Any], str]] = {
    Hello: "hello",
    Heartbeat: "heartbeat",
    State: "state",
    Exited: "exited",
    Stop: "stop",
    Lines: "lines",
}

_DECODERS: Final[Mapping[str, Callable[[_Fields], Message]]] = {
    "hello": _decode_hello,
    "heartbeat": lambda _: Heartbeat(),
    "state": _decode_state,
    "exited": _decode_exited,
    "stop": lambda _: Stop(),
    "lines": _decode_lines,
}
