"""What the guest runs: the enclave's half, as it is run in an enclave.

The guest's first process is ``init`` beside this module. It runs what is written here,
which becomes ``trionitro enclave``; that does the rest of the boot.

"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from trionitro.manifest import Plan
from trionitro.sandbox import TRUST_VARIABLES

__all__ = ["ATTESTATION", "MANIFEST", "TRUST", "job_script", "write_job"]

#: Names in the job's directory, which is /job in the guest.
MANIFEST: Final = "nitro.toml"
ATTESTATION: Final = "attestation"

#: The certificates to trust where KMS is emulated, seen from the guest's root.
TRUST: Final = "etc/trionitro/ca.pem"

_MODULES: Final = "vsock vmw_vsock_virtio_transport nsm\n"

_SOCKET: Final = "/run/nsm.sock"

_ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}

#: Nothing may be left that has the job's output open, or the guest would wait for it.
_SIGNER: Final = f"""\
trionitro vm-nsm /job/{ATTESTATION} {_SOCKET} </dev/null >/dev/console 2>&1 &
while ! [ -S {_SOCKET} ]; do
    kill -0 $! || exit 1
    sleep 0.1
done
chmod 666 {_SOCKET}
"""


def job_script(plan: Plan, *, settings: Sequence[str]) -> str:
    """Return the shell script that becomes the enclave's half.

    Args:
      plan: the enclave's. Where KMS is emulated, so are signatures: the application
          finds the module that has them in ``TRIONITRO_NSM``. The boot has the
          kernel's, whose entropy is the machine's own.
      settings: options of ``trionitro enclave``.

    """
    environment, signer = dict(_ENVIRONMENT), ""
    if plan.manifest.sandbox.kms_emulator:
        environment |= dict.fromkeys(TRUST_VARIABLES, f"/{TRUST}")
        environment["TRIONITRO_NSM"] = f"unix:{_SOCKET}"
        signer = _SIGNER
    words = (f"{name}={value}" for name, value in environment.items())
    command = ("python3", "-m", "trionitro", "enclave", "--nsm", "/dev/nsm")
    return (
        "#!/bin/sh\n"
        f"export PATH={_ENVIRONMENT['PATH']}\n"
        f"hostname {shlex.quote(plan.manifest.enclave.name)}\n"
        f"{signer}"
        f"exec env -i {shlex.join([*words, *command, *settings])} /job/{MANIFEST}\n"
    )


def write_job(work: Path, script: str, manifest: str) -> None:
    """Write what every job has into the empty directory ``work``."""
    run = work / "run"
    run.write_text(script)
    run.chmod(0o755)
    (work / "modules").write_text(_MODULES)
    (work / MANIFEST).write_text(manifest)
