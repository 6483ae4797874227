"""The digest of a manifest, by which two halves know that they have the same one.

It is the SHA-256 of all that both halves act on, as JSON in one form: keys sorted, no
blanks, defaults written out. Comments, order of keys and spelling of numbers don't
matter; the order of entries does, because addresses and ports follow from it. Not in
it are ``[image]``, ``[kubernetes]`` and ``[sandbox]``: they are one side's business,
and measurements of an image that holds the manifest can't be known when it is written.

"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import attrs

from trionitro.manifest._tables import Manifest

__all__ = ["digest_of"]

#: Changes whenever the same text would mean something else than before.
_FORM: Final = "trionitro manifest 1"

_ONE_SIDED: Final = frozenset({"image", "kubernetes", "sandbox"})


def digest_of(manifest: Manifest) -> bytes:
    """Return the digest of what both halves must agree on: 32 bytes."""
    shared = {
        field.name: _plain(getattr(manifest, field.name))
        for field in attrs.fields(Manifest)
        if field.name not in _ONE_SIDED
    }
    text = json.dumps([_FORM, shared], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


def _plain(value: Any) -> Any:
    """Write a record as what JSON has."""
    if isinstance(value, tuple):
        return [_plain(member) for member in value]
    if isinstance(value, Mapping):
        return dict(value)
    if attrs.has(type(value)):
        return {
            field.name: _plain(getattr(value, field.name))
            for field in attrs.fields(type(value))
        }
    return value
