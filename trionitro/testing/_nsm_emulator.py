"""A security module without a hypervisor: AWS's answers, signed by somebody else."""

from __future__ import annotations

import secrets
from typing import Final, final

import attrs
import trio.lowlevel

from trionitro._exceptions import ProtocolError
from trionitro.abc import NsmDevice
from trionitro.nsm import MAX_ATTESTED_SIZE, PCR_COUNT, NsmErrorCode
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
from trionitro.nsm._wire import (
    MAX_REQUEST_SIZE,
    decode_request_untrusted,
    encode_response,
)
from trionitro.testing._attestation_issuer import AttestationIssuer
from trionitro.testing._pcr_bank import BootMeasurements, PcrBank, PcrRefusedError

__all__ = ["NsmEmulator"]

#: How many random bytes there are in an answer.
_RANDOM_SIZE: Final = 256


@final
@attrs.define(eq=False)
class NsmEmulator(NsmDevice):
    """Answers as the security module of an enclave does.

    Its documents are really signed, under the root of its ``issuer``: whoever is to
    accept them must be told to trust that root. It has no more secrets than any other
    program, and proves nothing about what runs beside it.

    Attributes:
      boot: what was measured before the enclave began to run.
      module_id: who it says it is; made from the instance id if not given.
      issuer: who signs, with what clock, and in which form.

    """

    boot: BootMeasurements = attrs.field(factory=BootMeasurements)
    module_id: str = attrs.field(kw_only=True)
    issuer: AttestationIssuer = attrs.field(factory=AttestationIssuer, kw_only=True)
    _bank: PcrBank = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._bank = PcrBank(self.boot.pcrs())

    @module_id.default
    def _module_id_of_instance(self) -> str:
        return f"{self.boot.instance_id}-enc0123456789abcdef"

    @property
    def root_pem(self) -> bytes:
        """The certificate that a verifier of its documents must be told to trust."""
        return self.issuer.root_pem

    async def process(self, request: bytes) -> bytes:
        """Answer a request; what is none is refused as an invalid operation."""
        await trio.lowlevel.checkpoint()
        return encode_response(self._answer_untrusted(request))

    def _answer_untrusted(self, data: bytes) -> Response:
        if len(data) > MAX_REQUEST_SIZE:
            # The driver would say EMSGSIZE, which AWS's library turns into this.
            return Refusal(NsmErrorCode.INPUT_TOO_LARGE)
        try:
            return self._answer(decode_request_untrusted(data))
        except ProtocolError:
            return Refusal(NsmErrorCode.INVALID_OPERATION)
        except PcrRefusedError as refused:
            return Refusal(refused.code)

    def _answer(self, request: Request) -> Response:
        match request:
            case DescribeNsm():
                return self._description()
            case Attest():
                return self._attest(request)
            case GetRandom():
                return RandomBytes(secrets.token_bytes(_RANDOM_SIZE))
            case _:
                return self._answer_about_pcrs(request)

    def _answer_about_pcrs(
        self, request: DescribePcr | ExtendPcr | LockPcr | LockPcrs
    ) -> Response:
        match request:
            case DescribePcr(index):
                value = self._bank.value(index)
                return PcrDescription(lock=index in self._bank.locked, data=value)
            case ExtendPcr(index, data):
                return ExtendedPcr(self._bank.extend(index, data))
            case LockPcr(index):
                self._bank.lock(index)
                return LockedPcr()
            case LockPcrs(count):
                self._bank.lock_below(count)
                return LockedPcrs()

    def _description(self) -> NsmDescription:
        return NsmDescription(
            version_major=1,
            version_minor=0,
            version_patch=0,
            module_id=self.module_id,
            max_pcrs=PCR_COUNT,
            locked_pcrs=self._bank.locked,
            digest="SHA384",
        )

    def _attest(self, request: Attest) -> Response:
        fields = attrs.asdict(request)
        if any(len(value or b"") > MAX_ATTESTED_SIZE for value in fields.values()):
            # Nobody has written down what AWS's says to this.
            return Refusal(NsmErrorCode.INPUT_TOO_LARGE)
        pcrs = self._bank.attested()
        return Attested(self.issuer.issue(self.module_id, pcrs, **fields))
