"""A ``nitro-cli`` that starts nothing, and an enclave that says what it is told to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, Self

import attrs

from trionitro._control import EnclaveControl, EnclaveLogs
from trionitro.abc import VsockNetwork
from trionitro.manifest import Plan
from trionitro.parent import NitroCli

_PROGRAM: Final = """#!/bin/sh
state={state}
echo "$*" >>"$state/calls"
complain() {{ cat "$state/$1" >&2; exit 1; }}
case $1 in
run-enclave)
  [ -e "$state/refusal" ] && complain refusal
  cp "$state/enclave" "$state/running"
  cat "$state/running" ;;
describe-enclaves)
  [ -e "$state/answer" ] && exec cat "$state/answer"
  if [ -e "$state/running" ]; then printf '[%s]' "$(cat "$state/running")"
  else echo '[]'; fi ;;
terminate-enclave)
  rm "$state/running"
  echo '{{"EnclaveName": "signer", "Terminated": true}}' ;;
esac
"""


@attrs.frozen
class FakeNitro:
    """A directory with a program, and with what it believes.

    Attributes:
      directory: where ``nitro-cli`` is, to be put on PATH.

    """

    directory: Path

    @classmethod
    def in_directory(cls, directory: Path) -> Self:
        """Make one that runs no enclave yet, and will run ``signer``."""
        program = directory / "nitro-cli"
        program.write_text(_PROGRAM.format(state=directory))
        program.chmod(0o700)
        fake = cls(directory)
        (directory / "enclave").write_text(fake.enclave())
        return fake

    @property
    def cli(self) -> NitroCli:
        """What calls this program."""
        return NitroCli(str(self.directory / "nitro-cli"))

    @property
    def calls(self) -> list[str]:
        """What it was called with, but for looking."""
        lines = (self.directory / "calls").read_text().splitlines()
        return [line for line in lines if line != "describe-enclaves"]

    @property
    def runs(self) -> bool:
        """Whether it believes that an enclave runs."""
        return (self.directory / "running").exists()

    def enclave(self, **changes: object) -> str:
        """Write what it says about an enclave."""
        usual = {
            "EnclaveName": "signer",
            "EnclaveID": "i-05f6ed443aEXAMPLE-enc173dfe3eEXAMPLE",
            "ProcessID": 7077,
            "EnclaveCID": 16,
            "NumberOfCPUs": 2,
            "CPUIDs": [1, 3],
            "MemoryMiB": 1026,
            "State": "RUNNING",
            "Flags": "NONE",
            "Measurements": {"HashAlgorithm": "Sha384 { ... }", "PCR0": "00"},
        }
        return json.dumps(usual | changes)

    def start(self, **changes: object) -> None:
        """Have an enclave run that nobody started here."""
        (self.directory / "running").write_text(self.enclave(**changes))

    def kill(self) -> None:
        """Have the enclave be gone."""
        (self.directory / "running").unlink()

    def refuse(self, complaint: str) -> None:
        """Have it complain when an enclave is to be started."""
        (self.directory / "refusal").write_text(complaint)

    def answer(self, text: str) -> None:
        """Have it answer something else when it is asked what runs."""
        (self.directory / "answer").write_text(text)


def control_of(plan: Plan, network: VsockNetwork) -> EnclaveControl:
    """Make the enclave's end of the control channel."""
    return EnclaveControl(
        network=network,
        parent_cid=3,
        port=plan.control_port,
        digest=plan.digest,
        heartbeat=plan.manifest.control.heartbeat,
    )


def logs_of(plan: Plan, network: VsockNetwork) -> EnclaveLogs:
    """Make the enclave's end of the logs."""
    return EnclaveLogs(
        network=network,
        parent_cid=3,
        port=plan.logs_port,
        digest=plan.digest,
        buffer=plan.manifest.logs.buffer,
    )
