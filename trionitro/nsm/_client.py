"""The security module, one method per request of its API."""

from __future__ import annotations

from typing import Final, TypeVar, final

import attrs
import trio.lowlevel

from trionitro._exceptions import ProtocolError
from trionitro.abc import NsmDevice
from trionitro.nsm._errors import NsmError
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
)
from trionitro.nsm._pcrs import PCR_COUNT, check_pcr_index
from trionitro.nsm._wire import (
    MAX_REQUEST_SIZE,
    decode_response_untrusted,
    encode_request,
    name_of_request,
)

__all__ = ["MAX_ATTESTED_SIZE", "Nsm", "Pcr"]

T = TypeVar("T")

#: How long each of the three things that a document can carry may be. AWS's text says
#: 512 in one place and 1024 in another; its own test wants 1024 of each accepted.
MAX_ATTESTED_SIZE: Final = 1024


@attrs.frozen(kw_only=True)
class Pcr:
    """A platform configuration register, as it was when it was asked for.

    Attributes:
      index: which one: 0 to 31.
      value: its 48 bytes.
      locked: whether it can't be extended any more, and is in attestation documents.

    """

    index: int
    value: bytes
    locked: bool


@final
@attrs.frozen
class Nsm:
    """The Nitro Security Module of this enclave.

    Any number of tasks may use it at once; the device takes one request after the
    other. Each method may raise, beside what it says itself:

    - :exc:`NsmError` if the module refuses;
    - :exc:`NsmUnavailableError` if there is none;
    - :exc:`OSError` if there is one and it fails;
    - :exc:`.ProtocolError` if its answer makes no sense.

    Attributes:
      device: where requests go, see :func:`nsm_device_from`.

    Cancellation:
      The module may have done what was asked: a request that is on its way can't be
      called back.

    """

    device: NsmDevice

    async def describe(self) -> NsmDescription:
        """Ask the module what it is."""
        return await self._ask(DescribeNsm(), NsmDescription)

    async def describe_pcr(self, index: int) -> Pcr:
        """Ask for the PCR ``index``.

        Raises:
          ValueError: if there is no such PCR.

        """
        check_pcr_index(index)
        answer = await self._ask(DescribePcr(index), PcrDescription)
        return Pcr(index=index, value=answer.data, locked=answer.lock)

    async def extend_pcr(self, index: int, data: bytes) -> bytes:
        """Extend the PCR ``index``: it becomes SHA-384(its value, ``data``).

        Returns:
          The new value, 48 bytes.

        Raises:
          ValueError: if there is no such PCR, or the request would have more than
              4096 bytes.

        """
        check_pcr_index(index)
        return (await self._ask(ExtendPcr(index, data), ExtendedPcr)).data

    async def lock_pcr(self, index: int) -> None:
        """Make the PCR ``index`` read-only, and a part of attestation documents.

        Raises:
          ValueError: if there is no such PCR.

        """
        check_pcr_index(index)
        await self._ask(LockPcr(index), LockedPcr)

    async def lock_pcrs(self, count: int) -> None:
        """Make the first ``count`` PCRs read-only; some or all may be already.

        Raises:
          ValueError: if there are not so many.

        """
        if not 0 <= count <= PCR_COUNT:
            raise ValueError(f"there are {PCR_COUNT} PCRs to lock, not {count}")
        await self._ask(LockPcrs(count), LockedPcrs)

    async def attest(
        self,
        *,
        user_data: bytes | None = None,
        nonce: bytes | None = None,
        public_key: bytes | None = None,
    ) -> bytes:
        """Have the module sign an attestation document.

        Args:
          user_data: anything, up to 1024 bytes.
          nonce: what a verifier wants to find in it, up to 1024 bytes.
          public_key: a key whose other half this enclave has, up to 1024 bytes; for
              KMS it is a DER SubjectPublicKeyInfo.

        Returns:
          The document, a COSE_Sign1 of about 5 KB.

        Raises:
          ValueError: if something is longer than that, or the request would have
              more than 4096 bytes.

        """
        request = Attest(user_data=user_data, nonce=nonce, public_key=public_key)
        for name, value in attrs.asdict(request).items():
            if value is not None and len(value) > MAX_ATTESTED_SIZE:
                raise ValueError(
                    f"{name} has {len(value)} bytes, and may have {MAX_ATTESTED_SIZE}"
                )
        return (await self._ask(request, Attested)).document

    async def random(self, size: int) -> bytes:
        """Get ``size`` random bytes, in as many requests as it takes.

        Raises:
          ValueError: if ``size`` is negative.

        """
        if size < 0:
            raise ValueError(f"the number of random bytes must not be {size}")
        await trio.lowlevel.checkpoint()
        collected = bytearray()
        while len(collected) < size:
            answer = await self._ask(GetRandom(), RandomBytes)
            if not answer.random:
                raise ProtocolError("the security module gave 0 random bytes")
            collected += answer.random
        return bytes(collected[:size])

    async def _ask(self, request: Request, expected: type[T]) -> T:
        data = encode_request(request)
        name = name_of_request(request)
        if len(data) > MAX_REQUEST_SIZE:
            raise ValueError(
                f"{name} would have {len(data)} bytes, and a request may have"
                f" {MAX_REQUEST_SIZE}"
            )
        answer = decode_response_untrusted(await self.device.process(data))
        if isinstance(answer, Refusal):
            raise NsmError(answer.code, request=name)
        if not isinstance(answer, expected):
            raise ProtocolError(
                f"the security module answered {name} with the answer to something"
                f" else ({type(answer).__name__})"
            )
        return answer
