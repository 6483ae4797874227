"""From a trusted root to whoever signed the document.

Whether each certificate is signed by the one before is for ``cryptography`` to say,
which builds the path. The rules that it doesn't know, and those whose violation
should be told by name, are checked here first: AWS's specification
(``docs/attestation_process.md``, §3.2.3) has them.

"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
)

from trionitro._structuring import quote
from trionitro.attestation._certificates import (
    ChainCertificate,
    read_certificate_untrusted,
)
from trionitro.attestation._chain_errors import (
    CertificateExpired,
    CertificateNotYetValid,
    LeafIsAuthority,
    NotAnAuthority,
    PathTooLong,
    UnknownCriticalExtension,
    UntrustedChain,
    UntrustedRoot,
    WrongKeyUsage,
    WrongOrder,
)
from trionitro.attestation._roots import fingerprint_of

__all__ = ["check_chain_untrusted", "signing_key_of"]

#: What is looked at here, and so may be critical.
_KNOWN_EXTENSIONS: Final = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS.dotted_string,
        ExtensionOID.KEY_USAGE.dotted_string,
    }
)

#: How many chains are remembered, of up to a kilobyte for each certificate.
_REMEMBERED: Final = 128

# AWS's certificates name no hosts and no purposes, which the default policies, made
# for the web, insist on. What is demanded of authorities here is what all of AWS's
# have.
_PATHS: Final = PolicyBuilder().extension_policies(
    ca_policy=ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.CRITICAL, None)
    .require_present(x509.KeyUsage, Criticality.CRITICAL, None),
    ee_policy=ExtensionPolicy.permit_all(),
)


def check_chain_untrusted(
    certificates: Sequence[bytes], roots: Iterable[x509.Certificate], at: dt.datetime
) -> tuple[x509.Certificate, ...]:
    """Return the certificates, if they lead from a root to whoever is the last.

    Args:
      certificates: as DER, the root first.
      roots: whom to trust.
      at: when all of them have to be valid, with a zone.

    Raises:
      UntrustedChain: if they don't.

    """
    _check_root(certificates[0], roots)
    links = [
        read_certificate_untrusted(der, position)
        for position, der in enumerate(certificates)
    ]
    _check_order(links)
    _check_validity(links, at)
    for below, authority in enumerate(reversed(links[:-1])):
        _check_authority(authority, below)
    _check_signer(links[-1])
    for link in links:
        _check_critical_extensions(link)
    _check_path(tuple(certificates))
    return tuple(link.certificate for link in links)


def signing_key_of(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """Return the key that signs documents.

    Raises:
      UntrustedChain: if it is of another kind than ES384 needs.

    """
    try:
        key = certificate.public_key()
    except Exception as problem:
        raise UntrustedChain("the key of the signer is of no known kind") from problem
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(
        key.curve, ec.SECP384R1
    ):
        raise UntrustedChain("the key of the signer is not on P-384, as ES384 demands")
    return key


def _check_root(der: bytes, roots: Iterable[x509.Certificate]) -> None:
    """Return if a root is just these bytes: its name and its key are not enough."""
    if all(root.public_bytes(Encoding.DER) != der for root in roots):
        raise UntrustedRoot(fingerprint_of(der))


def _check_order(links: Sequence[ChainCertificate]) -> None:
    """Check that each is issued by the one before, and that no name comes twice.

    Names that are all different leave the path builder nothing to choose: there is
    one path, of this order, however long somebody has made the chain.

    """
    seen = [links[0].subject]
    for issuer, link in pairwise(links):
        if link.issuer != issuer.subject or link.subject in seen:
            raise WrongOrder(link.name, issuer.name)
        seen.append(link.subject)


def _check_validity(links: Sequence[ChainCertificate], at: dt.datetime) -> None:
    # All that expired are reported by that which expired first: from then on, none
    # of the others could have helped.
    first = min(links, key=lambda link: link.not_after)
    if first.not_after < at:
        raise CertificateExpired(first.name, first.not_after, at)
    last = max(links, key=lambda link: link.not_before)
    if at < last.not_before:
        raise CertificateNotYetValid(last.name, last.not_before, at)


def _check_authority(link: ChainCertificate, below: int) -> None:
    if link.constraints is None or not link.constraints.ca:
        raise NotAnAuthority(link.name)
    limit = link.constraints.path_length
    if limit is not None and below > limit:
        raise PathTooLong(link.name, limit, below)
    if link.usage is None or not link.usage.key_cert_sign:
        raise WrongKeyUsage(link.name, "keyCertSign")


def _check_signer(link: ChainCertificate) -> None:
    if link.constraints is not None and link.constraints.ca:
        raise LeafIsAuthority(link.name)
    if link.usage is None or not link.usage.digital_signature:
        raise WrongKeyUsage(link.name, "digitalSignature")


def _check_critical_extensions(link: ChainCertificate) -> None:
    for unknown in sorted(link.critical - _KNOWN_EXTENSIONS):
        raise UnknownCriticalExtension(link.name, unknown)


# Four of the five signatures of a document are of certificates that are valid for hours
# or days, and come with every document of the same enclave. That these very bytes lead
# to those of the root is a fact, whatever the time is and whoever asks, and may be
# remembered. What is found wrong is not, so that nonsense takes nobody's place.
@functools.lru_cache(maxsize=_REMEMBERED)
def _check_path(certificates: tuple[bytes, ...]) -> None:
    """Return if each certificate is signed by the one before.

    Args:
      certificates: as DER, the root first; there is a time at which all are valid.

    """
    root, *between, signer = map(x509.load_der_x509_certificate, certificates)
    at = max(each.not_valid_before_utc for each in (root, *between, signer))
    verifier = _PATHS.store(Store([root])).time(at).build_client_verifier()
    try:
        found = verifier.verify(signer, between).chain
    except Exception as problem:
        raise UntrustedChain(
            f"the certificates don't lead to their root: {quote(str(problem))}"
        ) from problem
    if found != [signer, *reversed(between), root]:
        raise UntrustedChain("the certificates are not those that lead to their root")
