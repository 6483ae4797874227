"""A chain of certificates, checked as a document's is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

from cryptography import x509

from tests.attestation.drafts import INSTANCE, LEAF, NOW, REGION, ROOT, ZONE
from trionitro.attestation._chain import check_chain_untrusted
from trionitro.testing._attestation_pki import CertificateProfile, SigningCertificate

AUTHORITIES = [ROOT, REGION, ZONE, INSTANCE]
BELOW_ROOT = [REGION, ZONE, INSTANCE, LEAF]


def check(
    chain: Sequence[SigningCertificate],
    at: dt.datetime = NOW,
    *,
    root: SigningCertificate | None = None,
) -> tuple[x509.Certificate, ...]:
    """Check ``chain`` under its own root, or under another."""
    trusted = (root or chain[0]).certificate
    return check_chain_untrusted([each.der for each in chain], [trusted], at)


def name_of(certificate: SigningCertificate) -> str:
    (name,) = certificate.profile.subject.get_attributes_for_oid(
        x509.NameOID.COMMON_NAME
    )
    return str(name.value)


def with_path_length(length: int) -> Callable[[CertificateProfile], CertificateProfile]:
    constraints = x509.BasicConstraints(ca=True, path_length=length)
    return lambda profile: profile.with_extension(constraints, critical=True)
