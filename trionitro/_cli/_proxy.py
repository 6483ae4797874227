"""``python -m trionitro.proxy``: any endpoint to any endpoint."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from typing import Any, Final

import attrs
import click

from trionitro._cli._logging import LogFormat, set_up_logging
from trionitro._cli._options import (
    CID,
    ENDPOINT,
    FILE,
    SECONDS,
    family_options,
    log_options,
    network_for,
    vsock_option,
)
from trionitro._cli._run import run_async
from trionitro._endpoints import Endpoint
from trionitro._exceptions import ConfigError
from trionitro.abc import VsockNetwork
from trionitro.proxy import ProxyConfig, ProxyFile, Route, read_config, run_proxy
from trionitro.vsock import parse_network

__all__ = ["proxy", "serve_until_stopped"]

#: What holds for the process and not for a route; beside --config these win.
_WHOLE_PROCESS: Final = frozenset({"allowlist", "metrics", "grace"})

_EXAMPLES: Final = """
\b
Examples:
  parent   vsock://:8000 tcp://kms.us-west-1.amazonaws.com:443 --allowlist FILE
  enclave  tcp://127.0.0.2:443 vsock://3:8000
  parent   tcp://127.0.0.1:2000 vsock://16:2000
  enclave  vsock://:2000 tcp://127.0.0.1:2000
"""


@click.command(epilog=_EXAMPLES)
@click.argument("endpoints", nargs=-1, type=ENDPOINT, metavar="[LISTEN FORWARD]...")
@click.option(
    "--config",
    "config_file",
    type=FILE,
    metavar="FILE",
    help="Routes from a TOML file, in place of arguments.",
)
@click.option(
    "--allowlist",
    type=FILE,
    metavar="FILE",
    help="TCP targets that may be connected to, as vsock-proxy's YAML.",
)
@click.option(
    "--allow-cid",
    "allow_cids",
    type=CID,
    multiple=True,
    metavar="CID",
    help="Admit only this vsock peer (repeatable).",
)
@family_options
@click.option(
    "--max-connections",
    type=click.IntRange(min=1),
    metavar="N",
    help="Open at once on a route; past it none is accepted.  [default: no limit]",
)
@click.option(
    "--connect-timeout", type=SECONDS, metavar="S", help="One attempt.  [default: 10]"
)
@click.option(
    "--connect-attempts",
    type=click.IntRange(min=1),
    metavar="N",
    help="Before a connection is given up.  [default: 1]",
)
@click.option(
    "--connect-delay",
    type=SECONDS,
    metavar="S",
    help="Between attempts.  [default: 1]",
)
@click.option(
    "--idle-timeout",
    type=SECONDS,
    metavar="S",
    help="Give up a connection that moved no byte.  [default: never]",
)
@click.option(
    "--grace",
    type=SECONDS,
    metavar="S",
    help="For connections to finish when stopped.  [default: 30]",
)
@click.option(
    "--metrics",
    type=ENDPOINT,
    metavar="ENDPOINT",
    help="Serve Prometheus metrics here, at /metrics.",
)
@vsock_option
@log_options
def proxy(
    endpoints: tuple[Endpoint, ...],
    config_file: str | None,
    vsock: str | None,
    log_format: LogFormat,
    verbosity: int,
    **settings: Any,
) -> None:
    """Forward every connection on LISTEN to FORWARD.

    An endpoint is tcp://HOST:PORT, vsock://CID:PORT or unix:///PATH. Several pairs
    are several routes, and the options hold for each of them.

    SIGTERM or SIGINT stops accepting and lets connections finish; a second one ends
    them. SIGHUP reads the files again.
    """
    given = {name: value for name, value in settings.items() if value not in (None, ())}
    set_up_logging(log_format, verbosity=verbosity)
    if config_file is None:
        config = _config_from_arguments(endpoints, given)
        serve_until_stopped(lambda: config, network_for(vsock))
        return
    if endpoints:
        raise click.UsageError(
            f"with --config, write the route {endpoints[0]} as a [[route]] of"
            f" {config_file}"
        )
    for name in given.keys() - _WHOLE_PROCESS:
        raise click.UsageError(
            f"with --config, write {name} = … in a [[route]] of {config_file}"
        )
    try:
        source = _ConfigFile(config_file, given, read_config(config_file))
        network = network_for(vsock) if vsock is not None else source.network()
    except ConfigError as problem:
        raise click.UsageError(str(problem)) from None
    serve_until_stopped(source.load, network)


@attrs.define(eq=False)
class _ConfigFile:
    """A configuration file, and what the command line puts in its place.

    Attributes:
      path: where it is.
      given: settings of the whole process that win over the file's.
      first: what it said when it was read first. A pipe says it only once.

    """

    path: str
    given: dict[str, Any]
    first: ProxyFile
    _is_first_load: bool = True

    def network(self) -> VsockNetwork:
        """Return the network that the file names, or else the environment."""
        if self.first.vsock is None:
            return network_for(None)
        try:
            return parse_network(self.first.vsock)
        except ConfigError as problem:
            raise ConfigError(f"{self.path}: vsock: {problem}") from None

    def load(self) -> ProxyConfig:
        """Return what the file says now."""
        file = self.first if self._is_first_load else read_config(self.path)
        self._is_first_load = False
        if file.vsock != self.first.vsock:
            raise ConfigError(
                f"{self.path}: vsock: it was {self.first.vsock!r} and can't become"
                f" {file.vsock!r} meanwhile: start the proxy again"
            )
        return attrs.evolve(file.config, **self.given)


def serve_until_stopped(load: Callable[[], ProxyConfig], network: VsockNetwork) -> None:
    """Run the proxy that ``load`` describes, in Trio, until a signal ends it."""
    # What was imported stays. Looking through all of it for garbage takes 20
    # milliseconds, in which no connection moves.
    gc.collect()
    gc.freeze()
    run_async(functools.partial(run_proxy, load, network=network))


def _config_from_arguments(
    endpoints: tuple[Endpoint, ...], given: dict[str, Any]
) -> ProxyConfig:
    if len(endpoints) % 2:
        raise click.UsageError(
            f"{endpoints[-1]} has no FORWARD endpoint: give LISTEN FORWARD pairs,"
            " for example vsock://:8000 tcp://kms.us-west-1.amazonaws.com:443"
        )
    whole = {name: given.pop(name) for name in _WHOLE_PROCESS & given.keys()}
    try:
        return ProxyConfig(
            routes=tuple(
                Route(listen=listen, forward=forward, **given)
                for listen, forward in zip(endpoints[::2], endpoints[1::2], strict=True)
            ),
            **whole,
        )
    except ConfigError as problem:
        raise click.UsageError(str(problem)) from None
