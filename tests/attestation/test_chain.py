from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Sequence

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from tests.attestation.drafts import (
    INSTANCE,
    LEAF,
    MODULE_ID,
    NOW,
    REGION,
    ROOT,
    ZONE,
    Chain,
    chain_of,
    chain_with,
    good_chain,
    profiles,
)
from trionitro.attestation import (
    AttestationError,
    CertificateExpired,
    CertificateNotYetValid,
    LeafIsAuthority,
    MalformedCertificate,
    NotAnAuthority,
    PathTooLong,
    UnknownCriticalExtension,
    UntrustedChain,
    UntrustedRoot,
    WrongKeyUsage,
    WrongOrder,
)
from trionitro.attestation._chain import check_chain_untrusted, signing_key_of
from trionitro.testing._attestation_pki import (
    CertificateProfile,
    SigningCertificate,
    issue_certificate,
    issue_chain,
    key_usage,
)

Profile = CertificateProfile

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


def with_usage(*names: str) -> Callable[[Profile], Profile]:
    return lambda profile: profile.with_extension(key_usage(*names), critical=True)


def with_path_length(length: int) -> Callable[[Profile], Profile]:
    constraints = x509.BasicConstraints(ca=True, path_length=length)
    return lambda profile: profile.with_extension(constraints, critical=True)


def without(kind: type[x509.ExtensionType]) -> Callable[[Profile], Profile]:
    return lambda profile: attrs.evolve(
        profile,
        extensions=tuple(
            each for each in profile.extensions if not isinstance(each[0], kind)
        ),
    )


def test_a_chain_like_aws_s_is_returned() -> None:
    chain = good_chain()

    assert check(chain) == tuple(each.certificate for each in chain)


def test_a_chain_that_was_seen_before_is_checked_all_the_same() -> None:
    """Only that its certificates are signed by each other is remembered."""
    chain = good_chain()
    check(chain)

    with pytest.raises(UntrustedRoot):
        check(chain, root=chain_of(profiles())[ROOT])
    with pytest.raises(CertificateExpired):
        check(chain, NOW + dt.timedelta(days=9))
    with pytest.raises(UntrustedChain):
        check([*chain[:-1], chain_of(profiles())[-1]])


def test_one_of_several_roots_is_enough() -> None:
    chain = good_chain()
    other = chain_of(profiles())[ROOT]

    check_chain_untrusted(
        [each.der for each in chain], [other.certificate, chain[0].certificate], NOW
    )


def test_a_root_that_nobody_trusts_is_told_by_its_fingerprint() -> None:
    chain = good_chain()
    other = chain_of(profiles())[ROOT]

    with pytest.raises(UntrustedRoot) as caught:
        check(chain, root=other)

    expected = chain[ROOT].certificate.fingerprint(hashes.SHA256())
    assert caught.value.fingerprint == expected


def test_no_root_trusts_nothing() -> None:
    with pytest.raises(UntrustedRoot):
        check_chain_untrusted([each.der for each in good_chain()], [], NOW)


def test_a_root_of_the_same_name_and_key_is_another() -> None:
    """It could say anything else about itself: until when it is valid, for one."""
    root, *rest = good_chain()
    forged = attrs.evolve(root, certificate=resigned(root.certificate, root.key))

    with pytest.raises(UntrustedRoot):
        check((forged, *rest), root=root)


def resigned(
    certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    """Make the same self-signed certificate with another serial number."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(certificate.subject)
        .issuer_name(certificate.issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(certificate.not_valid_before_utc)
        .not_valid_after(certificate.not_valid_after_utc)
    )
    for extension in certificate.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(key, hashes.SHA384())


@pytest.mark.parametrize("position", BELOW_ROOT)
def test_the_issuer_must_have_signed(position: int) -> None:
    """A key that somebody else has made under the same name won't do."""
    chain = list(good_chain())
    impostor = issue_certificate(chain[position - 1].profile)
    chain[position] = issue_certificate(chain[position].profile, issuer=impostor)
    forged = (*chain[: position + 1], *reissued(chain[position + 1 :], chain[position]))

    with pytest.raises(UntrustedChain, match="don't lead to their root"):
        check(forged)


def reissued(chain: Sequence[SigningCertificate], by: SigningCertificate) -> Chain:
    return issue_chain([each.profile for each in chain], root=by)[1:]


@pytest.mark.parametrize(
    "order",
    [
        (ROOT, ZONE, REGION, INSTANCE, LEAF),
        (ROOT, REGION, INSTANCE, ZONE, LEAF),
        (ROOT, INSTANCE, ZONE, REGION, LEAF),
        (ROOT, REGION, ZONE, LEAF),
        (ROOT, REGION, ZONE, LEAF, INSTANCE),
        (ROOT, REGION, REGION, ZONE, INSTANCE, LEAF),
        (ROOT, ROOT, REGION, ZONE, INSTANCE, LEAF),
        (ROOT, REGION, ZONE, INSTANCE, LEAF, LEAF),
        (ROOT, ROOT),
        (ROOT, LEAF),
    ],
)
def test_the_order_is_from_the_root_to_the_signer(order: tuple[int, ...]) -> None:
    chain = good_chain()

    with pytest.raises(WrongOrder, match="out of order"):
        check([chain[position] for position in order])


def test_a_stranger_among_them_is_out_of_order() -> None:
    chain = good_chain()
    stranger = chain_of(profiles())[ZONE]

    with pytest.raises(WrongOrder):
        check([*chain[:ZONE], stranger, *chain[ZONE:]])


def test_many_certificates_of_one_name_are_no_maze() -> None:
    """Each of them could have issued each: paths without end, for whoever tries."""
    root = good_chain()[ROOT]
    again = attrs.evolve(
        profiles()[REGION], subject=root.profile.subject, extensions=()
    )
    maze = [issue_certificate(again, issuer=root) for _ in range(12)]

    with pytest.raises(WrongOrder):
        check([root, *maze, good_chain()[LEAF]])


def test_a_chain_has_an_end() -> None:
    """A path of eight is tried, whatever a root without a limit would allow."""
    authority = with_path_length(20)(profiles()[REGION])
    names = [
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"authority {number}")])
        for number in range(12)
    ]
    authorities = [attrs.evolve(authority, subject=name) for name in names]

    with pytest.raises(UntrustedChain, match="don't lead to their root"):
        check(chain_of([profiles()[ROOT], *authorities, profiles()[LEAF]]))


