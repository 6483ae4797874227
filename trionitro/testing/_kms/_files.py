"""The files that say what an emulated KMS starts with: keys, and who may ask.

JSON, of records. Keys::

    {"keys": [{"id": "1234abcd-…", "aliases": ["alias/app"], "policy": {…},
               "key": "<32 bytes in base64, or a private key in PEM>",
               "usage": "ENCRYPT_DECRYPT", "description": "…"}]}

Everything may be left out; so a key without "key" is a new AES key. Access keys::

    {"access_keys": [{"principal": "arn:aws:iam::111122223333:role/enclave",
                      "access_key_id": "AKIA…", "secret_access_key": "…",
                      "session_token": "…", "expires_at": "2026-03-01T12:00:00Z",
                      "identity_policy": {…}}]}

"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
from typing import Any, TypeVar

import attrs
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from trionitro._exceptions import ConfigError
from trionitro._structuring import make_converter, read_text, structure
from trionitro.kms._credentials import Credentials
from trionitro.testing._kms._emulator import KmsEmulator
from trionitro.testing._kms._specs import Material

__all__ = ["load_kms_access_keys", "load_kms_keys"]

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class _KeyEntry:
    """A key; its policy is read by who knows policies."""

    id: str | None = None
    aliases: tuple[str, ...] = ()
    policy: Any = None
    key: str | None = attrs.field(default=None, repr=False)
    usage: str | None = None
    description: str = ""


@attrs.frozen
class _Keys:
    """The file of keys."""

    keys: tuple[_KeyEntry, ...]


@attrs.frozen(kw_only=True)
class _AccessKeyEntry:
    """An access key."""

    principal: str
    access_key_id: str
    secret_access_key: str = attrs.field(repr=False)
    session_token: str | None = attrs.field(default=None, repr=False)
    expires_at: str | None = None
    identity_policy: Any = None


@attrs.frozen
class _AccessKeys:
    """The file of access keys."""

    access_keys: tuple[_AccessKeyEntry, ...]


def load_kms_keys(emulator: KmsEmulator, path: str) -> None:
    """Add the keys of a file.

    Raises:
      ConfigError: if it can't be read; no key is in the message.

    """
    for index, entry in enumerate(_load(path, _Keys).keys):
        try:
            emulator.add_key(
                entry.policy,
                aliases=entry.aliases,
                key_id=entry.id,
                material=None if entry.key is None else _material(entry.key),
                usage=entry.usage,
                description=entry.description,
            )
        except ConfigError as problem:
            raise ConfigError(f"{path}: keys[{index}]: {problem}") from None


def load_kms_access_keys(emulator: KmsEmulator, path: str) -> None:
    """Admit the access keys of a file.

    Raises:
      ConfigError: if it can't be read; no secret is in the message.

    """
    for index, entry in enumerate(_load(path, _AccessKeys).access_keys):
        try:
            credentials = Credentials(
                access_key_id=entry.access_key_id,
                secret_access_key=entry.secret_access_key,
                session_token=entry.session_token,
                expires_at=_time(entry.expires_at),
            )
            emulator.admit(
                credentials, entry.principal, identity_policy=entry.identity_policy
            )
        except ConfigError as problem:
            raise ConfigError(f"{path}: access_keys[{index}]: {problem}") from None


def _load(path: str, record: type[T]) -> T:
    text = read_text(path, remedy="give a JSON file")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise ConfigError(f"{path}: not JSON: {problem}") from None
    return structure(value, record, source=path, converter=make_converter())


def _material(text: str) -> Material:
    if "PRIVATE KEY" not in text:
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise ConfigError(
                "key: is neither base64 nor a private key in PEM"
            ) from None
    try:
        key = load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError("key: is no private key in PEM without a password") from None
    if isinstance(
        key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
    ):
        return key
    raise ConfigError("key: is of a kind that KMS has not")


def _time(text: str | None) -> dt.datetime | None:
    if text is None:
        return None
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise ConfigError(
            f"expires_at: {text!r} is no time; write for example 2026-03-01T12:00:00Z"
        )
    return time
