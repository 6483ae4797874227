"""What the emulated security module says was measured.

A sandbox has no image. PCR0 stands for the command instead: for its words, and for
what is in those of them that name files.

"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from trionitro.manifest import Plan
from trionitro.nsm import ZERO_PCR, extend
from trionitro.testing import BootMeasurements

__all__ = ["measure_command", "measurements_of"]


def measurements_of(plan: Plan) -> BootMeasurements:
    """Return the PCRs that the manifest gives, and PCR0 of its command if not given.

    It reads files, which takes as long as they are large.
    """
    enclave, sandbox = plan.manifest.enclave, plan.manifest.sandbox
    given = {int(i): bytes.fromhex(pcr) for i, pcr in sandbox.measurements.items()}
    pcr0 = measure_command(enclave.command, Path(enclave.directory))
    return BootMeasurements(pcr0=pcr0, given=given)


def measure_command(command: Sequence[str], directory: Path) -> bytes:
    """Measure a command as a PCR is measured, and return the 48 bytes.

    Args:
      command: its program is looked for as a shell does, in PATH.
      directory: where it runs.

    """
    digest = hashlib.sha384()
    program = shutil.which(command[0]) or command[0]
    for word, path in zip(command, (program, *command[1:]), strict=True):
        content = _digest_of_file(directory / path)
        # Lengths, so that no two commands are the same bytes.
        digest.update(b"%d:%s%d:%s" % (len(word), word.encode(), len(content), content))
    return extend(ZERO_PCR, digest.digest())


def _digest_of_file(path: Path) -> bytes:
    """Return the digest of a file; none if it isn't one, or may not be read."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha384").digest()
    except OSError:
        return b""
