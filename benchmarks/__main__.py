"""The command line."""

from __future__ import annotations

import argparse
import math
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import (
    attestation,
    buffers,
    comparing,
    growth,
    neighbours,
    nfs,
    responsiveness,
    rows,
)
from benchmarks.load_generator import BenchmarkError
from benchmarks.relays import Relay

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    chosen = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], None] = chosen.run
    # Relays and load generators inherit this; thousands of connections need it.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        run(chosen)
    except BenchmarkError as problem:
        print(f"benchmarks: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure what trionitro costs."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_relay(commands.add_parser("relay", help="beside its peers"))
    _add_growth(commands.add_parser("growth", help="from little to much of everything"))
    _add_responsiveness(
        commands.add_parser("responsiveness", help="beside an application")
    )
    _add_attestation(commands.add_parser("attestation", help="verifying a document"))
    _add_nfs(commands.add_parser("nfs", help="a volume, in a guest"))
    _add_buffers(commands.add_parser("buffers", help="a vsock's, in a guest"))
    return parser


def _add_relay(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_relay)
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        type=Relay.parse,
        metavar="NAME=COMMAND",
        help="another relay; {port} and {path} are filled in",
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--seconds", type=float, default=0.4, metavar="S")
    parser.add_argument(
        "--calm",
        type=float,
        default=math.inf,
        metavar="P",
        help="leave out what was measured while others used more than P processors",
    )
    parser.add_argument(
        "--only",
        action="extend",
        nargs="+",
        default=[],
        choices=[row.name for row in rows.ROWS],
        metavar="ROW",
        help=", ".join(row.name for row in rows.ROWS),
    )
    _add_outputs(parser)


def _add_growth(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_growth)
    _add_outputs(parser)


def _add_responsiveness(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_responsiveness)
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--seconds", type=float, default=0.5, metavar="S")
    names = [load.name for load in neighbours.LOADS]
    parser.add_argument(
        "--only",
        action="extend",
        nargs="+",
        default=[],
        choices=names,
        metavar="LOAD",
        help=", ".join(names),
    )
    parser.add_argument(
        "--placing",
        choices=neighbours.PLACINGS,
        help="where the proxy is: in the application's thread, or in a process of its"
        " own; both unless given",
    )
    _add_json(parser)


def _add_attestation(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_attestation)
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--seconds", type=float, default=1.0, metavar="S")


def _add_nfs(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_nfs)
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--size", type=int, default=32, metavar="MIB")
    _add_json(parser)


def _add_buffers(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_buffers)
    parser.add_argument("--rounds", type=int, default=8, metavar="N")
    parser.add_argument("--size", type=int, default=64, metavar="MIB")
    _add_json(parser)


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    _add_json(parser)
    parser.add_argument("--svg", type=Path, metavar="FILE", help="a plot of it")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, metavar="FILE", help="all that was found")


def _relay(chosen: argparse.Namespace) -> None:
    comparing.run(
        comparing.Request(
            peers=tuple(chosen.peer),
            only=tuple(chosen.only),
            rounds=chosen.rounds,
            seconds=chosen.seconds,
            calm=chosen.calm,
            json=chosen.json,
            svg=chosen.svg,
        )
    )


def _growth(chosen: argparse.Namespace) -> None:
    growth.run(chosen.json, chosen.svg)


def _responsiveness(chosen: argparse.Namespace) -> None:
    responsiveness.run(
        responsiveness.Request(
            rounds=chosen.rounds,
            seconds=chosen.seconds,
            loads=tuple(chosen.only),
            placings=(chosen.placing,) if chosen.placing else (),
            json=chosen.json,
        )
    )


def _attestation(chosen: argparse.Namespace) -> None:
    attestation.run(chosen.rounds, chosen.seconds)


def _nfs(chosen: argparse.Namespace) -> None:
    nfs.run(chosen.rounds, chosen.size, chosen.json)


def _buffers(chosen: argparse.Namespace) -> None:
    buffers.run(chosen.rounds, chosen.size, chosen.json)


if __name__ == "__main__":
    sys.exit(main())
