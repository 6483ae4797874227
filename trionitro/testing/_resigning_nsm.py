"""A security module that can't sign, with somebody who is not AWS signing for it.

QEMU's virtio-nsm answers as AWS's module does, through the kernel's own driver. But
nobody has measured what it runs beside, and its attestation documents have zeros in
the place of a signature, so that nobody believes them.

"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import attrs
import structlog

from trionitro._exceptions import ProtocolError
from trionitro.abc import NsmDevice
from trionitro.attestation import decode_attestation_untrusted
from trionitro.nsm import FIRST_FREE_PCR, MAX_ATTESTED_SIZE, NsmErrorCode
from trionitro.nsm._messages import (
    Attest,
    Attested,
    DescribePcr,
    LockPcrs,
    PcrDescription,
    Refusal,
    Request,
    Response,
)
from trionitro.nsm._wire import (
    decode_request_untrusted,
    decode_response_untrusted,
    encode_request,
    encode_response,
)
from trionitro.testing._attestation_issuer import AttestationIssuer

__all__ = ["ResigningNsm"]

_log = structlog.get_logger("trionitro.testing")


@final
@attrs.define(eq=False)
class ResigningNsm(NsmDevice):
    """Passes every request on, and signs the documents that come back.

    They prove no more than an emulator's do: whoever is to accept them must be told
    to trust the root of ``issuer``. Each is logged, as a warning.

    Attributes:
      device: what answers.
      issuer: who signs.
      pcrs: what counts as measured before the start, 48 bytes each, by number below
          16: they stand in the place of the module's own, which are locked from the
          first request on, as an enclave's are from its start.

    """

    device: NsmDevice
    issuer: AttestationIssuer = attrs.field(factory=AttestationIssuer, kw_only=True)
    pcrs: Mapping[int, bytes] = attrs.field(factory=dict, kw_only=True)

    _is_locked: bool = attrs.field(init=False, default=False)

    async def process(self, request: bytes) -> bytes:
        """Have the module answer, and sign what has to be signed."""
        if not self._is_locked:
            await self.device.process(encode_request(LockPcrs(FIRST_FREE_PCR)))
            self._is_locked = True
        answer = await self.device.process(request)
        try:
            asked = decode_request_untrusted(request)
            told = decode_response_untrusted(answer)
        except ProtocolError:
            return answer
        changed = self._changed(asked, told)
        return answer if changed is told else encode_response(changed)

    def _changed(self, asked: Request, told: Response) -> Response:
        if isinstance(asked, DescribePcr) and isinstance(told, PcrDescription):
            data = self.pcrs.get(asked.index, told.data)
            return attrs.evolve(told, data=data) if data != told.data else told
        if isinstance(asked, Attest) and isinstance(told, Attested):
            return self._signed(asked, told)
        return told

    def _signed(self, asked: Attest, told: Attested) -> Response:
        fields = attrs.asdict(asked)
        if any(len(value or b"") > MAX_ATTESTED_SIZE for value in fields.values()):
            # QEMU's has no limits.
            return Refusal(NsmErrorCode.INPUT_TOO_LARGE)
        document = decode_attestation_untrusted(told.document)
        _log.warning("an attestation document was signed by an emulator")
        pcrs = {**document.pcrs, **self.pcrs}
        return Attested(self.issuer.issue(document.module_id, pcrs, **fields))
