"""Certificate chains of the shape of AWS's, under a root that is not AWS's.

What each certificate says is a record, :class:`CertificateProfile`, so that a test
that needs a wrong one writes down what is wrong about it with ``attrs.evolve``. The
shapes are those measured on real documents of 2021 to 2025; the names say that
nobody at Amazon made them.

"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Iterable
from typing import Final, Self

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = [
    "LEAF_LIFETIME",
    "CertificateProfile",
    "SigningCertificate",
    "aws_profiles",
    "issue_certificate",
    "issue_chain",
    "key_usage",
    "root_profile",
]

#: An extension, and whether whoever doesn't know it must refuse the certificate.
Extension = tuple[x509.ExtensionType, bool]

#: Three hours, and the three seconds by which a leaf is older than its first document.
LEAF_LIFETIME: Final = dt.timedelta(hours=3, seconds=3)

_HEAD_START: Final = dt.timedelta(seconds=3)

#: Of the root, as long as AWS's: an emulator's clock may be set within.
_ROOT_VALIDITY: Final = (
    dt.datetime(2019, 10, 28, 13, 28, 5, tzinfo=dt.UTC),
    dt.datetime(2049, 10, 28, 14, 28, 5, tzinfo=dt.UTC),
)

_KEY_USAGES: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)

_CRL: Final = x509.CRLDistributionPoints(
    [
        x509.DistributionPoint(
            full_name=[
                x509.UniformResourceIdentifier("http://crl.invalid/emulated.crl")
            ],
            relative_name=None,
            reasons=None,
            crl_issuer=None,
        )
    ]
)


def key_usage(*names: str) -> x509.KeyUsage:
    """Make the extension that allows these usages, named as ``cryptography`` does."""
    return x509.KeyUsage(**{usage: usage in names for usage in _KEY_USAGES})


_CA_USAGE: Final = key_usage("digital_signature", "key_cert_sign", "crl_sign")
_INSTANCE_USAGE: Final = key_usage("key_cert_sign")
_LEAF_USAGE: Final = key_usage("digital_signature", "content_commitment")


@attrs.frozen(kw_only=True)
class CertificateProfile:
    """What a certificate says, but for keys and issuer.

    Attributes:
      subject: whose it is.
      not_before: when it begins to be valid.
      not_after: when it has been valid for the last time.
      extensions: in order, each with whether it is critical.
      has_key_identifiers: whether it says which keys it is about: its own, and, but
          for a root, its issuer's.

    """

    subject: x509.Name
    not_before: dt.datetime
    not_after: dt.datetime
    extensions: tuple[Extension, ...]
    has_key_identifiers: bool = True

    def covers(self, begin: dt.datetime, end: dt.datetime) -> bool:
        """Tell whether it is valid all the time from ``begin`` to ``end``."""
        return self.not_before <= begin and end <= self.not_after

    def with_extension(self, value: x509.ExtensionType, *, critical: bool) -> Self:
        """Return a profile with this extension, in place of one of its kind."""
        others = tuple(each for each in self.extensions if each[0].oid != value.oid)
        return attrs.evolve(self, extensions=(*others, (value, critical)))


@attrs.frozen(eq=False)
class SigningCertificate:
    """A certificate, together with the key it is about.

    Attributes:
      certificate: what others may see.
      key: the private key, on P-384.
      profile: what it was made from.

    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = attrs.field(repr=False)
    profile: CertificateProfile = attrs.field(repr=False)

    @property
    def der(self) -> bytes:
        """The certificate, as attestation documents carry it."""
        return self.certificate.public_bytes(serialization.Encoding.DER)


