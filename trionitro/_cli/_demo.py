"""``trionitro demo``: no root, no AWS, a few seconds."""

from __future__ import annotations

from pathlib import Path

import click

from trionitro._cli._logging import set_up_logging
from trionitro._cli._output import say
from trionitro._cli._run import run_async
from trionitro.sandbox import DemoFailedError, Step, run_demo, serve_outside

__all__ = ["demo", "demo_outside"]


@click.command()
def demo() -> None:
    """Show both halves at work on this machine.

    Starts a parent, an enclave, and outside a server and an emulated KMS, as processes
    of their own, joined by an emulated vsock, sends real requests through them, and
    removes everything.
    """
    run_async(_show, expected=(DemoFailedError,))


async def _show() -> None:
    say("    time         rate  what was done: what happened")
    await run_demo(_print_step)
    say("Nothing of it is left: no process, no socket, no file.")


def _print_step(step: Step) -> None:
    rate = f"{step.size / step.seconds / 1e6:.0f} MB/s" if step.size else ""
    say(f"{step.seconds:6.2f} s  {rate:>11}  {step.what}: {step.outcome}")


@click.command("demo-outside", hidden=True)
@click.argument("directory", type=click.Path(path_type=Path))
def demo_outside(directory: Path) -> None:
    """Be the world outside, for the demo."""
    set_up_logging("json")
    run_async(serve_outside, directory)
