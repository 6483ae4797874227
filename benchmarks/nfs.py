"""``python -m benchmarks nfs``: an NFS volume through both halves, and without them.

For a machine whose kernel has AF_VSOCK with a loopback, NFS, and nothing to lose: it
takes root, starts the kernel's NFS server and mounts from it. The project's guest is
one: ``nox -s guest -- benchmarks nfs``.

Every way is mounted afresh in every round, one at a time: the kernel's client would
notice that all of them end at one server, and use the connection of the first.

"""

from __future__ import annotations

import contextlib
import mmap
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs

from benchmarks import machine, record
from benchmarks.load_generator import BenchmarkError
from benchmarks.nfs_server import exported
from benchmarks.processes import cpu_seconds, end
from benchmarks.results import Spread
from benchmarks.rounds import rotated
from benchmarks.table import figure

__all__ = ["run"]

_EXPORT: Final = Path("/srv/trionitro-benchmark")

_BLOCK: Final = 2**20
_GIB: Final = 2**30

#: ``VMADDR_CID_LOCAL``: the machine itself.
_LOCAL: Final = 1

#: Seconds for a relay to listen.
_PATIENCE: Final = 60

#: Those of a boot, and what makes a block one request.
_OPTIONS: Final = (
    "vers=4.1,proto=tcp,hard,timeo=600,retrans=2,clientaddr=127.0.0.1"
    f",rsize={_BLOCK},wsize={_BLOCK}"
)


@attrs.frozen
class Way:
    """A way from the client to the server.

    Attributes:
      name: for the table.
      address: where the client mounts from.
      port: on the vsock, between the halves.
      halves: the commands of the parent's half and of the enclave's.

    """

    name: str
    address: str
    port: int = 0
    halves: tuple[str, ...] = ()


_PROXY: Final = f"{shlex.quote(sys.executable)} -m trionitro.proxy --vsock kernel"

_SOCAT_LISTENER: Final = "TCP-LISTEN:2049,bind=127.1.0.2,reuseaddr,fork"

_WAYS: Final = (
    Way("direct", "127.0.0.1"),
    Way(
        "trionitro",
        "127.1.0.1",
        120000,
        (
            f"{_PROXY} vsock://:120000 tcp://127.0.0.1:2049",
            f"{_PROXY} tcp://127.1.0.1:2049 vsock://{_LOCAL}:120000",
        ),
    ),
    Way(
        "socat",
        "127.1.0.2",
        120001,
        (
            "socat VSOCK-LISTEN:120001,fork TCP:127.0.0.1:2049",
            f"socat {_SOCAT_LISTENER} VSOCK-CONNECT:{_LOCAL}:120001",
        ),
    ),
)


@attrs.frozen
class Sample:
    """What came of one task, one way, in one round.

    Attributes:
      task: what was done.
      way: the way's name.
      round: the number of the round.
      rate: bytes a second.
      cpu: seconds of both halves' processor time for each GiB.

    """

    task: str
    way: str
    round: int
    rate: float
    cpu: float


def run(rounds: int, mebibytes: int, file: Path | None) -> None:
    """Measure, print a table, and write every sample to ``file``."""
    print(machine.heading())
    line = f"{_EXPORT} 127.0.0.1/32(rw,insecure,no_subtree_check,sync)"
    try:
        with exported(_EXPORT, line, size=f"{4 * mebibytes}m", block=_BLOCK):
            samples = list(_measured(rounds, mebibytes))
    except (OSError, subprocess.CalledProcessError) as problem:
        raise BenchmarkError(f"NFS can't be measured here: {problem}") from problem
    print(_table(samples))
    record.write(file, mebibytes=mebibytes, samples=samples)


def _measured(rounds: int, mebibytes: int) -> Iterator[Sample]:
    for number in range(rounds):
        for way in rotated(_WAYS, number):
            with _relayed(way) as pids, _mounted(way) as directory:
                for task, work in _TASKS.items():
                    rate, cpu = _measure(work, directory / "file", mebibytes, pids)
                    yield Sample(task, way.name, number, rate, cpu)


def _measure(
    work: _Work, path: Path, mebibytes: int, pids: list[int]
) -> tuple[float, float]:
    Path("/proc/sys/vm/drop_caches").write_text("1")
    cpu, begin = sum(map(cpu_seconds, pids)), time.perf_counter()
    work(path, mebibytes)
    seconds = time.perf_counter() - begin
    cpu = sum(map(cpu_seconds, pids)) - cpu
    size = mebibytes * _BLOCK
    return size / seconds, cpu * _GIB / size


