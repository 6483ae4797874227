"""SealedStore: secrets in files that the parent keeps and can't read."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, final

import attrs
import trio

from trionitro._exceptions import ConfigError
from trionitro.kms._answers import KmsError
from trionitro.kms._client import KmsClient
from trionitro.kms._durable import (
    FileSystem,
    create_durably,
    read_regular,
    replace_durably,
)
from trionitro.kms._sealed_format import (
    MAX_COUNTER,
    MAX_FILE_SIZE,
    MAX_SECRET_SIZE,
    SealedError,
    open_sealed_untrusted,
    parse_sealed_untrusted,
    seal,
)

__all__ = ["NoSuchSecretError", "RollbackError", "SealedSecret", "SealedStore"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

_SUFFIX: Final = ".sealed"

#: What KMS says about a data key that it didn't make, or not for this.
_NOT_OURS: Final = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})


class NoSuchSecretError(LookupError):
    """Raised when there is no file for a secret: never written, or taken away."""


class RollbackError(SealedError):
    """Raised when a secret is older than the caller knows that it should be."""


@attrs.frozen(kw_only=True)
class SealedSecret:
    """A secret out of a store.

    Attributes:
      value: the secret; of a key, PKCS#8 in DER.
      counter: what it was sealed with.
      created: whether it was made just now.

    """

    value: bytes = attrs.field(repr=False)
    counter: int
    created: bool = False


def _an_identity(instance: object, attribute: attrs.Attribute[Any], value: str) -> None:
    if not 1 <= len(value) <= 1000 or not value.isprintable():
        raise ConfigError(f"{attribute.name} must be a text of 1 to 1000 characters")


@final
@attrs.frozen(eq=False, kw_only=True)
class SealedStore:
    """Named secrets in a directory, such as a volume that the parent exports.

    Each file is sealed with AES-256-GCM under a data key of its own, which KMS made
    and only decrypts for an enclave that the key's policy admits. The secret's name
    and the enclave's identity are in KMS's encryption context and authenticated with
    the secret: the parent can't give one file for another.

    What the parent can do: take files away, and put back an older one of the same
    name. The first looks like a secret that was never made, and
    :meth:`get_or_create` would make another. The second is a :exc:`RollbackError`
    if you say ``at_least`` which counter it must have, and keep the counter where
    the parent can't turn it back.

    Besides what they say themselves the methods raise what the client raises, and
    :exc:`OSError` where the directory can't be read or written.

    Attributes:
      directory: must exist.
      kms: a client with an ``nsm``.
      key_id: the KMS key, for all of the store.
      identity: who seals and opens: a text in the enclave's image, where it is
          measured; ``"signer"``.
      file_system: the steps of writing a file.

    Raises:
      ConfigError: if ``identity`` can't be.

    Cancellation:
      A secret that was being written is there whole, or isn't there.

    """

    directory: Path = attrs.field(converter=Path)
    kms: KmsClient = attrs.field(repr=False)
    key_id: str
    identity: str = attrs.field(validator=_an_identity)
    file_system: FileSystem = attrs.field(factory=FileSystem, repr=False)
    _creating: trio.Lock = attrs.field(factory=trio.Lock, init=False, repr=False)

    async def get(self, name: str, *, at_least: int = 0) -> SealedSecret:
        """Open a secret.

        Args:
          name: 1 to 100 letters, digits, ``.``, ``_`` and ``-``; the first a letter
              or digit.
          at_least: the lowest counter that it may have.

        Raises:
          NoSuchSecretError: if there is no file of it.
          SealedError: if the file is not what this enclave sealed under that name.
          RollbackError: if its counter is lower.
          ConfigError: if there can be no such name.

        """
        path = self._path(name)
        try:
            data = await trio.to_thread.run_sync(
                partial(read_regular, path, max_size=MAX_FILE_SIZE)
            )
        except FileNotFoundError:
            raise NoSuchSecretError(
                f"there is no secret {name!r} in {os.fspath(self.directory)!r}"
            ) from None
        try:
            secret = await self._open_untrusted(name, data)
        except SealedError as problem:
            raise SealedError(f"{os.fspath(path)!r} is not ours: {problem}") from None
        if secret.counter < at_least:
            raise RollbackError(
                f"{os.fspath(path)!r} is an old one: its counter is {secret.counter},"
                f" and {at_least} was known already"
            )
        return secret

    async def put(self, name: str, value: bytes, *, counter: int = 0) -> None:
        """Seal a secret, in place of one that may be there.

        Args:
          name: as for :meth:`get`.
          value: at most 1 MiB.
          counter: to be known again by, from 0 to 2**64 - 1.

        Raises:
          ConfigError: if name, value or counter can't be.

        """
        path = self._path(name)
        data = await self._seal(name, value, counter)
        await trio.to_thread.run_sync(replace_durably, self.file_system, path, data)

    async def get_or_create(
        self,
        name: str,
        make: Callable[[], Awaitable[bytes]],
        *,
        at_least: int = 0,
    ) -> SealedSecret:
        """Open a secret, or make and seal it if there is none.

        Of several who do this at once, in this process or another, one makes it, and
        all get the same.

        Args:
          name: as for :meth:`get`.
          make: returns the secret.
          at_least: the lowest counter that it may have, and what a new one gets.

        Raises:
          SealedError: as for :meth:`get`; nothing is made then.

        """
        async with self._creating:
            try:
                return await self.get(name, at_least=at_least)
            except NoSuchSecretError:
                value = await make()
            data = await self._seal(name, value, at_least)
            path = self._path(name)
            try:
                await trio.to_thread.run_sync(
                    create_durably, self.file_system, path, data
                )
            except FileExistsError:
                return await self.get(name, at_least=at_least)
            return SealedSecret(value=value, counter=at_least, created=True)

    async def get_or_create_key(
        self, name: str, spec: str, *, at_least: int = 0
    ) -> SealedSecret:
        """Open a private key, or have KMS make one, for the enclave only, and seal it.

        Args:
          name: as for :meth:`get`.
          spec: of KMS's key pairs, ``"ECC_SECG_P256K1"``, ``"ECC_NIST_EDWARDS25519"``,
              ``"RSA_3072"``, …; a key that is there already is returned whatever it is.
          at_least: as for :meth:`get_or_create`.

        Returns:
          The key as PKCS#8 in DER, which ``cryptography``'s
          ``load_der_private_key`` reads.

        """

        async def make() -> bytes:
            pair = await self.kms.generate_data_key_pair(
                self.key_id, spec, encryption_context=self._context(name)
            )
            return pair.private_key

        return await self.get_or_create(name, make, at_least=at_least)

    async def _seal(self, name: str, value: bytes, counter: int) -> bytes:
        if len(value) > MAX_SECRET_SIZE:
            raise ConfigError(
                f"a secret of {len(value)} bytes exceeds the limit of {MAX_SECRET_SIZE}"
            )
        if not 0 <= counter <= MAX_COUNTER:
            raise ConfigError(f"the counter {counter} is not from 0 to {MAX_COUNTER}")
        context = self._context(name)
        key = await self.kms.generate_data_key(self.key_id, encryption_context=context)
        return seal(
            value,
            key=key.plaintext,
            data_key=key.ciphertext,
            context=context,
            counter=counter,
        )

    async def _open_untrusted(self, name: str, data: bytes) -> SealedSecret:
        file = parse_sealed_untrusted(data)
        context = self._context(name)
        try:
            key = await self.kms.decrypt(
                file.data_key, key_id=self.key_id, encryption_context=context
            )
        except KmsError as problem:
            if problem.code not in _NOT_OURS:
                raise
            raise SealedError(
                f"KMS doesn't know its data key for this ({problem.code})"
            ) from None
        value = open_sealed_untrusted(file, key=key.plaintext, context=context)
        return SealedSecret(value=value, counter=file.counter)

    def _context(self, name: str) -> dict[str, str]:
        return {
            "trionitro:purpose": "sealed file",
            "trionitro:name": name,
            "trionitro:identity": self.identity,
        }

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{name!r} can't name a secret: it takes 1 to 100 letters, digits, '.',"
                " '_' and '-', and begins with a letter or digit"
            )
        return self.directory / f"{name}{_SUFFIX}"