def issue_certificate(
    profile: CertificateProfile, *, issuer: SigningCertificate | None = None
) -> SigningCertificate:
    """Make a key, and a certificate for it.

    Args:
      profile: what it is to say.
      issuer: who signs it, or None for itself.

    """
    key = ec.generate_private_key(ec.SECP384R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(profile.subject)
        .issuer_name(issuer.profile.subject if issuer else profile.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(profile.not_before)
        .not_valid_after(profile.not_after)
    )
    for value, critical in profile.extensions:
        builder = builder.add_extension(value, critical=critical)
    if profile.has_key_identifiers:
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(own, critical=False)
        if issuer is not None:
            theirs = x509.AuthorityKeyIdentifier.from_issuer_public_key(
                issuer.key.public_key()
            )
            builder = builder.add_extension(theirs, critical=False)
    signing_key = issuer.key if issuer else key
    return SigningCertificate(builder.sign(signing_key, hashes.SHA384()), key, profile)


def issue_chain(
    profiles: Iterable[CertificateProfile], *, root: SigningCertificate
) -> tuple[SigningCertificate, ...]:
    """Make a certificate for each profile, each signed by the one before.

    Args:
      profiles: from the one that ``root`` signs, to the leaf.
      root: who signs the first; it is the first of the result.

    """
    chain = [root]
    for profile in profiles:
        chain.append(issue_certificate(profile, issuer=chain[-1]))
    return tuple(chain)


def root_profile() -> CertificateProfile:
    """Describe a root as AWS's: valid from 2019 to 2049, for chains of any length."""
    return CertificateProfile(
        subject=_name(_COUNTRY, _ORGANIZATION, _UNIT, _common("aws.nitro-enclaves")),
        not_before=_ROOT_VALIDITY[0],
        not_after=_ROOT_VALIDITY[1],
        extensions=(_ca(None), (_CA_USAGE, True)),
    )


def aws_profiles(
    module_id: str, region: str, now: dt.datetime
) -> tuple[CertificateProfile, ...]:
    """Describe what AWS puts below its root: region, zone, instance, and the leaf.

    Args:
      module_id: of the enclave, which is ``<instance id>-enc<number>``.
      region: for example ``us-east-1``.
      now: when the leaf is first used. The others have been valid for a while.

    """
    domain = f"{region}.aws.nitro-enclaves"
    instance = module_id.partition("-enc")[0]
    now = now.replace(microsecond=0)  # certificates know whole seconds only
    return (
        CertificateProfile(
            subject=_name(
                *(_COUNTRY, _ORGANIZATION, _UNIT),
                _common(f"{secrets.token_hex(8)}.{domain}"),
            ),
            not_before=now - dt.timedelta(days=4),
            not_after=now + dt.timedelta(days=16, hours=1),
            extensions=(_ca(2), (_CA_USAGE, True), (_CRL, False)),
        ),
        CertificateProfile(
            subject=_name(
                _common(f"{secrets.token_hex(8)}.zonal.{domain}"),
                *(_UNIT, _ORGANIZATION, _COUNTRY),
                *(_state("WA"), _SEATTLE),
            ),
            not_before=now - dt.timedelta(days=1),
            not_after=now + dt.timedelta(days=4, hours=19),
            extensions=(_ca(1), (_CA_USAGE, True), (_CRL, False)),
        ),
        CertificateProfile(
            subject=_machine_name(f"{instance}.{domain}"),
            not_before=now - dt.timedelta(hours=5),
            not_after=now + dt.timedelta(hours=19),
            extensions=(_ca(0), (_INSTANCE_USAGE, True)),
        ),
        CertificateProfile(
            subject=_machine_name(f"{module_id}.{region}.aws"),
            not_before=now - _HEAD_START,
            not_after=now - _HEAD_START + LEAF_LIFETIME,
            extensions=(
                (x509.BasicConstraints(ca=False, path_length=None), True),
                (_LEAF_USAGE, False),
            ),
            has_key_identifiers=False,
        ),
    )


def _ca(path_length: int | None) -> Extension:
    return x509.BasicConstraints(ca=True, path_length=path_length), True


def _name(*attributes: x509.NameAttribute[str]) -> x509.Name:
    return x509.Name(attributes)


def _common(name: str) -> x509.NameAttribute[str]:
    return x509.NameAttribute(NameOID.COMMON_NAME, name)


def _state(name: str) -> x509.NameAttribute[str]:
    return x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, name)


_COUNTRY: Final = x509.NameAttribute(NameOID.COUNTRY_NAME, "US")
_SEATTLE: Final = x509.NameAttribute(NameOID.LOCALITY_NAME, "Seattle")
# Amazon and AWS stand here in theirs: nobody shall take one for the other.
_ORGANIZATION: Final = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "trionitro")
_UNIT: Final = x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "emulated")


def _machine_name(common_name: str) -> x509.Name:
    return _name(
        *(_COUNTRY, _state("Washington"), _SEATTLE, _ORGANIZATION, _UNIT),
        _common(common_name),
    )
