"""Running ``trionitro sandbox`` as a process, and looking for what it leaves behind."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import attrs
import pytest
import trio

from tests.enclave.processes import processes_of
from trionitro.sandbox import LoggedProcess, run_logged

__all__ = [
    "Box",
    "namespaces_in_use",
    "open_box",
    "short_directory",
    "skip_without_namespaces",
]


@functools.cache
def _reason_against() -> str | None:
    flags = ("--user", "--map-root-user", "--net", "--mount", "--pid", "--uts")
    try:
        probe = subprocess.run(
            ["unshare", *flags, "--fork", "--mount-proc", "true"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except FileNotFoundError:
        return "there is no unshare program"
    return probe.stderr.strip() if probe.returncode else None


def skip_without_namespaces() -> None:
    """Skip the test where a sandbox can't be had."""
    if reason := _reason_against():
        pytest.skip(f"no namespaces here: {reason}")


@contextmanager
def short_directory() -> Iterator[Path]:
    """Make a directory whose path leaves room for the names of sockets."""
    with tempfile.TemporaryDirectory(prefix="sb-", dir="/tmp") as directory:
        yield Path(directory)


@attrs.frozen(kw_only=True)
class Box:
    """A sandbox that runs.

    Attributes:
      logged: the process, and what it logs.
      temporary: its TMPDIR.
      mark: a word in the environment of everything in it.

    """

    logged: LoggedProcess
    temporary: Path
    mark: str

    def interrupt(self) -> None:
        """Do what Ctrl-C does in a terminal."""
        os.killpg(self.logged.process.pid, signal.SIGINT)

    def check_nothing_left(self) -> None:
        """Check that no process, mount, namespace or file of it is there any more."""
        assert not self.processes()
        assert not processes_of(str(self.temporary))
        assert not list(self.temporary.iterdir())
        assert str(self.temporary) not in Path("/proc/self/mountinfo").read_text()

    def processes(self) -> list[str]:
        """Return the processes of it that there are."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                environ = (entry / "environ").read_bytes()
                if self.mark.encode() in environ:
                    found.append((entry / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue  # it has ended meanwhile, or is somebody else's
        return found


@asynccontextmanager
async def open_box(
    manifest: Path,
    *command: str,
    options: Sequence[str] = (),
    environment: Mapping[str, str] = {},
) -> AsyncIterator[Box]:
    """Run ``trionitro sandbox`` on a manifest, with its own TMPDIR beside it."""
    skip_without_namespaces()
    mark = f"sandbox-{uuid.uuid4()}"
    temporary = manifest.parent / "tmp"
    temporary.mkdir()
    argv = [
        *(sys.executable, "-m", "trionitro", "sandbox", "--log-format", "json"),
        *(*options, str(manifest), *(("--", *command) if command else ())),
    ]
    env = {**os.environ, "TMPDIR": str(temporary), "MARK": mark, **environment}
    async with trio.open_nursery() as nursery:
        logged = await nursery.start(functools.partial(run_logged, argv, env=env))
        yield Box(logged=logged, temporary=temporary, mark=mark)
        nursery.cancel_scope.cancel()


def namespaces_in_use() -> set[str]:
    """Return the namespaces that any process on this machine is in, or holds."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/ns/*"):
        try:
            found.add(str(link.readlink()))
        except OSError:
            continue
    return found
