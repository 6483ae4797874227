"""A chain of certificates: its root, its order, its signatures, and its time."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Sequence

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from tests.attestation.checking import BELOW_ROOT, check, name_of, with_path_length
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
    MalformedCertificate,
    UntrustedChain,
    UntrustedRoot,
    WrongOrder,
)
from trionitro.attestation._chain import check_chain_untrusted, signing_key_of
from trionitro.testing._attestation_pki import (
    SigningCertificate,
    issue_certificate,
    issue_chain,
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
