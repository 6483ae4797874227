"""The relays: ours and its peers, as command lines; and starting them."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Self

import attrs

from benchmarks.load_generator import BenchmarkError, Client
from benchmarks.processes import end

__all__ = ["OURS", "Relay", "World", "built_in_peers", "free_port", "running"]

#: How long a relay may take until it listens, and how long it is then left alone to
#: finish what it does at its start, in seconds.
_START_TIMEOUT: Final = 10.0
_SETTLING: Final = 0.15

#: Where a relay's target is: what ``vsock://3:8000`` is in a directory.
_BACKEND: Final = Path("3", "8000.sock")

_LISTENING: Final = "0A"  # in /proc/net/tcp


@attrs.frozen
class Relay:
    """A relay, and how it is started.

    Attributes:
      name: what it is called in the tables; goals are found by it.
      command: the words of its command line. ``{port}`` stands for the TCP port of
          127.0.0.1 to listen on, ``{path}`` for the unix socket to connect to, and
          ``{directory}`` for the directory that is a vsock network to trionitro.

    """

    name: str
    command: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``NAME=COMMAND``, where the command is quoted as for a shell."""
        name, equals, command = text.partition("=")
        words = tuple(shlex.split(command))
        if not (name and equals and words):
            raise ValueError(f"expected NAME=COMMAND, got {text!r}")
        if "{port}" not in command:
            raise ValueError(f"{{port}} is missing in {command!r}")
        if not ("{path}" in command or "{directory}" in command):
            raise ValueError(f"{{path}} is missing in {command!r}")
        return cls(name, words)

    def words(self, port: int, directory: Path) -> list[str]:
        """Return the command line, filled in."""
        path = directory / _BACKEND
        places = {"{port}": port, "{path}": path, "{directory}": directory}
        filled = list(self.command)
        for place, value in places.items():
            filled = [word.replace(place, str(value)) for word in filled]
        return filled


OURS: Final = Relay(
    "trionitro",
    (
        *(sys.executable, "-m", "trionitro.proxy"),
        *("tcp://127.0.0.1:{port}", "vsock://3:8000"),
        *("--vsock", "local:{directory}?cid=16"),
    ),
)

#: As people run it, with two kindnesses: no Nagle's algorithm, and a long queue.
_SOCAT: Final = Relay(
    "socat",
    (
        "socat",
        "TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,backlog=4096,nodelay",
        "UNIX-CONNECT:{path}",
    ),
)


def built_in_peers() -> list[Relay]:
    """Return the peers that are known here and installed."""
    return [_SOCAT] if shutil.which("socat") else []


@attrs.frozen
class World:
    """A relay that runs, with a backend behind it.

    Attributes:
      program: the load generator.
      port: where the relay listens.
      directory: what ``{directory}`` stood for in its command line.
      pid: the relay's process.
      seconds: for how long to measure.

    """

    program: Path
    port: int
    directory: Path
    pid: int
    seconds: float

    @contextlib.contextmanager
    def client(self, kind: str, *numbers: int) -> Iterator[Client]:
        """Have clients connected to the relay."""
        client = Client.start(self.program, kind, self.port, *numbers)
        try:
            yield client
        finally:
            client.stop()


@contextlib.contextmanager
def running(relay: Relay, program: Path, seconds: float) -> Iterator[World]:
    """Run a relay and a backend for it."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="b-")))
        backend = directory / _BACKEND
        backend.parent.mkdir()
        _start([str(program), "backend", str(backend)], directory, stack)
        _wait_until(backend.exists, "the backend")
        port = free_port()
        process = _start(relay.words(port, directory), directory, stack)
        _wait_until(
            lambda: process.poll() is not None or _is_listening(port), relay.name
        )
        time.sleep(_SETTLING)
        if process.poll() is not None:
            complaint = _log(directory).read_text(encoding="utf-8").strip()
            raise BenchmarkError(f"{relay.name} did not start: {complaint}")
        yield World(program, port, directory, process.pid, seconds)


def _log(directory: Path) -> Path:
    return directory / "log"


def _start(
    words: list[str], directory: Path, stack: contextlib.ExitStack
) -> subprocess.Popen[str]:
    # Python puts the current directory first on its path: started from here, the
    # package in the checkout would be measured, whichever is installed.
    with _log(directory).open("ab") as log:
        process = subprocess.Popen(
            words,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            text=True,
        )
    stack.callback(end, process)
    return process


def _wait_until(condition: Callable[[], bool], what: str) -> None:
    give_up_at = time.monotonic() + _START_TIMEOUT
    while not condition():
        if time.monotonic() > give_up_at:
            raise BenchmarkError(f"{what} does not listen after {_START_TIMEOUT} s")
        time.sleep(0.01)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _is_listening(port: int) -> bool:
    """Look without connecting, which a relay would take for a client."""
    table = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return any(
        local.endswith(f":{port:04X}") and state == _LISTENING
        for _, local, _, state, *_ in map(str.split, table)
    )
