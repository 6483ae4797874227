"""``python -m benchmarks buffers``: what larger buffers are worth on an AF_VSOCK.

For a machine whose kernel has a loopback for its vsock, as the project's guest has:
``nox -s guest -- benchmarks buffers``. One process sends and another receives, in
pieces of 64 KiB, on sockets whose buffers have each size in turn.

The receiver's buffer is what the sender may have under way, up to its own: both ends
have the same, set before there is a connection, because later is too late.

"""

from __future__ import annotations

import multiprocessing
import os
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from benchmarks import machine, record
from benchmarks.load_generator import BenchmarkError
from benchmarks.results import Spread
from benchmarks.rounds import rotated
from benchmarks.table import figure

__all__ = ["run"]

#: ``VMADDR_CID_LOCAL``: the machine itself.
_LOCAL: Final = 1

_PORT: Final = 120002

#: ``SO_VM_SOCKETS_BUFFER_SIZE`` and ``SO_VM_SOCKETS_BUFFER_MAX_SIZE``.
_SIZE: Final = 0
_MAX_SIZE: Final = 2

#: The kernel's own size, and others; KiB.
_USUAL: Final = 256
_SIZES: Final = (64, _USUAL, 1024, 4096)

#: Seconds for the sender to connect.
_PATIENCE: Final = 60

_PIECE: Final = 2**16
_MIB: Final = 2**20


@attrs.frozen
class Sample:
    """What came of one size in one round.

    Attributes:
      kibibytes: the size of each buffer.
      round: the number of the round.
      rate: bytes a second.
      cpu: seconds of both processes' processor time for each GiB.

    """

    kibibytes: int
    round: int
    rate: float
    cpu: float


def run(rounds: int, mebibytes: int, file: Path | None) -> None:
    """Measure, print a table, and write every sample to ``file``."""
    print(machine.heading())
    try:
        samples = list(_measured(rounds, mebibytes))
    except OSError as problem:
        raise BenchmarkError(f"no vsock can be measured here: {problem}") from problem
    print(_table(samples))
    record.write(file, mebibytes=mebibytes, samples=samples)


def _measured(rounds: int, mebibytes: int) -> Iterator[Sample]:
    for number in range(rounds):
        for size in rotated(_SIZES, number):
            rate, cpu = _measure(size, mebibytes * _MIB)
            yield Sample(size, number, rate, cpu)


def _measure(kibibytes: int, size: int) -> tuple[float, float]:
    fork = multiprocessing.get_context("fork")
    with _socket(kibibytes) as listener:
        listener.bind((_LOCAL, _PORT))
        listener.listen(1)
        listener.settimeout(_PATIENCE)
        sender = fork.Process(target=_send, args=(kibibytes, size))
        cpu, begin = _cpu_seconds(), time.perf_counter()
        sender.start()
        stream, _ = listener.accept()
        with stream:
            received = _receive(stream)
        seconds = time.perf_counter() - begin
        sender.join()
    if received != size:
        raise BenchmarkError(f"{received} of {size} bytes came")
    return size / seconds, (_cpu_seconds() - cpu) * 2**30 / size


def _socket(kibibytes: int) -> socket.socket:
    sock = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    # The greatest size first, or the size is cut down to it without a word.
    for option in (_MAX_SIZE, _SIZE):
        sock.setsockopt(socket.AF_VSOCK, option, kibibytes * 1024)
    return sock


def _send(kibibytes: int, size: int) -> None:
    piece = memoryview(os.urandom(_PIECE))
    with _socket(kibibytes) as sock:
        sock.connect((_LOCAL, _PORT))
        for start in range(0, size, _PIECE):
            sock.sendall(piece[: size - start])


def _receive(stream: socket.socket) -> int:
    received, room = 0, bytearray(_PIECE)
    while count := stream.recv_into(room):
        received += count
    return received


def _cpu_seconds() -> float:
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    used = map(resource.getrusage, whose)
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _table(samples: list[Sample]) -> str:
    usual = {each.round: each.rate for each in samples if each.kibibytes == _USUAL}
    lines = [f"KiB    MB/s                    beside {_USUAL} KiB          CPU s/GiB"]
    for size in _SIZES:
        mine = [each for each in samples if each.kibibytes == size]
        rates = _spread([each.rate / 1e6 for each in mine])
        ratios = _spread([each.rate / usual[each.round] for each in mine])
        cpu = _spread([each.cpu for each in mine])
        lines.append(f"{size:<5}  {rates:<22}  {ratios:<22}  {cpu}")
    return "\n".join(lines)


def _spread(figures: list[float]) -> str:
    spread = Spread.of(figures)
    assert spread is not None
    return f"{figure(spread.median)} ({figure(spread.low)} to {figure(spread.high)})"
