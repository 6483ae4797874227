"""A module that doesn't sign, with a signer in front of it."""

from __future__ import annotations

import cbor2
import pytest
import structlog
import structlog.testing

from trionitro.abc import NsmDevice
from trionitro.attestation import (
    AttestationError,
    AttestationPolicy,
    parse_roots,
    verify_attestation,
)
from trionitro.nsm import Nsm, NsmError, NsmErrorCode
from trionitro.testing import (
    AttestationIssuer,
    NsmEmulator,
    ResigningNsm,
    check_nsm_device,
)

PCR0 = bytes(range(48))


class Qemu(NsmDevice):
    """Answers as QEMU's module: nothing is measured or locked, and nobody signs."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self._locked = False

    async def process(self, request: bytes) -> bytes:
        """Answer."""
        self.requests.append(request)
        asked = cbor2.loads(request)
        match asked:
            case {"LockPCRs": {"range": 16}}:
                self._locked = True
                return cbor2.dumps("LockPCRs")
            case {"DescribePCR": _}:
                answer = {"lock": self._locked, "data": bytes(48)}
                return cbor2.dumps({"DescribePCR": answer})
            case {"Attestation": fields}:
                return cbor2.dumps(
                    {"Attestation": {"document": self._document(fields)}}
                )
            case _:
                return cbor2.dumps({"Error": "InvalidOperation"})

    def _document(self, fields: dict[str, object]) -> bytes:
        payload = {
            "module_id": "i-0123456789abcdef0-enc0123456789abcdef",
            "digest": "SHA384",
            "timestamp": 1_700_000_000_000,
            "pcrs": {i: bytes(48) for i in range(16)} if self._locked else {},
            "certificate": bytes(64),
            "cabundle": [bytes(64)],
            **{name: fields.get(name) for name in ("public_key", "user_data", "nonce")},
        }
        return cbor2.dumps([b"\xa1\x01\x20", {}, cbor2.dumps(payload), bytes(64)])


async def test_it_meets_the_contract() -> None:
    await check_nsm_device(ResigningNsm(NsmEmulator()))


async def test_a_document_that_nobody_signed_verifies_under_the_signer_s_root() -> None:
    device = ResigningNsm(Qemu(), pcrs={0: PCR0})
    unsigned = await Nsm(device.device).attest()
    with pytest.raises(AttestationError):
        verify_attestation(unsigned)

    document = await Nsm(device).attest(user_data=b"mine", nonce=b"once")

    roots = parse_roots(device.issuer.root_pem)
    policy = AttestationPolicy(pcrs={0: PCR0}, nonce=b"once", user_data=b"mine")
    verified = verify_attestation(document, roots=roots, policy=policy)
    assert sorted(verified.pcrs) == list(range(16))
    with pytest.raises(AttestationError):
        verify_attestation(document)


async def test_every_document_is_logged_as_an_emulator_s() -> None:
    with structlog.testing.capture_logs() as logs:
        await Nsm(ResigningNsm(Qemu())).attest()

    assert [(line["log_level"], line["event"]) for line in logs] == [
        ("warning", "an attestation document was signed by an emulator")
    ]


async def test_pcrs_are_locked_before_the_first_answer_and_once() -> None:
    qemu = Qemu()
    nsm = Nsm(ResigningNsm(qemu, pcrs={0: PCR0}))

    first = await nsm.describe_pcr(0)
    await nsm.describe_pcr(1)

    assert (first.locked, first.value) == (True, PCR0)
    assert [b"LockPCRs" in request for request in qemu.requests] == [True, False, False]


async def test_what_is_more_than_aws_takes_is_refused() -> None:
    request = cbor2.dumps({"Attestation": {"user_data": bytes(2000)}})

    answer = await ResigningNsm(Qemu()).process(request)

    assert cbor2.loads(answer) == {"Error": "InputTooLarge"}


async def test_what_is_no_request_is_the_module_s_affair() -> None:
    qemu = Qemu()

    answer = await ResigningNsm(qemu).process(cbor2.dumps("Nonsense"))

    assert cbor2.loads(answer) == {"Error": "InvalidOperation"}
    assert qemu.requests[-1] == cbor2.dumps("Nonsense")


async def test_an_issuer_can_be_in_another_process() -> None:
    issuer = AttestationIssuer()
    twin = AttestationIssuer.from_private_pem(issuer.private_pem())

    document = await Nsm(ResigningNsm(Qemu(), issuer=twin)).attest()

    verify_attestation(document, roots=parse_roots(issuer.root_pem), policy=DEBUG)


DEBUG = AttestationPolicy(allow_debug=True)


@pytest.mark.parametrize("pem", [b"", b"nonsense"])
def test_what_is_no_issuer_is_refused(pem: bytes) -> None:
    with pytest.raises(ValueError, match="PEM"):
        AttestationIssuer.from_private_pem(pem)


async def test_errors_come_through() -> None:
    with pytest.raises(NsmError) as refused:
        await Nsm(ResigningNsm(NsmEmulator())).extend_pcr(0, b"data")

    assert refused.value.code == NsmErrorCode.READ_ONLY_INDEX