@pytest.mark.parametrize("position", range(5))
def test_an_expired_certificate_is_named_with_its_time(position: int) -> None:
    end = (NOW - dt.timedelta(seconds=2)).replace(microsecond=0)
    chain = chain_with(position, lambda profile: attrs.evolve(profile, not_after=end))

    with pytest.raises(CertificateExpired) as caught:
        check(chain)

    problem = caught.value
    assert (problem.subject, problem.not_after) == (name_of(chain[position]), end)
    assert problem.at == NOW


@pytest.mark.parametrize("position", range(5))
def test_a_certificate_of_the_future_is_named_with_its_time(position: int) -> None:
    begin = (NOW + dt.timedelta(seconds=2)).replace(microsecond=0)
    chain = chain_with(
        position, lambda profile: attrs.evolve(profile, not_before=begin)
    )

    with pytest.raises(CertificateNotYetValid) as caught:
        check(chain)

    problem = caught.value
    assert (problem.subject, problem.not_before) == (name_of(chain[position]), begin)
    assert problem.at == NOW


def test_validity_includes_both_of_its_ends() -> None:
    leaf = good_chain()[LEAF].profile

    check(good_chain(), leaf.not_before)
    check(good_chain(), leaf.not_after)
    with pytest.raises(CertificateNotYetValid):
        check(good_chain(), leaf.not_before - dt.timedelta(microseconds=1))
    with pytest.raises(CertificateExpired):
        check(good_chain(), leaf.not_after + dt.timedelta(microseconds=1))


def test_of_several_that_expired_the_first_to_do_so_is_named() -> None:
    with pytest.raises(CertificateExpired) as caught:
        check(good_chain(), NOW + dt.timedelta(days=1000))

    assert caught.value.subject == f"{MODULE_ID}.us-east-1.aws"
    assert caught.value.not_after == good_chain()[LEAF].profile.not_after


def test_the_time_is_the_same_in_every_zone() -> None:
    zone = dt.timezone(dt.timedelta(hours=-11))

    check(good_chain(), NOW.astimezone(zone))


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


@pytest.mark.parametrize("position", BELOW_ROOT)
def test_what_is_no_certificate_is_told_by_its_place(position: int) -> None:
    chain = [each.der for each in good_chain()]
    chain[position] = chain[position][:-1]

    with pytest.raises(MalformedCertificate) as caught:
        check_chain_untrusted(chain, [good_chain()[ROOT].certificate], NOW)

    assert caught.value.position == position


def test_names_can_t_write_on_a_terminal() -> None:
    """A message quotes what somebody has written who may be anybody."""
    name = x509.NameAttribute(x509.NameOID.COMMON_NAME, "\x1b[2J\nverified")
    chain = chain_with(
        LEAF,
        lambda profile: attrs.evolve(
            profile, subject=x509.Name([name]), not_after=NOW - dt.timedelta(seconds=2)
        ),
    )

    with pytest.raises(CertificateExpired) as caught:
        check(chain)

    assert str(caught.value).isprintable()


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


@given(position=st.sampled_from(BELOW_ROOT), data=st.binary(max_size=100))
def test_any_bytes_for_a_certificate_raise_attestation_errors_only(
    position: int, data: bytes
) -> None:
    chain = [each.der for each in good_chain()]
    chain[position] = data

    with pytest.raises(MalformedCertificate):
        check_chain_untrusted(chain, [good_chain()[ROOT].certificate], NOW)


@given(
    position=st.sampled_from(BELOW_ROOT),
    where=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
)
def test_a_flipped_bit_of_a_certificate_raises_attestation_errors_only(
    position: int, where: float, bit: int
) -> None:
    """Here a flip may go unnoticed, because the whole document is signed besides."""
    chain = [bytearray(each.der) for each in good_chain()]
    chain[position][int(where * len(chain[position]))] ^= 1 << bit

    with contextlib.suppress(AttestationError):
        signing_key_of(
            check_chain_untrusted(
                [bytes(each) for each in chain], [good_chain()[ROOT].certificate], NOW
            )[-1]
        )
