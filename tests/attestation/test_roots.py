from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from tests.vectors import VECTORS, needs_vectors
from trionitro import ConfigError
from trionitro.attestation import AWS_NITRO_ROOTS, parse_roots
from trionitro.attestation._roots import fingerprint_of, pinned_roots
from trionitro.testing import AttestationIssuer


def test_aws_s_root_is_the_one_that_aws_publishes() -> None:
    (root,) = AWS_NITRO_ROOTS

    assert root.fingerprint(hashes.SHA256()).hex() == (
        "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"
    )
    assert root.subject.rfc4514_string() == "CN=aws.nitro-enclaves,OU=AWS,O=Amazon,C=US"


@needs_vectors
def test_aws_s_root_is_the_vectors() -> None:
    pem = (VECTORS / "aws_nitro_root_g1.pem").read_bytes()

    assert parse_roots(pem) == AWS_NITRO_ROOTS


def test_an_emulator_s_root_can_be_read_and_is_not_aws_s() -> None:
    issuer = AttestationIssuer()

    assert parse_roots(issuer.root_pem) == (issuer.root.certificate,)
    assert issuer.root.certificate not in AWS_NITRO_ROOTS


def test_a_file_may_have_several_roots() -> None:
    issuers = [AttestationIssuer(), AttestationIssuer()]

    roots = parse_roots(b"".join(issuer.root_pem for issuer in issuers))

    assert list(roots) == [issuer.root.certificate for issuer in issuers]


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"\xff",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ],
)
def test_what_is_no_root_is_refused(pem: bytes) -> None:
    with pytest.raises(ConfigError, match="BEGIN CERTIFICATE"):
        parse_roots(pem)


def test_a_root_that_was_exchanged_in_the_package_is_noticed() -> None:
    (root,) = AWS_NITRO_ROOTS
    fingerprint = fingerprint_of(root.public_bytes(Encoding.DER))
    real, other = root.public_bytes(Encoding.PEM), AttestationIssuer().root_pem

    assert pinned_roots(real, fingerprint) == AWS_NITRO_ROOTS
    for exchanged in (other, real + other):
        with pytest.raises(RuntimeError, match="damaged"):
            pinned_roots(exchanged, fingerprint)
