"""``nitro-cli``, the program of AWS that starts and stops enclaves."""

from __future__ import annotations

import json
import subprocess
from typing import Any, Final

import attrs
import trio

from trionitro._exceptions import CannotStartError
from trionitro.manifest import Enclave, Image

__all__ = ["NitroCli", "NitroCliError", "RunningEnclave"]

_REMEDY: Final = (
    "install aws-nitro-enclaves-cli, or leave [image] out and start the enclave"
    " yourself"
)

#: How much of what it complains about goes into an error.
_LONGEST_COMPLAINT: Final = 500


class NitroCliError(CannotStartError):
    """Raised when nitro-cli doesn't do what it was asked; the message says its why."""


@attrs.frozen(kw_only=True)
class RunningEnclave:
    """An enclave, as ``describe-enclaves`` has it.

    Attributes:
      enclave_id: such as ``i-0123456789abcdef0-enc0123456789abcdef``.
      name: None where an older nitro-cli doesn't tell.
      cid: its CID.
      state: ``RUNNING``, ``TERMINATING`` or ``EMPTY``.
      is_debug: whether its console can be read, and its PCRs are all zero.

    """

    enclave_id: str
    name: str | None
    cid: int
    state: str
    is_debug: bool

    @property
    def is_running(self) -> bool:
        """Whether it is there to stay."""
        return self.state == "RUNNING"


@attrs.frozen
class NitroCli:
    """How enclaves are started and stopped on this parent.

    Attributes:
      program: a name on PATH, or a path.

    """

    program: str = "nitro-cli"

    async def run(self, enclave: Enclave, image: Image) -> str:
        """Start an enclave, and return its EnclaveID when its init said hello.

        Raises:
          NitroCliError: if it doesn't start.

        Cancellation:
          The enclave may have been started.

        """
        answer = await self._call(
            *("run-enclave", "--enclave-name", enclave.name),
            *("--enclave-cid", str(enclave.cid), "--eif-path", image.eif),
            *("--memory", str(image.memory), "--cpu-count", str(image.cpus)),
            *(["--debug-mode"] if image.debug else []),
        )
        match answer:
            case {"EnclaveID": str(enclave_id)}:
                return enclave_id
        raise NitroCliError(f"{self.program} run-enclave answered no EnclaveID")

    async def describe(self) -> list[RunningEnclave]:
        """List the enclaves of this parent.

        Raises:
          NitroCliError: if it can't be asked.

        """
        answer = await self._call("describe-enclaves")
        try:
            return [_running_enclave(item) for item in answer]
        except (KeyError, TypeError) as problem:
            raise NitroCliError(
                f"{self.program} describe-enclaves answered something else than a list"
                f" of enclaves: {problem!r}"
            ) from None

    async def terminate(self, enclave_id: str) -> None:
        """Stop an enclave, whatever it does.

        Raises:
          NitroCliError: if it can't be stopped.

        """
        await self._call("terminate-enclave", "--enclave-id", enclave_id)

    async def _call(self, *arguments: str) -> Any:
        try:
            done = await trio.run_process(
                [self.program, *arguments],
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
        except OSError as exc:
            raise NitroCliError(
                f"can't run {self.program}: {exc.strerror}; {_REMEDY}"
            ) from None
        what = f"{self.program} {arguments[0]}"
        if done.returncode != 0:
            raise NitroCliError(f"{what} failed: {_complaint(done)}")
        try:
            return json.loads(done.stdout)
        except ValueError:
            raise NitroCliError(f"{what} answered no JSON") from None


def _running_enclave(item: dict[str, Any]) -> RunningEnclave:
    return RunningEnclave(
        enclave_id=item["EnclaveID"],
        name=item.get("EnclaveName"),
        cid=item["EnclaveCID"],
        state=item["State"],
        is_debug=item.get("Flags") == "DEBUG_MODE",
    )


def _complaint(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return on one line what it said; only the first lines are about the cause."""
    text = " ".join(done.stderr.decode(errors="replace").split())
    return text[:_LONGEST_COMPLAINT] or f"exit code {done.returncode}"
