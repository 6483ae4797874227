"""Requests and responses of the security module, as CBOR.

The encoding is that of ``serde_cbor`` for the enums of ``src/api/mod.rs`` in
aws/aws-nitro-enclaves-nsm-api: what has no fields is a text string, all else a map of
one name to a map of fields::

    "GetRandom"
    {"DescribePCR": {"index": 3}}
    {"Error": "InvalidIndex"}

Fields are written in the order of the records, and read in any, with others among them
that are ignored. This module does no I/O.

"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType, NoneType
from typing import Any, Final, TypeAlias, TypeVar

import attrs
import cbor2

from trionitro._cbor import decode_cbor_untrusted, expect_kind
from trionitro._exceptions import ProtocolError
from trionitro.nsm._messages import (
    Attest,
    Attested,
    DescribeNsm,
    DescribePcr,
    ExtendedPcr,
    ExtendPcr,
    GetRandom,
    LockedPcr,
    LockedPcrs,
    LockPcr,
    LockPcrs,
    NsmDescription,
    PcrDescription,
    RandomBytes,
    Refusal,
    Request,
    Response,
)

__all__ = [
    "MAX_REQUEST_SIZE",
    "MAX_RESPONSE_SIZE",
    "decode_request_untrusted",
    "decode_response_untrusted",
    "encode_request",
    "encode_response",
    "name_of_request",
]

T = TypeVar("T")

#: ``NSM_REQUEST_MAX_SIZE`` and ``NSM_RESPONSE_MAX_SIZE``, in bytes.
MAX_REQUEST_SIZE: Final = 0x1000
MAX_RESPONSE_SIZE: Final = 0x3000

_U16_MAX: Final = 0xFFFF

#: How the API names errors. Anything else is not a name, and not shown to anybody.
_ERROR_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")

_REQUESTS: Final[Mapping[str, type[Request]]] = MappingProxyType(
    {
        "DescribeNSM": DescribeNsm,
        "DescribePCR": DescribePcr,
        "ExtendPCR": ExtendPcr,
        "LockPCR": LockPcr,
        "LockPCRs": LockPcrs,
        "Attestation": Attest,
        "GetRandom": GetRandom,
    }
)
_RESPONSES: Final[Mapping[str, type[Response]]] = MappingProxyType(
    {
        "DescribeNSM": NsmDescription,
        "DescribePCR": PcrDescription,
        "ExtendPCR": ExtendedPcr,
        "LockPCR": LockedPcr,
        "LockPCRs": LockedPcrs,
        "Attestation": Attested,
        "GetRandom": RandomBytes,
    }
)
_NAMES: Final[Mapping[type, str]] = MappingProxyType(
    {
        record: name
        for table in (_REQUESTS, _RESPONSES)
        for name, record in table.items()
    }
)
_ERROR: Final = "Error"


def encode_request(request: Request) -> bytes:
    """Write a request as the device wants it."""
    return _encode(request)


def decode_request_untrusted(data: bytes) -> Request:
    """Read what was written by :func:`encode_request`, or by anybody else.

    Raises:
      ProtocolError: if it is no request.

    """
    name, fields = _open(data, max_size=MAX_REQUEST_SIZE)
    return _read(_REQUESTS, name, fields)


def encode_response(response: Response) -> bytes:
    """Write a response as the device would."""
    if isinstance(response, Refusal):
        return cbor2.dumps({_ERROR: response.code})
    return _encode(response)


def decode_response_untrusted(data: bytes) -> Response:
    """Read a response.

    Raises:
      ProtocolError: if it is none.

    """
    name, fields = _open(data, max_size=MAX_RESPONSE_SIZE)
    if name != _ERROR:
        return _read(_RESPONSES, name, fields)
    code = expect_kind(fields, str, "the error")
    if not _ERROR_NAME.fullmatch(code):
        raise ProtocolError("the error is not a name")
    return Refusal(code)


def name_of_request(request: Request) -> str:
    """Return what the NSM API calls a request."""
    return _NAMES[type(request)]


def _encode(record: Any) -> bytes:
    name = _NAMES[type(record)]
    fields = attrs.asdict(record, recurse=False)
    return cbor2.dumps({name: _plain(fields)} if fields else name)


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    # A Rust set is an array, and in ascending order.
    return {
        name: sorted(value) if isinstance(value, frozenset) else value
        for name, value in fields.items()
    }


def _open(data: bytes, *, max_size: int) -> tuple[str, object]:
    """Take a message apart: its name, and what is in it if it isn't a name only."""
    message = decode_cbor_untrusted(data, max_size=max_size)
    if isinstance(message, str):
        return message, {}
    fields = expect_kind(message, dict, "the message")
    if len(fields) != 1:
        raise ProtocolError(f"the message is a map of {len(fields)} names, must have 1")
    ((name, inner),) = fields.items()
    return expect_kind(name, str, "the message's name"), inner


def _read(records: Mapping[str, type[T]], name: str, inner: object) -> T:
    record = records.get(name)
    if record is None:
        raise ProtocolError(f"no message is called {name[:40]!r}")
    fields = expect_kind(inner, dict, name)
    return record(
        **{
            key: read(fields.get(key), f"{name}.{key}")
            for key, read in _READERS_OF[record].items()
        }
    )


def _read_u16(value: object, what: str) -> int:
    number = expect_kind(value, int, what)
    if not 0 <= number <= _U16_MAX:
        raise ProtocolError(f"{what} is {number}, must be from 0 to {_U16_MAX}")
    return number


def _read_u16s(value: object, what: str) -> frozenset[int]:
    return frozenset(_read_u16(one, what) for one in expect_kind(value, list, what))


def _read_bytes(value: object, what: str) -> bytes:
    return expect_kind(value, bytes, what)


def _read_optional_bytes(value: object, what: str) -> bytes | None:
    return None if isinstance(value, NoneType) else _read_bytes(value, what)


def _read_text(value: object, what: str) -> str:
    return expect_kind(value, str, what)


def _read_bool(value: object, what: str) -> bool:
    return expect_kind(value, bool, what)


_Reader: TypeAlias = Callable[[object, str], object]

#: How a field of a record is read, by its type.
_READERS: Final[Mapping[Any, _Reader]] = MappingProxyType(
    {
        int: _read_u16,
        frozenset[int]: _read_u16s,
        bytes: _read_bytes,
        bytes | None: _read_optional_bytes,
        str: _read_text,
        bool: _read_bool,
    }
)

_READERS_OF: Final[Mapping[type, Mapping[str, _Reader]]] = MappingProxyType(
    {
        record: {
            field.name: _READERS[field.type]
            for field in attrs.fields(attrs.resolve_types(record))
        }
        for record in _NAMES
    }
)
