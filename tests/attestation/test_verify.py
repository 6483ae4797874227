from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable

import attrs
import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from tests.attestation.drafts import (
    LEAF,
    MODULE_ID,
    NOW,
    PCRS,
    Draft,
    chain_of,
    good_chain,
    good_draft,
    profiles,
)
from tests.attestation.real import REAL, VERIFYING, RealDocument
from tests.vectors import VECTORS, needs_vectors
from trionitro.attestation import (
    AWS_NITRO_ROOTS,
    At,
    AttestationDocument,
    AttestationError,
    AttestationPolicy,
    BadSignature,
    CertificateExpired,
    DebugEnclave,
    MalformedDocument,
    PcrMismatch,
    UnsupportedAlgorithm,
    UntrustedRoot,
    decode_attestation_untrusted,
    verify_attestation,
)
from trionitro.testing import AttestationIssuer, MapForm
from trionitro.testing._attestation_issuer import sign_document

ROOTS = (good_chain()[0].certificate,)
ANYTHING = AttestationPolicy(allow_debug=True)

#: Why each of those that don't verify doesn't, by the beginning of its SHA-256.
REASONS: dict[str, type[AttestationError]] = {
    "7df2cdc0": BadSignature,
    "a132128a": UntrustedRoot,
}


def verify_real(document: RealDocument) -> AttestationDocument:
    return verify_attestation(document.data, at=At.DOCUMENT_TIMESTAMP, policy=ANYTHING)


@needs_vectors
def test_there_are_as_many_real_documents_as_there_should_be() -> None:
    assert len(REAL) == 18
    assert len(VERIFYING) == 16


@pytest.mark.parametrize("real", REAL, ids=lambda real: real.name)
def test_a_real_document_has_the_verdict_that_is_known(real: RealDocument) -> None:
    """At its own timestamp, under AWS's root."""
    assert hashlib.sha256(real.data).hexdigest() == real.facts["sha256"]
    if real.verifies:
        verify_real(real)
        return

    with pytest.raises(AttestationError) as caught:
        verify_real(real)

    assert type(caught.value) is REASONS[real.name[-8:]]


@pytest.mark.parametrize("real", REAL, ids=lambda real: real.name)
def test_a_real_document_says_what_is_known(real: RealDocument) -> None:
    document = decode_attestation_untrusted(real.data)

    known = real.facts["document"]
    assert document.module_id == known["module_id"]
    assert document.timestamp == dt.datetime.fromisoformat(known["timestamp_iso"])
    assert {str(index): pcr.hex() for index, pcr in document.pcrs.items()} == (
        known["pcrs"]
    )
    for name in ("public_key", "user_data", "nonce"):
        value = getattr(document, name)
        assert (None if value is None else value.hex()) == known[name]
    assert document.is_debug is real.is_debug


@pytest.mark.parametrize("real", VERIFYING, ids=lambda real: real.name)
def test_today_a_real_document_has_expired_when_it_is_known_to(
    real: RealDocument,
) -> None:
    with pytest.raises(CertificateExpired) as caught:
        verify_attestation(real.data, policy=ANYTHING)

    problem = caught.value
    assert problem.not_after == real.valid_until
    assert problem.subject.startswith(real.facts["document"]["module_id"])
    assert real.valid_until.strftime("%Y-%m-%dT%H:%M:%SZ") in str(problem)


@pytest.mark.parametrize("real", VERIFYING, ids=lambda real: real.name)
def test_a_real_document_is_valid_until_its_leaf_is_not(real: RealDocument) -> None:
    second = dt.timedelta(seconds=1)
    begin = dt.datetime.fromisoformat(real.facts["chain_valid_from"])

    for at in (begin, real.valid_until):
        policy = attrs.evolve(ANYTHING, max_skew=dt.timedelta(hours=3))
        verify_attestation(real.data, at=at, policy=policy)
    for at in (begin - second, real.valid_until + second):
        with pytest.raises(AttestationError, match="the certificate of"):
            verify_attestation(real.data, at=at, policy=ANYTHING)


@pytest.mark.parametrize("real", VERIFYING, ids=lambda real: real.name)
def test_a_real_debug_enclave_is_refused_unless_it_is_allowed(
    real: RealDocument,
) -> None:
    if not real.is_debug:
        verify_attestation(real.data, at=At.DOCUMENT_TIMESTAMP)
        return
    with pytest.raises(DebugEnclave):
        verify_attestation(real.data, at=At.DOCUMENT_TIMESTAMP)


@pytest.mark.parametrize("real", VERIFYING, ids=lambda real: real.name)
def test_a_real_document_is_nothing_under_another_root(real: RealDocument) -> None:
    with pytest.raises(UntrustedRoot):
        verify_attestation(
            real.data, roots=ROOTS, at=At.DOCUMENT_TIMESTAMP, policy=ANYTHING
        )


