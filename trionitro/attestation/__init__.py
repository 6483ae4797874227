"""Attestation documents: what an enclave is, said by the hypervisor and signed by AWS.

Bytes become an :class:`UnverifiedDocument` to be shown, or, by
:func:`verify_attestation` alone, an :class:`AttestationDocument` to be relied on.

"""

from __future__ import annotations

from trionitro.attestation._certificates import ChainCertificate as ChainCertificate
from trionitro.attestation._certificates import (
    read_certificate_untrusted as read_certificate_untrusted,
)
from trionitro.attestation._chain_errors import CertificateExpired as CertificateExpired
from trionitro.attestation._chain_errors import (
    CertificateNotYetValid as CertificateNotYetValid,
)
from trionitro.attestation._chain_errors import LeafIsAuthority as LeafIsAuthority
from trionitro.attestation._chain_errors import (
    MalformedCertificate as MalformedCertificate,
)
from trionitro.attestation._chain_errors import NotAnAuthority as NotAnAuthority
from trionitro.attestation._chain_errors import PathTooLong as PathTooLong
from trionitro.attestation._chain_errors import (
    UnknownCriticalExtension as UnknownCriticalExtension,
)
from trionitro.attestation._chain_errors import UntrustedChain as UntrustedChain
from trionitro.attestation._chain_errors import UntrustedRoot as UntrustedRoot
from trionitro.attestation._chain_errors import WrongKeyUsage as WrongKeyUsage
from trionitro.attestation._chain_errors import WrongOrder as WrongOrder
from trionitro.attestation._document import UnverifiedDocument as UnverifiedDocument
from trionitro.attestation._document import (
    decode_attestation_untrusted as decode_attestation_untrusted,
)
from trionitro.attestation._errors import AttestationError as AttestationError
from trionitro.attestation._errors import BadSignature as BadSignature
from trionitro.attestation._errors import MalformedDocument as MalformedDocument
from trionitro.attestation._errors import NitroTpmDocument as NitroTpmDocument
from trionitro.attestation._errors import UnsupportedAlgorithm as UnsupportedAlgorithm
from trionitro.attestation._policy import AttestationPolicy as AttestationPolicy
from trionitro.attestation._policy_errors import DebugEnclave as DebugEnclave
from trionitro.attestation._policy_errors import (
    DocumentFromFuture as DocumentFromFuture,
)
from trionitro.attestation._policy_errors import DocumentTooOld as DocumentTooOld
from trionitro.attestation._policy_errors import ModuleIdMismatch as ModuleIdMismatch
from trionitro.attestation._policy_errors import NonceMismatch as NonceMismatch
from trionitro.attestation._policy_errors import PcrMismatch as PcrMismatch
from trionitro.attestation._policy_errors import PolicyMismatch as PolicyMismatch
from trionitro.attestation._policy_errors import PublicKeyMismatch as PublicKeyMismatch
from trionitro.attestation._policy_errors import UserDataMismatch as UserDataMismatch
from trionitro.attestation._roots import AWS_NITRO_ROOTS as AWS_NITRO_ROOTS
from trionitro.attestation._roots import parse_roots as parse_roots
from trionitro.attestation._times import At as At
from trionitro.attestation._verified import AttestationDocument as AttestationDocument
from trionitro.attestation._verify import verify_attestation as verify_attestation
