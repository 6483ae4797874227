"""The emulated security module."""

from __future__ import annotations

import datetime as dt

import cbor2
import pytest
import trio.testing

from trionitro.attestation import (
    AttestationPolicy,
    CertificateExpired,
    DebugEnclave,
    UntrustedRoot,
    decode_attestation_untrusted,
    parse_roots,
    verify_attestation,
)
from trionitro.nsm import Nsm, NsmErrorCode, measure_instance, measure_role
from trionitro.nsm._messages import (
    Attest,
    Refusal,
    Request,
)
from trionitro.nsm._wire import (
    decode_response_untrusted,
    encode_request,
)
from trionitro.testing import (
    AttestationIssuer,
    BootMeasurements,
    MapForm,
    NsmEmulator,
    cancel_at_every_step,
    check_nsm_device,
)

ROLE = "arn:aws:iam::123456789012:role/example"


async def refusal_of(emulator: NsmEmulator, request: Request | bytes) -> str:
    data = request if isinstance(request, bytes) else encode_request(request)
    answer = decode_response_untrusted(await emulator.process(data))
    assert isinstance(answer, Refusal), answer
    return answer.code


async def test_it_meets_the_contract() -> None:
    await check_nsm_device(NsmEmulator())


async def test_processing_is_a_checkpoint() -> None:
    with trio.testing.assert_checkpoints():
        await NsmEmulator().process(b"\x69GetRandom")


async def test_its_documents_are_verified_under_its_root_and_no_other() -> None:
    emulator = NsmEmulator(BootMeasurements(role_arn=ROLE))
    nsm = Nsm(emulator)
    await nsm.extend_pcr(16, b"mine")
    await nsm.lock_pcr(16)

    document = await nsm.attest(nonce=b"1", user_data=b"", public_key=None)

    roots = parse_roots(emulator.root_pem)
    verified = verify_attestation(document, roots=roots)
    assert (verified.nonce, verified.user_data, verified.public_key) == (
        b"1",
        b"",
        None,
    )
    assert verified.module_id == emulator.module_id
    assert verified.pcrs.keys() == set(range(17))
    assert verified.pcrs[3] == measure_role(ROLE)
    with pytest.raises(UntrustedRoot):
        verify_attestation(document)


async def test_in_debug_mode_its_documents_are_refused_unless_allowed() -> None:
    emulator = NsmEmulator(BootMeasurements(debug_mode=True))
    document = await Nsm(emulator).attest()
    roots = parse_roots(emulator.root_pem)

    with pytest.raises(DebugEnclave):
        verify_attestation(document, roots=roots)
    verify_attestation(
        document, roots=roots, policy=AttestationPolicy(allow_debug=True)
    )


async def test_pcr4_is_that_of_the_instance_in_its_name() -> None:
    emulator = NsmEmulator(BootMeasurements(instance_id="i-1234"))

    assert emulator.module_id == "i-1234-enc0123456789abcdef"
    pcr = await Nsm(emulator).describe_pcr(4)
    assert pcr.value == measure_instance("i-1234")


async def test_its_name_can_be_chosen() -> None:
    emulator = NsmEmulator(module_id="i-1-enc2")

    assert (await Nsm(emulator).describe()).module_id == "i-1-enc2"
    document = decode_attestation_untrusted(await Nsm(emulator).attest())
    assert document.module_id == "i-1-enc2"


async def test_its_clock_can_be_set() -> None:
    then = dt.datetime(2024, 2, 29, 12, 0, 0, 123000, tzinfo=dt.UTC)
    emulator = NsmEmulator(issuer=AttestationIssuer(clock=lambda: then))
    roots = parse_roots(emulator.root_pem)

    document = await Nsm(emulator).attest()

    assert verify_attestation(document, roots=roots, at=then).timestamp == then
    with pytest.raises(CertificateExpired):
        verify_attestation(document, roots=roots)


@pytest.mark.parametrize(
    ("form", "first"), [(MapForm.DEFINITE, 0xA9), (MapForm.INDEFINITE, 0xBF)]
)
async def test_both_forms_of_map_are_made(form: MapForm, first: int) -> None:
    emulator = NsmEmulator(issuer=AttestationIssuer(map_form=form))

    document = await Nsm(emulator).attest()

    assert cbor2.loads(document)[2][0] == first
    verify_attestation(document, roots=parse_roots(emulator.root_pem))


@pytest.mark.parametrize("field", ["user_data", "nonce", "public_key"])
async def test_what_is_too_long_is_refused(field: str) -> None:
    request = Attest(**{field: bytes(1025)})

    code = await refusal_of(NsmEmulator(), request)

    assert code == NsmErrorCode.INPUT_TOO_LARGE


async def test_too_long_a_request_is_refused() -> None:
    code = await refusal_of(NsmEmulator(), bytes(4097))

    assert code == NsmErrorCode.INPUT_TOO_LARGE


@pytest.mark.parametrize("data", [b"", b"\0", b"\x69GetRandom\0", b"\x65Error"])
async def test_what_is_no_request_is_refused(data: bytes) -> None:
    assert await refusal_of(NsmEmulator(), data) == NsmErrorCode.INVALID_OPERATION


async def test_entropy_is_what_the_kernel_s_driver_expects() -> None:
    """It compares these bytes, and takes no other encoding (``drivers/misc/nsm.c``)."""
    answer = await NsmEmulator().process(b"\x69GetRandom")

    assert answer[:22] == b"\xa1\x69GetRandom\xa1\x66random\x59\x01\x00"
    assert len(answer) == 278


def test_cancelled_anywhere_a_pcr_is_extended_wholly_or_not_at_all() -> None:
    async def scenario() -> None:
        nsm = Nsm(NsmEmulator())
        done = 0
        try:
            for _ in range(3):
                await nsm.extend_pcr(16, b"x")
                done += 1
        finally:
            with trio.CancelScope(shield=True):
                value = (await nsm.describe_pcr(16)).value
                expected = Nsm(NsmEmulator())
                for _ in range(done):
                    await expected.extend_pcr(16, b"x")
                assert value == (await expected.describe_pcr(16)).value

    cancel_at_every_step(scenario)
