"""BER, checked for its shape before anything reads it for its meaning.

BER (X.690) lets an element say how long it is, or go on until an end-of-contents;
what a decoder does with the many ways to get this wrong is its own affair. Here
each is an error, found in one pass that never recurses: too deep, an element that
ends after the one around it, an indefinite length without elements to end, an
end-of-contents where nothing is open, and bytes that follow the last element.

"""

from __future__ import annotations

from typing import Final

from trionitro._exceptions import ProtocolError

__all__ = ["check_ber_untrusted"]

_CONSTRUCTED: Final = 0x20

#: Low five bits that announce a tag of several bytes; nothing here has one.
_LONG_TAG: Final = 0x1F

_INDEFINITE: Final = 0x80

#: More bytes of length than 4 GiB take are nonsense, whatever they say.
_MAX_LENGTH_OCTETS: Final = 4


def check_ber_untrusted(data: bytes, *, max_depth: int) -> None:
    """Check that ``data`` is exactly one element, and what is in it likewise.

    Raises:
      ProtocolError: if it isn't, or its elements stand more than ``max_depth`` deep.

    """
    open_until: list[int | None] = []  # None is until an end-of-contents
    place = 0
    while True:
        place = _step(data, place, open_until)
        while open_until and open_until[-1] == place:
            open_until.pop()
        if not open_until:
            break
        if len(open_until) > max_depth:
            raise ProtocolError(f"BER of more than {max_depth} elements' depth")
    if place != len(data):
        raise ProtocolError(f"{len(data) - place} bytes after the BER element")


def _step(data: bytes, place: int, open_until: list[int | None]) -> int:
    """Read one header, and step over what it heads if that holds no elements."""
    end = next((end for end in reversed(open_until) if end is not None), len(data))
    if data[place : place + 2] == b"\0\0" and place + 2 <= end:
        if not open_until or open_until.pop() is not None:
            raise ProtocolError(f"BER with a stray end-of-contents at byte {place}")
        return place + 2
    if place >= end or data[place] in (0, _CONSTRUCTED):
        raise ProtocolError(f"BER without an element at byte {place}")
    tag = data[place]
    if tag & _LONG_TAG == _LONG_TAG:
        raise ProtocolError(f"BER with a long tag at byte {place}")
    length, start = _read_length(data, place + 1)
    if length is None:
        if not tag & _CONSTRUCTED:
            raise ProtocolError(f"BER of endless bytes at byte {place}")
        open_until.append(None)
        return start
    if start + length > end:
        raise ProtocolError(f"BER that ends before its element at byte {place} does")
    if tag & _CONSTRUCTED:
        open_until.append(start + length)
        return start
    return start + length


def _read_length(data: bytes, place: int) -> tuple[int | None, int]:
    """Return a length, or None for an indefinite one, and where its contents start."""
    first = data[place] if place < len(data) else 0xFF
    if first == _INDEFINITE:
        return None, place + 1
    if first < _INDEFINITE:
        return first, place + 1
    octets = first - _INDEFINITE
    start = place + 1 + octets
    if octets > _MAX_LENGTH_OCTETS or start > len(data):
        raise ProtocolError(f"BER with no length at byte {place}")
    return int.from_bytes(data[place + 1 : start]), start
