"""Attestation documents from a file: the bytes, or the text that somebody pasted."""

from __future__ import annotations

import base64
import binascii
from typing import Final

import click

__all__ = ["read_document", "read_limited", "to_binary"]

#: Four times the longest document: in hexadecimal it is twice as long, and has spaces.
#: A file of roots is shorter.
_MAX_FILE_SIZE: Final = 2**16

_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")


def read_document(path: str) -> bytes:
    """Read a document, and return its binary form.

    Raises:
      click.UsageError: if the file can't be read, or is far too long.

    """
    return to_binary(read_limited(path))


def read_limited(path: str) -> bytes:
    """Read a file of up to 64 KiB, or standard input where it is ``-``.

    Raises:
      click.UsageError: if it can't be read, or is longer.

    """
    try:
        with click.open_file(path, "rb") as file:
            data: bytes = file.read(_MAX_FILE_SIZE + 1)
    except OSError as error:
        raise click.UsageError(
            f"can't read {path}: {error.strerror}; give a file, or - for standard input"
        ) from None
    if len(data) > _MAX_FILE_SIZE:
        raise click.UsageError(
            f"{path} has more than {_MAX_FILE_SIZE} bytes: no document and no root has"
            " so many"
        )
    return data


def to_binary(data: bytes) -> bytes:
    """Tell binary, hexadecimal and base64 apart, and return the binary form.

    A document always has bytes that are not ASCII, its first for one. Nor does one in
    base64 look like hexadecimal: it begins with an ``h`` or with ``0oR``.

    """
    if not data.isascii():
        return data
    compact = b"".join(data.split())
    try:
        return binascii.unhexlify(compact)
    except binascii.Error:
        pass
    padded = compact.translate(_URL_SAFE).rstrip(b"=")
    padded += b"=" * (-len(padded) % 4)
    try:
        return base64.b64decode(padded, validate=True)
    except binascii.Error:
        return data  # whatever it is, the decoder says what is wrong with it
