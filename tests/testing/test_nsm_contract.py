"""A contract is worth what it refuses."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import cbor2
import pytest

from trionitro.abc import NsmDevice
from trionitro.nsm import Nsm
from trionitro.testing import NsmEmulator, check_nsm_device


@attrs.define
class AlteredDevice(NsmDevice):
    """Answers as the emulator does, but for something that is altered.

    Attributes:
      alter: takes a request and its answer, and changes the answer.

    """

    alter: Callable[[object, dict[str, dict[str, object]]], object]
    _device: NsmDevice = attrs.field(factory=NsmEmulator)

    async def process(self, request: bytes) -> bytes:
        """Answer, and alter the answer."""
        answer = cbor2.loads(await self._device.process(request))
        if isinstance(answer, dict) and "Error" not in answer:
            answer = self.alter(cbor2.loads(request), answer) or answer
        return cbor2.dumps(answer)


@attrs.define
class LateDevice(NsmDevice):
    """Gives each answer to the request after the one it belongs to."""

    _answer: bytes = b""
    _count: int = 0
    _device: NsmDevice = attrs.field(factory=NsmEmulator)

    async def process(self, request: bytes) -> bytes:
        """Mix up answers, once there was a request for entropy twenty times."""
        self._count += b"GetRandom" in request
        previous, self._answer = self._answer, await self._device.process(request)
        return previous if self._count > 20 else self._answer


def set_field(name: str, field: str, value: object) -> AlteredDevice:
    def alter(request: object, answer: dict[str, dict[str, object]]) -> None:
        if name in answer:
            answer[name][field] = value

    return AlteredDevice(alter)


def list_no_pcr(request: object, answer: dict[str, dict[str, object]]) -> None:
    if "Attestation" in answer:
        protected, unprotected, payload, signature = cbor2.loads(
            answer["Attestation"]["document"]  # type: ignore[arg-type]
        )
        said = cbor2.loads(payload) | {"pcrs": {}}
        document = [protected, unprotected, cbor2.dumps(said), signature]
        answer["Attestation"]["document"] = cbor2.dumps(document)


BROKEN = {
    "it must say what it is": set_field("DescribeNSM", "module_id", ""),
    "there must be 32 PCRs of 48 bytes": set_field("DescribePCR", "data", b"short"),
    "a PCR must be extended": set_field("ExtendPCR", "data", bytes(48)),
    "entropy must come": set_field("GetRandom", "random", bytes(64)),
    "a document must list the locked PCRs": AlteredDevice(list_no_pcr),
    "many requests at once|a cancelled request": LateDevice(),
}


@pytest.mark.parametrize("sentence", BROKEN)
async def test_what_is_wrong_is_told(sentence: str) -> None:
    with pytest.raises(AssertionError, match=rf"^({sentence}).*; but: "):
        await check_nsm_device(BROKEN[sentence])


async def test_a_module_with_nothing_left_to_lock_can_t_be_checked() -> None:
    emulator = NsmEmulator()
    await Nsm(emulator).lock_pcrs(32)

    with pytest.raises(ValueError, match="every PCR is locked"):
        await check_nsm_device(emulator)
