"""From a command to an exit code: a user's mistake is one line, never a traceback.

0 is done, 1 is could not start or broke, 2 is usage.

"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NoReturn, TypeVar

import click
import trio

from trionitro._exceptions import (
    CannotStartError,
    ConfigError,
    NotAllowedError,
    leaves,
)

__all__ = ["run_async", "run_command"]

T = TypeVar("T")

_EXPECTED: Final = (ConfigError, CannotStartError, NotAllowedError)

#: What a shell reports for a program that Ctrl-C ended.
_INTERRUPTED: Final = 130


def run_command(
    command: click.Command, prog: str, args: Sequence[str] | None = None
) -> NoReturn:
    """Run ``command`` and exit with its code."""
    sys.exit(_run(command, prog, args))


def _run(command: click.Command, prog: str, args: Sequence[str] | None) -> int:
    try:
        # Not standalone: click would print its usage above every mistake.
        code = command.main(
            None if args is None else list(args), prog_name=prog, standalone_mode=False
        )
    except click.exceptions.NoArgsIsHelpError as help_wanted:
        click.echo(help_wanted.format_message(), err=True)
        return help_wanted.exit_code
    except click.ClickException as problem:
        print(f"{prog}: {_one_line(problem.format_message())}", file=sys.stderr)
        return problem.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    return code if isinstance(code, int) else 0


def run_async(
    fn: Callable[..., Awaitable[T]],
    *args: object,
    expected: tuple[type[Exception], ...] = (),
) -> T:
    """Run ``fn(*args)`` in Trio.

    Args:
      fn: what to run.
      args: of ``fn``.
      expected: what else it may raise that a line explains.

    Raises:
      click.ClickException: with one line, for what a user can mend.

    """
    try:
        return trio.run(fn, *args)
    except BaseException as exc:
        problems = list(leaves(exc))
        if all(isinstance(problem, KeyboardInterrupt) for problem in problems):
            raise KeyboardInterrupt from None
        if not all(
            isinstance(problem, (*_EXPECTED, *expected)) for problem in problems
        ):
            raise
        kind = (
            click.UsageError
            if isinstance(problems[0], ConfigError)
            else click.ClickException
        )
        raise kind("; ".join(map(str, problems))) from None


def _one_line(text: str) -> str:
    return " ".join(text.split())