@needs_vectors
def test_qemu_s_unsigned_document_can_be_shown_and_never_verifies() -> None:
    data = (VECTORS / "attestation/qemu_virtio_nsm_unsigned.bin").read_bytes()

    assert decode_attestation_untrusted(data).algorithm == -1
    with pytest.raises(UnsupportedAlgorithm, match=r"-1\b.*QEMU") as caught:
        verify_attestation(data, at=At.DOCUMENT_TIMESTAMP, policy=ANYTHING)

    assert caught.value.algorithm == -1


@pytest.mark.parametrize("form", MapForm)
def test_an_emulated_document_passes_with_its_root_and_fails_without(
    form: MapForm,
) -> None:
    """Now, as in production: nothing here is told that it is emulated."""
    issuer = AttestationIssuer(map_form=form)
    data = issuer.issue(MODULE_ID, PCRS, nonce=b"nonce", user_data=b"")
    policy = AttestationPolicy(pcrs=PCRS, nonce=b"nonce", user_data=b"", max_age=60)

    document = verify_attestation(data, roots=[issuer.root.certificate], policy=policy)

    assert document.module_id == MODULE_ID
    assert document.public_key is None
    assert len(document.chain) == 5
    for roots in (AWS_NITRO_ROOTS, (), [AttestationIssuer().root.certificate]):
        with pytest.raises(UntrustedRoot):
            verify_attestation(data, roots=roots, policy=policy)


def test_both_roots_may_be_trusted_at_once() -> None:
    issuer = AttestationIssuer()
    data = issuer.issue(MODULE_ID, PCRS)

    verify_attestation(data, roots=[*AWS_NITRO_ROOTS, issuer.root.certificate])


def test_the_policy_is_asked_last() -> None:
    """A mismatch is told of genuine documents only."""
    policy = AttestationPolicy(pcrs={0: b"?" * 48})
    draft = good_draft()
    forged = sign_document(draft.payload(), ec.generate_private_key(ec.SECP384R1()))

    with pytest.raises(PcrMismatch):
        verify_attestation(draft.signed(), roots=ROOTS, at=NOW, policy=policy)
    with pytest.raises(BadSignature):
        verify_attestation(forged, roots=ROOTS, at=NOW, policy=policy)


def test_a_document_signed_by_another_enclave_is_refused() -> None:
    """Its own certificates are in it, and somebody else's key has signed it."""
    other = chain_of(profiles())[LEAF]

    with pytest.raises(BadSignature):
        verify_attestation(
            sign_document(good_draft().payload(), other.key), roots=ROOTS, at=NOW
        )


@pytest.mark.parametrize("algorithm", [-7, -36, -37, -47, 35])
def test_no_other_algorithm_will_do(algorithm: int) -> None:
    data = sign_document(
        good_draft().payload(),
        good_chain()[LEAF].key,
        protected=cbor2.dumps({1: algorithm}),
    )

    with pytest.raises(UnsupportedAlgorithm) as caught:
        verify_attestation(data, roots=ROOTS, at=NOW)

    assert caught.value.algorithm == algorithm


def test_fields_of_tomorrow_are_signed_too() -> None:
    draft = good_draft().with_(weather="fine")

    verify_attestation(draft.signed(), roots=ROOTS, at=NOW)


def test_a_time_without_a_zone_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="has no zone"):
        verify_attestation(
            good_draft().signed(), roots=ROOTS, at=NOW.replace(tzinfo=None)
        )


def test_its_own_time_must_be_one_at_which_it_is_valid() -> None:
    late = NOW + dt.timedelta(hours=4)
    draft = good_draft().with_(timestamp=round(late.timestamp() * 1000))

    with pytest.raises(CertificateExpired) as caught:
        verify_attestation(draft.signed(), roots=ROOTS, at=At.DOCUMENT_TIMESTAMP)

    assert caught.value.at == late


@pytest.mark.parametrize(
    "change",
    [
        lambda draft: draft.with_(cabundle=[*draft.fields["cabundle"], b"x"]),
        lambda draft: draft.with_(certificate=b"x"),
        lambda draft: draft.with_(certificate=draft.fields["cabundle"][0]),
        lambda draft: draft.with_(cabundle=draft.fields["cabundle"][:1]),
        lambda draft: draft.with_(cabundle=draft.fields["cabundle"][1:]),
        lambda draft: draft.with_(cabundle=draft.fields["cabundle"][::-1]),
    ],
)
def test_certificates_that_don_t_fit_are_refused(
    change: Callable[[Draft], Draft],
) -> None:
    with pytest.raises(AttestationError, match=r"chain|certificate"):
        verify_attestation(change(good_draft()).signed(), roots=ROOTS, at=NOW)


@given(data=st.binary(max_size=500))
def test_any_bytes_raise_attestation_errors_only(data: bytes) -> None:
    with pytest.raises(AttestationError):
        verify_attestation(data)


@given(data=st.data())
def test_pieces_of_a_document_raise_attestation_errors_only(
    data: st.DataObject,
) -> None:
    whole = good_draft().signed()
    cut = data.draw(st.integers(0, len(whole) - 1))

    with pytest.raises(MalformedDocument):
        verify_attestation(whole[:cut], roots=ROOTS, at=NOW)
