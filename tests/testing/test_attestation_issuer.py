from __future__ import annotations

import datetime as dt
from typing import Any

import cbor2
import pytest
from cryptography import x509

from tests.attestation.drafts import MODULE_ID, NOW, PCRS
from tests.attestation.real import VERIFYING, RealDocument
from trionitro.attestation import (
    UntrustedRoot,
    decode_attestation_untrusted,
    verify_attestation,
)
from trionitro.testing import AttestationIssuer, MapForm


class Clock:
    """Time that a test sets."""

    def __init__(self, now: dt.datetime) -> None:
        """Begin at a time."""
        self.now = now

    def __call__(self) -> dt.datetime:
        """Tell the time."""
        return self.now


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock(NOW)


@pytest.fixture(name="issuer")
def _issuer(clock: Clock) -> AttestationIssuer:
    return AttestationIssuer(clock=clock)


def certificates(document: bytes) -> list[bytes]:
    decoded = decode_attestation_untrusted(document)
    return [*decoded.cabundle, decoded.certificate]


def payload_of(document: bytes) -> bytes:
    payload = cbor2.loads(document)[2]
    assert isinstance(payload, bytes)
    return payload


def test_a_document_passes_as_aws_s_do_under_its_own_root(
    issuer: AttestationIssuer,
) -> None:
    document = issuer.issue(MODULE_ID, PCRS, public_key=b"key", nonce=b"")

    verified = verify_attestation(
        document, roots=[issuer.root.certificate], at=issuer.clock()
    )

    assert verified.timestamp == NOW
    assert dict(verified.pcrs) == PCRS
    assert (verified.public_key, verified.user_data, verified.nonce) == (
        *(b"key", None),
        b"",
    )
    with pytest.raises(UntrustedRoot):
        verify_attestation(document, at=issuer.clock())


@pytest.mark.parametrize("real", VERIFYING, ids=lambda real: real.name)
def test_a_document_looks_like_one_of_aws_s(real: RealDocument) -> None:
    """All but names, keys, numbers and what the fields contain."""
    form = (
        MapForm.INDEFINITE
        if real.facts["checks"]["payload_map_indefinite_length"]
        else MapForm.DEFINITE
    )
    clock = Clock(dt.datetime.fromisoformat(real.facts["document"]["timestamp_iso"]))
    issuer = AttestationIssuer(clock=clock, map_form=form)
    theirs = decode_attestation_untrusted(real.data)
    fields = {
        name: getattr(theirs, name) for name in ("public_key", "user_data", "nonce")
    }

    ours = issuer.issue(theirs.module_id, theirs.pcrs, **fields)

    assert ours[:8] == real.data[:8]
    assert len(ours) == pytest.approx(len(real.data), abs=250)
    own, their = (cbor2.loads(payload_of(each)) for each in (ours, real.data))
    assert list(own) == list(their)
    for name in ("module_id", "digest", "timestamp", "pcrs", *fields):
        assert own[name] == their[name]
    assert payload_of(ours)[:12] == payload_of(real.data)[:12]
    assert payload_of(ours)[-1] == payload_of(real.data)[-1]


@pytest.mark.parametrize("real", VERIFYING, ids=lambda real: real.name)
def test_the_certificates_say_what_aws_s_say(real: RealDocument) -> None:
    document = AttestationIssuer().issue(MODULE_ID, PCRS)
    pairs = zip(certificates(document), certificates(real.data), strict=True)

    for position, (own, their) in enumerate(pairs):
        ours, theirs = described(own), described(their)
        if position == 3:  # AWS's instances had no key identifiers until 2024
            for oid in x509.SubjectKeyIdentifier.oid, x509.AuthorityKeyIdentifier.oid:
                assert ours["extensions"].pop(oid) is False
                theirs["extensions"].pop(oid, None)
        assert ours == theirs


def described(der: bytes) -> dict[str, Any]:
    certificate = x509.load_der_x509_certificate(der)
    extensions = certificate.extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
    return {
        "names": [attribute.oid for attribute in certificate.subject],
        "signature": certificate.signature_algorithm_oid,
        "key": certificate.public_key_algorithm_oid,
        "extensions": {each.oid: each.critical for each in extensions},
        "constraints": (constraints.ca, constraints.path_length),
        "usage": extensions.get_extension_for_class(x509.KeyUsage).value,
    }


def test_a_leaf_serves_for_three_hours(issuer: AttestationIssuer, clock: Clock) -> None:
    first = certificates(issuer.issue(MODULE_ID, PCRS))
    clock.now = NOW + dt.timedelta(hours=2, minutes=59)
    late = certificates(issuer.issue(MODULE_ID, PCRS))
    clock.now = NOW + dt.timedelta(hours=3, seconds=1)
    next_one = certificates(issuer.issue(MODULE_ID, PCRS))

    assert late == first
    assert next_one[:4] == first[:4]
    assert next_one[4] != first[4]


@pytest.mark.parametrize(
    ("days", "kept"), [(0, 5), (0.5, 4), (1, 3), (5, 2), (40, 1), (-0.1, 4), (-10, 1)]
)
def test_what_is_not_valid_any_more_or_not_yet_is_replaced(
    issuer: AttestationIssuer, clock: Clock, days: float, kept: int
) -> None:
    """The clock may be set to any time that the root knows."""
    first = certificates(issuer.issue(MODULE_ID, PCRS))

    clock.now = NOW + dt.timedelta(days=days)
    document = issuer.issue(MODULE_ID, PCRS)

    verify_attestation(document, roots=[issuer.root.certificate], at=clock.now)
    then = certificates(document)
    assert then[:kept] == first[:kept]
    assert not {*then[kept:]} & {*first}


def test_each_enclave_has_a_leaf_of_its_own(issuer: AttestationIssuer) -> None:
    one, other = (
        certificates(issuer.issue(module_id, PCRS))
        for module_id in (MODULE_ID, "i-0-enc1")
    )

    assert one[0] == other[0]
    assert one[4] != other[4]


def test_nobody_takes_its_certificates_for_amazon_s(issuer: AttestationIssuer) -> None:
    for der in certificates(issuer.issue(MODULE_ID, PCRS)):
        subject = x509.load_der_x509_certificate(der).subject.rfc4514_string()
        assert "Amazon" not in subject
        assert "OU=emulated" in subject


def test_keys_are_in_no_repr(issuer: AttestationIssuer) -> None:
    assert "key" not in repr(issuer)
