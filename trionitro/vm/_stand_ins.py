"""What isn't real in a virtual machine whose manifest wants an emulated KMS.

KMS itself, and that somebody signs the security module's documents: QEMU doesn't. The
emulated KMS trusts one root, made for one run. Its key is in the guest, where the
signer is, and in the run's directory here, which is private and gone at the end.

"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import attrs

from trionitro.attestation import parse_roots
from trionitro.manifest import Plan
from trionitro.nsm import ZERO_PCR, KernelNsm, extend
from trionitro.sandbox import KmsStandIn, kms_is_wanted, trust_bundle
from trionitro.testing import AttestationIssuer, BootMeasurements, ResigningNsm
from trionitro.vm._job import ATTESTATION, TRUST

__all__ = ["StandIns", "read_resigner"]

_ROOT: Final = "root.pem"
_PCRS: Final = "pcrs.json"


@attrs.frozen
class StandIns:
    """An emulated KMS, and who signs documents for it.

    Attributes:
      kms: the emulator.

    """

    kms: KmsStandIn
    _issuer: AttestationIssuer
    _measurements: BootMeasurements

    @classmethod
    def if_wanted(
        cls, plan: Plan, *, directory: Path, files: bytes, kms_keys: str | None
    ) -> Self | None:
        """Set them up, where ``[sandbox]`` has ``kms_emulator``.

        Args:
          plan: the enclave's.
          directory: for the socket of the KMS.
          files: digest of the application's files.
          kms_keys: a file of keys for it; None for a key of its own.

        Raises:
          ConfigError: if the manifest leaves no place for it, or the keys are wrong.

        """
        if not kms_is_wanted(plan, kms_keys):
            return None
        issuer, measurements = AttestationIssuer(), _measure(plan, files)
        kms = KmsStandIn.make(
            plan,
            directory=directory,
            roots=parse_roots(issuer.root_pem),
            pcr0=measurements.pcrs().get(0, ZERO_PCR),
            keys=kms_keys,
        )
        return cls(kms, issuer, measurements)

    def write_files(self, work: Path, tree: Path) -> None:
        """Write what the guest needs of it.

        Args:
          work: the job's directory.
          tree: what becomes the guest's files.

        """
        attestation, trust = work / ATTESTATION, tree / TRUST
        attestation.mkdir(mode=0o700)
        pcrs = {index: pcr.hex() for index, pcr in self._measurements.pcrs().items()}
        (attestation / _PCRS).write_text(json.dumps(pcrs))
        root = attestation / _ROOT
        root.touch(mode=0o600)
        root.write_bytes(self._issuer.private_pem())
        trust.parent.mkdir(parents=True, exist_ok=True)
        trust.write_bytes(trust_bundle(self.kms.emulator.ca_pem))


def read_resigner(directory: Path) -> ResigningNsm:
    """Return the guest's security module with a signer, from what was written here.

    Raises:
      OSError: if it wasn't.
      ValueError: if it was something else.

    """
    pcrs: Mapping[str, str] = json.loads((directory / _PCRS).read_text())
    return ResigningNsm(
        KernelNsm(),
        issuer=AttestationIssuer.from_private_pem((directory / _ROOT).read_bytes()),
        pcrs={int(index): bytes.fromhex(pcr) for index, pcr in pcrs.items()},
    )


def _measure(plan: Plan, files: bytes) -> BootMeasurements:
    """Return the PCRs that the manifest gives, and PCR0 if it doesn't give that.

    A guest here has no image. Its PCR0 stands for the command and for the files.
    """
    given = plan.manifest.sandbox.measurements
    return BootMeasurements(
        pcr0=_measure_image(plan.manifest.enclave.command, files),
        given={int(index): bytes.fromhex(pcr) for index, pcr in given.items()},
    )


def _measure_image(command: Sequence[str], files: bytes) -> bytes:
    return extend(ZERO_PCR, json.dumps(command).encode() + files)
