"""Build guests, and run programs in them.

``python -m guestkit build`` builds all the parts, and prints where they are;
``python -m guestkit run WORK [ARGUMENT …]`` boots a guest that runs ``WORK/run``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

import attrs
import trio

from guestkit import NSM_DEVICE, KitError, Machine, build_kit, run_guest

_PROJECT: Final = Path(__file__).parent.parent


def main() -> int:
    """Do what the command line says, and return the exit code."""
    options = _parser().parse_args()
    try:
        kit = build_kit(_PROJECT)
    except KitError as error:
        print(f"guest: {error}", file=sys.stderr)
        return 1
    if options.command == "build":
        for name, value in attrs.asdict(kit).items():
            print(name, *(value if isinstance(value, tuple) else [value]))
        return 0
    machine = Machine(kit=kit, devices=(*NSM_DEVICE, *options.arguments))
    return trio.run(_run, machine, options.work, options.limit)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m guestkit", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build what is missing of the kit")
    run = commands.add_parser("run", help="boot a guest that runs WORK/run")
    run.add_argument("--limit", type=float, default=300, help="seconds it may take")
    run.add_argument("work", type=Path, metavar="WORK")
    run.add_argument("arguments", nargs=argparse.REMAINDER, help="more for QEMU")
    return parser


async def _run(machine: Machine, work: Path, limit: float) -> int:
    out = work.with_name(f"{work.name}.out")
    out.mkdir(exist_ok=True)
    with trio.move_on_after(limit):
        run = await run_guest(machine, work, out)
        if run.status is not None:
            return run.status
    print("guest: nothing came out of it", file=sys.stderr)
    return 98


if __name__ == "__main__":
    sys.exit(main())