# --- what is done -----------------------------------------------------------------

_Work = Callable[[Path, int], None]


def _write(path: Path, mebibytes: int, flags: int = 0) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | flags, 0o600)
    try:
        # O_DIRECT wants memory that begins at a page.
        with mmap.mmap(-1, _BLOCK) as block:
            for _ in range(mebibytes):
                _check_whole(os.writev(fd, [block]))
        os.fsync(fd)
    finally:
        os.close(fd)


def _read(path: Path, mebibytes: int, flags: int = 0) -> None:
    fd = os.open(path, os.O_RDONLY | flags)
    try:
        with mmap.mmap(-1, _BLOCK) as block:
            for _ in range(mebibytes):
                _check_whole(os.readv(fd, [block]))
    finally:
        os.close(fd)


def _check_whole(size: int) -> None:
    if size != _BLOCK:
        raise BenchmarkError(f"{size} bytes were moved in place of {_BLOCK}")


def _write_directly(path: Path, mebibytes: int) -> None:
    _write(path, mebibytes, os.O_DIRECT)


def _read_directly(path: Path, mebibytes: int) -> None:
    _read(path, mebibytes, os.O_DIRECT)


#: In this order: what is read was written before.
_TASKS: Final[Mapping[str, _Work]] = {
    "write": _write,
    "read": _read,
    "write, O_DIRECT": _write_directly,
    "read, O_DIRECT": _read_directly,
}


# --- the ways ---------------------------------------------------------------------


@contextlib.contextmanager
def _relayed(way: Way) -> Iterator[list[int]]:
    """Have the two halves of ``way`` running; yields their process IDs."""
    with contextlib.ExitStack() as stack:
        pids = []
        for command in way.halves:
            process = subprocess.Popen(
                shlex.split(command), stderr=subprocess.DEVNULL, text=True
            )
            stack.callback(end, process)
            pids.append(process.pid)
        if way.halves:
            _wait_for(socket.AF_VSOCK, (_LOCAL, way.port))
            _wait_for(socket.AF_INET, (way.address, 2049))
        yield pids


def _wait_for(family: int, address: tuple[int, int] | tuple[str, int]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            try:
                sock.connect(address)
            except OSError as problem:
                if time.monotonic() > deadline:
                    raise BenchmarkError(f"nobody is at {address}") from problem
            else:
                return
        # Nothing tells when another program listens, so it is asked again.
        time.sleep(0.05)


@contextlib.contextmanager
def _mounted(way: Way) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="trionitro-nfs-") as directory:
        options = f"{_OPTIONS},port=2049,addr={way.address}"
        source = f"{way.address}:{_EXPORT}"
        _mount("mount", "-t", "nfs4", "-o", options, source, directory)
        try:
            yield Path(directory)
        finally:
            _mount("umount", directory)


def _mount(*words: str) -> None:
    subprocess.run(words, check=True)


# --- the table --------------------------------------------------------------------


def _table(samples: list[Sample]) -> str:
    titles = ("", "", "MB/s", "", "beside direct", "", "beside socat", "", "CPU s/GiB")
    lines = [titles]
    for task in _TASKS:
        for way in _WAYS:
            mine = _rates(samples, task, way.name)
            cpu = Spread.of(
                sample.cpu
                for sample in samples
                if (sample.task, sample.way) == (task, way.name)
            )
            assert cpu is not None
            lines.append(
                (
                    task if way is _WAYS[0] else "",
                    way.name,
                    *_cells({number: rate / 1e6 for number, rate in mine.items()}),
                    *_cells(_ratios(mine, _rates(samples, task, "direct"))),
                    *_cells(_ratios(mine, _rates(samples, task, "socat"))),
                    figure(cpu.median) if way.halves else "",
                )
            )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )
    return "\n".join(line.rstrip() for line in text)


def _rates(samples: list[Sample], task: str, way: str) -> dict[int, float]:
    return {
        sample.round: sample.rate
        for sample in samples
        if (sample.task, sample.way) == (task, way)
    }


def _ratios(ours: dict[int, float], theirs: dict[int, float]) -> dict[int, float]:
    return {number: rate / theirs[number] for number, rate in ours.items()}


def _cells(figures: dict[int, float]) -> tuple[str, str]:
    spread = Spread.of(figures.values())
    assert spread is not None
    low, high = figure(spread.low), figure(spread.high)
    return figure(spread.median), f"({low} to {high})"
