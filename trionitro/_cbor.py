"""Strict, bounded CBOR (RFC 8949) from peers that nobody has to trust.

One item is looked through before anything is built: its lengths against the bytes
that are there, its depth, its kinds. Only then does cbor2 make Python objects of it,
so that what a hostile peer announces costs nothing, whichever cbor2 is installed.

What is accepted is what the protocols here are made of: integers, floats, byte and
text strings, arrays, maps, false, true and null, in definite and indefinite form,
integers and lengths in any width. Tags are refused: no date, big number or shared
reference is ever made of one. Where a protocol has a tag around everything, as COSE
may, its caller takes the tag's bytes off first.

"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Final, NoReturn, TypeVar

import attrs
import cbor2

from trionitro._exceptions import ProtocolError

__all__ = ["MAX_CBOR_DEPTH", "MAX_CBOR_SIZE", "decode_cbor_untrusted", "expect_kind"]

T = TypeVar("T")

#: Longer than anything the security module or an enclave's other half has to say.
MAX_CBOR_SIZE: Final = 2**16

#: An attestation document is an array of an encoded map of maps: 2. A few to spare.
MAX_CBOR_DEPTH: Final = 16


class _Major(enum.IntEnum):
    """The major types, which are the first three bits of an item."""

    UNSIGNED = 0
    NEGATIVE = 1
    BYTES = 2
    TEXT = 3
    ARRAY = 4
    MAP = 5
    TAG = 6
    SIMPLE = 7


#: The last five bits of an item: up to 23 they are its argument, from 24 on they say
#: in how many bytes it follows, and 31 is "until a break".
_WIDTHS: Final = {24: 1, 25: 2, 26: 4, 27: 8}
_INDEFINITE: Final = 31
_BREAK: Final = 0xFF

#: Of major type 7: false, true, null, and floats of two, four and eight bytes.
_SIMPLE: Final = frozenset({20, 21, 22, 25, 26, 27})

_KINDS: Final = {
    int: "an integer",
    bytes: "a byte string",
    str: "a text string",
    list: "an array",
    dict: "a map",
    bool: "true or false",
    float: "a float",
    type(None): "null",
}


def decode_cbor_untrusted(
    data: bytes,
    *,
    max_size: int = MAX_CBOR_SIZE,
    max_depth: int = MAX_CBOR_DEPTH,
) -> object:
    """Decode ``data``, which must be exactly one item.

    Args:
      data: the encoded item.
      max_size: how many bytes it may have.
      max_depth: how many arrays and maps may be around an item.

    Returns:
      int, float, bytes, str, bool or None, or a list or dict of such. Keys of a dict
      are int, bytes or str.

    Raises:
      ProtocolError: whatever is wrong: too much, too little, too deep, a key that
          occurs twice, text that is not UTF-8, or a kind that is not accepted.

    """
    if len(data) > max_size:
        raise ProtocolError(
            f"CBOR of {len(data)} bytes exceeds the limit of {max_size}"
        )
    scan = _Scan(data, max_depth)
    scan.item(depth=0)
    if scan.position != len(data):
        raise ProtocolError(
            f"the CBOR item has {scan.position} bytes, and {len(data)} bytes came"
        )
    try:
        return cbor2.loads(data)
    except (cbor2.CBORDecodeError, ValueError) as problem:
        raise ProtocolError(f"not CBOR: {problem}") from None


def expect_kind(value: object, kind: type[T], what: str) -> T:
    """Return ``value`` if it is exactly of ``kind``: true is no integer.

    Args:
      value: from :func:`decode_cbor_untrusted`.
      kind: int, bytes, str, list, dict, bool, float or ``NoneType``.
      what: what the value is, for the error.

    Raises:
      ProtocolError: if it is something else.

    """
    if type(value) is not kind:
        raise ProtocolError(f"{what} is {_name(type(value))}, must be {_name(kind)}")
    return value


def _name(kind: type) -> str:
    return _KINDS.get(kind, f"a {kind.__name__}")


@attrs.define(eq=False)
class _Scan:
    """Goes through an encoded item, and makes nothing of it.

    Attributes:
      data: the encoded item, and perhaps more.
      max_depth: how deep it may be.
      position: where the next item begins.

    """

    data: bytes
    max_depth: int
    position: int = 0

    def item(self, *, depth: int) -> None:
        """Go past an item."""
        if depth > self.max_depth:
            self._fail(f"more than {self.max_depth} levels deep")
        major, argument = self._head()
        match major:
            case _Major.UNSIGNED | _Major.NEGATIVE if argument is None:
                self._fail("an integer of indefinite length")
            case _Major.BYTES | _Major.TEXT:
                self._string(major, argument)
            case _Major.ARRAY:
                for _ in self._repeat(argument):
                    self.item(depth=depth + 1)
            case _Major.MAP:
                self._map(argument, depth=depth)
            case _Major.TAG:
                self._fail("a tag, and none has a place here")

    def _head(self) -> tuple[int, int | None]:
        """Read a major type and its argument; None stands for indefinite length."""
        major, low = divmod(self._take(1)[0], 32)
        if major == _Major.SIMPLE and low not in _SIMPLE:
            self._fail("a break or a simple value other than false, true and null")
        if low < 24:
            return major, low
        if low == _INDEFINITE:
            return major, None
        if low not in _WIDTHS:
            self._fail(f"the reserved additional information {low}")
        return major, int.from_bytes(self._take(_WIDTHS[low]), "big")

    def _map(self, argument: int | None, *, depth: int) -> None:
        seen = set()
        for _ in self._repeat(argument):
            key = self._key()
            if key in seen:
                self._fail("the same key twice in a map")
            seen.add(key)
            self.item(depth=depth + 1)

    def _key(self) -> tuple[int, int | bytes]:
        """Go past a map's key, and return what it is, however it was encoded."""
        major, argument = self._head()
        if major in (_Major.BYTES, _Major.TEXT):
            return major, self._string(major, argument)
        if major > _Major.NEGATIVE or argument is None:
            # Of no use anywhere, and in Python 1, 1.0 and true are the same key.
            self._fail("a map's key that is neither integer nor string")
        return major, argument

    def _string(self, major: int, argument: int | None) -> bytes:
        if argument is not None:
            return self._take(argument)
        chunks = []
        for _ in self._repeat(None):
            chunk, size = self._head()
            if chunk != major or size is None:
                self._fail("a string with something else in it than its chunks")
            chunks.append(self._take(size))
        return b"".join(chunks)

    def _repeat(self, times: int | None) -> Iterator[None]:
        """Yield so many times, or until a break; each time an item must follow."""
        if times is not None:
            for _ in range(times):  # however many: the data ends long before
                yield
            return
        while self._take(1)[0] != _BREAK:
            self.position -= 1
            yield

    def _take(self, count: int) -> bytes:
        end = self.position + count
        if end > len(self.data):
            raise ProtocolError(
                f"the CBOR ends after {len(self.data)} bytes, in the middle of an item"
            )
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def _fail(self, what: str) -> NoReturn:
        raise ProtocolError(f"CBOR at byte {self.position}: {what}")
