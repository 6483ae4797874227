"""What each certificate of a chain has to say of itself, and of its key."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.attestation.checking import AUTHORITIES, check, name_of, with_path_length
from tests.attestation.drafts import (
    INSTANCE,
    LEAF,
    NOW,
    REGION,
    ROOT,
    ZONE,
    chain_with,
    good_chain,
)
from trionitro.attestation import (
    LeafIsAuthority,
    NotAnAuthority,
    PathTooLong,
    UnknownCriticalExtension,
    UntrustedChain,
    WrongKeyUsage,
)
from trionitro.attestation._chain import signing_key_of
from trionitro.testing._attestation_pki import CertificateProfile, key_usage

Profile = CertificateProfile


def with_usage(*names: str) -> Callable[[Profile], Profile]:
    return lambda profile: profile.with_extension(key_usage(*names), critical=True)


def without(kind: type[x509.ExtensionType]) -> Callable[[Profile], Profile]:
    return lambda profile: attrs.evolve(
        profile,
        extensions=tuple(
            each for each in profile.extensions if not isinstance(each[0], kind)
        ),
    )


@pytest.mark.parametrize("position", AUTHORITIES)
@pytest.mark.parametrize(
    "change",
    [
        without(x509.BasicConstraints),
        lambda profile: profile.with_extension(
            x509.BasicConstraints(ca=False, path_length=None), critical=True
        ),
    ],
    ids=["says nothing", "says no"],
)
def test_an_issuer_must_be_an_authority(
    position: int, change: Callable[[Profile], Profile]
) -> None:
    chain = chain_with(position, change)

    with pytest.raises(NotAnAuthority) as caught:
        check(chain)

    assert caught.value.subject == name_of(chain[position])


@pytest.mark.parametrize(
    ("position", "length", "below"), [(ROOT, 2, 3), (REGION, 1, 2), (ZONE, 0, 1)]
)
def test_no_more_authorities_than_a_certificate_allows(
    position: int, length: int, below: int
) -> None:
    chain = chain_with(position, with_path_length(length))

    with pytest.raises(PathTooLong) as caught:
        check(chain)

    assert caught.value.subject == name_of(chain[position])
    assert (caught.value.path_length, caught.value.below) == (length, below)


def test_a_certificate_may_allow_more_authorities_than_there_are() -> None:
    check(chain_with(ROOT, with_path_length(3)))
    check(chain_with(INSTANCE, with_path_length(7)))


@pytest.mark.parametrize("position", AUTHORITIES)
@pytest.mark.parametrize(
    "change",
    [without(x509.KeyUsage), with_usage("digital_signature", "crl_sign")],
    ids=["says nothing", "says no"],
)
def test_an_authority_must_be_allowed_to_sign_certificates(
    position: int, change: Callable[[Profile], Profile]
) -> None:
    chain = chain_with(position, change)

    with pytest.raises(WrongKeyUsage) as caught:
        check(chain)

    assert caught.value.subject == name_of(chain[position])
    assert caught.value.usage == "keyCertSign"


@pytest.mark.parametrize(
    "change",
    [without(x509.KeyUsage), with_usage("content_commitment", "key_agreement")],
    ids=["says nothing", "says no"],
)
def test_the_signer_must_be_allowed_to_sign(
    change: Callable[[Profile], Profile],
) -> None:
    with pytest.raises(WrongKeyUsage) as caught:
        check(chain_with(LEAF, change))

    assert caught.value.usage == "digitalSignature"


def test_the_signer_must_not_be_an_authority() -> None:
    chain = chain_with(LEAF, with_path_length(0))

    with pytest.raises(LeafIsAuthority) as caught:
        check(chain)

    assert caught.value.subject == name_of(chain[LEAF])


def test_the_signer_need_not_say_that_it_is_no_authority() -> None:
    check(chain_with(LEAF, without(x509.BasicConstraints)))


@pytest.mark.parametrize("position", range(5))
@pytest.mark.parametrize(
    "extension",
    [
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"),
        x509.NameConstraints([x509.DNSName("example.com")], None),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]),
    ],
    ids=["of nobody", "name constraints", "extended key usage"],
)
def test_a_critical_extension_must_be_known(
    position: int, extension: x509.ExtensionType
) -> None:
    """Here two of them are, which is all that AWS's certificates have."""
    chain = chain_with(
        position, lambda profile: profile.with_extension(extension, critical=True)
    )

    with pytest.raises(UnknownCriticalExtension) as caught:
        check(chain)

    assert caught.value.subject == name_of(chain[position])
    assert caught.value.oid == extension.oid.dotted_string


@pytest.mark.parametrize("position", range(5))
def test_an_extension_that_is_not_critical_need_not_be_known(position: int) -> None:
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"?")

    check(
        chain_with(
            position, lambda profile: profile.with_extension(extension, critical=False)
        )
    )


@pytest.mark.parametrize("position", [REGION, INSTANCE])
def test_an_authority_s_extensions_must_be_critical(position: int) -> None:
    """As all of AWS's are; somebody who doesn't know them must not be misled."""
    chain = chain_with(
        position,
        lambda profile: profile.with_extension(
            key_usage("key_cert_sign"), critical=False
        ),
    )

    with pytest.raises(UntrustedChain, match="don't lead to their root"):
        check(chain)


def test_no_certificate_needs_key_identifiers() -> None:
    """AWS's instances had none until 2024."""
    check(
        chain_with(
            INSTANCE, lambda profile: attrs.evolve(profile, has_key_identifiers=False)
        )
    )


def test_documents_are_signed_on_p_384_only() -> None:
    on_p384 = good_chain()[LEAF]
    others: list[ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey] = [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.BrainpoolP384R1()),
        rsa.generate_private_key(65537, 2048),
    ]

    assert signing_key_of(on_p384.certificate) == on_p384.key.public_key()
    for certificate in map(certificate_for, others):
        with pytest.raises(UntrustedChain, match="P-384"):
            signing_key_of(certificate)


def test_a_key_of_no_known_kind_signs_nothing() -> None:
    """Here it is on a curve that has a number, and nothing else."""
    der = good_chain()[LEAF].der.replace(P384, P384[:-1] + b"\x63", 1)

    with pytest.raises(UntrustedChain, match="no known kind"):
        signing_key_of(x509.load_der_x509_certificate(der))


#: The object identifier 1.3.132.0.34, as DER.
P384 = bytes.fromhex("06052b81040022")


def test_a_signer_without_a_name_is_called_so() -> None:
    chain = chain_with(
        LEAF,
        lambda profile: attrs.evolve(
            with_usage("key_agreement")(profile), subject=x509.Name([])
        ),
    )

    with pytest.raises(WrongKeyUsage, match="no common name"):
        check(chain)


def certificate_for(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + dt.timedelta(1))
        .sign(key, hashes.SHA256())
    )
