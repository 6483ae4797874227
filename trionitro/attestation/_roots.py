"""Whom to trust: the root under which AWS signs the documents of enclaves."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from trionitro._exceptions import ConfigError

__all__ = ["AWS_NITRO_ROOTS", "fingerprint_of", "parse_roots", "pinned_roots"]

#: Of "Root G1" for the commercial regions, as AWS publishes it: SHA-256 of the DER.
_ROOT_G1: Final = bytes.fromhex(
    "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"
)


def parse_roots(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Read certificates to trust, those of an emulator for instance.

    Args:
      pem: one or more of them in PEM form.

    Raises:
      ConfigError: if there is none in it, or what is there is none.

    """
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError as problem:
        raise ConfigError(
            f"not a PEM file of certificates ({problem}): it must have a block between"
            " -----BEGIN CERTIFICATE----- and -----END CERTIFICATE-----"
        ) from None


def fingerprint_of(der: bytes) -> bytes:
    """Return what a certificate is recognised by: the SHA-256 of its DER."""
    return hashlib.sha256(der).digest()


def pinned_roots(pem: bytes, fingerprint: bytes) -> tuple[x509.Certificate, ...]:
    """Read the one certificate that has this fingerprint.

    Raises:
      RuntimeError: if ``pem`` is anything else.

    """
    roots = parse_roots(pem)
    found = [fingerprint_of(root.public_bytes(Encoding.DER)) for root in roots]
    if found != [fingerprint]:
        raise RuntimeError(
            f"the root that came with trionitro has the SHA-256 {found[0].hex()}, must"
            f" have {fingerprint.hex()}: this installation was damaged; install it"
            " again"
        )
    return roots


#: AWS's root for the commercial regions. An emulator's root is never among them.
AWS_NITRO_ROOTS: Final = pinned_roots(
    resources.files("trionitro.attestation")
    .joinpath("aws_nitro_root_g1.pem")
    .read_bytes(),
    _ROOT_G1,
)
