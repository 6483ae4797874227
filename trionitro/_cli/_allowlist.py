"""``trionitro allowlist``: what an allowlist lets through, and why."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import click

from trionitro._cli._options import FILE
from trionitro._cli._run import run_async
from trionitro._endpoints import TcpEndpoint, check_target, parse_endpoint
from trionitro._exceptions import ConfigError
from trionitro.proxy import Allowlist, Decision, judge_addresses

__all__ = ["allowlist"]


@click.group()
def allowlist() -> None:
    """Look at an allowlist of TCP targets."""


@allowlist.command()
@click.argument("file", type=FILE)
@click.argument("target", metavar="HOST:PORT")
@click.pass_context
def explain(ctx: click.Context, file: str, target: str) -> None:
    """Tell which rule of FILE decides about HOST:PORT.

    HOST is resolved as a proxy would resolve it, and each address is decided about;
    where it has none, FILE is asked about the name alone. Exit code 0 if the rules
    allow it, 1 if not.
    """
    try:
        endpoint = parse_endpoint(f"tcp://{target}")
        check_target(endpoint)
        assert isinstance(endpoint, TcpEndpoint)
        rules = Allowlist.read(file)
    except ConfigError as problem:
        raise click.UsageError(str(problem)) from None
    verdicts = run_async(functools.partial(_judge, endpoint, rules))
    for address, verdict in verdicts.items():
        word = "allowed" if verdict.allowed else "refused"
        print(f"{word}  {target} at {address}: {verdict.reason}")
    if not any(verdict.allowed for verdict in verdicts.values()):
        ctx.exit(1)


async def _judge(endpoint: TcpEndpoint, rules: Allowlist) -> Mapping[str, Decision]:
    try:
        return await judge_addresses(endpoint, None, rules)
    except OSError as exc:
        # The rules still say something about the name itself.
        unknown = f"no known address ({exc.strerror or exc})"
        return {unknown: rules.could_allow(endpoint.host, endpoint.port)}
