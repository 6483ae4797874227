"""Build guests, and run programs in them.

``build`` builds all the parts, and prints where they are; ``run WORK`` boots a guest
that runs ``WORK/run``; ``test WHEEL`` boots one that runs the project's tests on it,
and meanwhile runs those that boot guests themselves; ``benchmarks WHEEL`` boots one
that runs its benchmarks. What these write into ``out`` comes into the current
directory.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

import attrs
import trio

from guestkit._outside import test_outside
from guestkit._suite import counts_in, prepare, pytest_on, requirements_of
from trionitro.vm import (
    NSM_DEVICE,
    GuestRun,
    Kit,
    KitError,
    Machine,
    build_kit,
    install_packages,
    run_guest,
)

_PROJECT: Final = Path(__file__).parent.parent

#: The exit code when nothing came out of a guest: none that pytest uses.
_NOTHING: Final = 98


def main() -> int:
    """Do what the command line says, and return the exit code."""
    options = _parser().parse_args()
    try:
        install_packages()
        kit = build_kit(requirements_of(_PROJECT))
    except KitError as error:
        print(f"guest: {error}", error.said, sep="\n", file=sys.stderr)
        return 1
    if options.command == "build":
        return _show(kit)
    if options.command == "test":
        return _test(kit, options.wheel, options.limit, tuple(options.arguments))
    if options.command == "benchmarks":
        module = ("benchmarks", *options.arguments)
        return _benchmark(kit, options.wheel, options.limit, module)
    devices = (*NSM_DEVICE, *options.arguments)
    machine = Machine(kit=kit, root="tmpfs", devices=devices)
    out = options.work.with_name(f"{options.work.name}.out")
    out.mkdir(exist_ok=True)
    return trio.run(_run, machine, options.work, out, options.limit)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m guestkit", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build what is missing of the kit")
    run = commands.add_parser("run", help="boot a guest that runs WORK/run")
    run.add_argument("work", type=Path, metavar="WORK")
    run.add_argument("arguments", nargs=argparse.REMAINDER, help="more for QEMU")
    test = commands.add_parser("test", help="run the tests in a guest")
    test.add_argument("wheel", type=Path, metavar="WHEEL")
    test.add_argument("arguments", nargs=argparse.REMAINDER, help="for pytest")
    benchmarks = commands.add_parser("benchmarks", help="run benchmarks in a guest")
    benchmarks.add_argument("wheel", type=Path, metavar="WHEEL")
    benchmarks.add_argument("arguments", nargs=argparse.REMAINDER, help="for them")
    for command in (run, test, benchmarks):
        limit = ("--limit", "seconds that the guest may run")
        command.add_argument(limit[0], help=limit[1], type=float, default=1800)
    return parser


def _show(kit: Kit) -> int:
    for name, value in attrs.asdict(kit).items():
        print(name, *(value if isinstance(value, tuple) else [value]))
    return 0


def _test(kit: Kit, wheel: Path, limit: float, arguments: tuple[str, ...]) -> int:
    with tempfile.TemporaryDirectory(prefix="trionitro-guest-tests-") as directory:
        work, out = Path(directory, "work"), Path(directory, "out")
        work.mkdir()
        out.mkdir()
        prepare(_PROJECT, wheel, work, pytest_on(arguments))
        machine = Machine(kit=kit, root="tmpfs")
        if arguments:
            status = trio.run(_run, machine, work, out, limit)
        else:
            said = Path(directory, "outside")
            status = trio.run(_run_both, machine, work, out, limit, said)
            print(said.read_text(errors="replace"))
        counts = counts_in(out)
    print(f"guest: {counts or 'no results came out of it'}")
    return status if counts else status or _NOTHING


def _benchmark(kit: Kit, wheel: Path, limit: float, module: tuple[str, ...]) -> int:
    with tempfile.TemporaryDirectory(prefix="trionitro-benchmarks-") as directory:
        work, out = Path(directory, "work"), Path(directory, "out")
        work.mkdir()
        out.mkdir()
        prepare(_PROJECT, wheel, work, module)
        machine = Machine(kit=kit, root="tmpfs")
        status = trio.run(_run, machine, work, out, limit)
        for path in out.glob("*.json"):
            shutil.copy(path, Path.cwd())
    return status


async def _run_both(
    machine: Machine, work: Path, out: Path, limit: float, said: Path
) -> int:
    """Test in a guest, and from outside of others; return the first that isn't 0.

    Emulation keeps one processor busy, and most machines have two.

    """
    statuses = {}

    async def inside() -> None:
        statuses["inside"] = await _run(machine, work, out, limit)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(inside)
        statuses["outside"] = await test_outside(_PROJECT, said)
    return statuses["inside"] or statuses["outside"]


async def _run(machine: Machine, work: Path, out: Path, limit: float) -> int:
    run: GuestRun | None = None
    with trio.move_on_after(limit):
        run = await run_guest(machine, work, out)
    if run is None:
        print(f"guest: stopped, it wasn't done after {limit} s", file=sys.stderr)
    elif run.status is None:
        print(f"guest: crashed, QEMU's exit code is {run.qemu}", file=sys.stderr)
    else:
        return run.status
    return _NOTHING


if __name__ == "__main__":
    sys.exit(main())
