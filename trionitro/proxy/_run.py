"""A proxy as a process: started, told to reload, told to stop."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable

import structlog
import trio

from trionitro._exceptions import CannotStartError, ConfigError
from trionitro._file_limit import raise_file_limit
from trionitro._systemd import notify
from trionitro.abc import VsockNetwork
from trionitro.proxy._allowlist import NO_ALLOWLIST, Allowlist, TargetPolicy
from trionitro.proxy._connection import Surroundings
from trionitro.proxy._route import ProxyConfig
from trionitro.proxy._server import Proxy

__all__ = ["run_proxy"]

_log = structlog.get_logger("trionitro.proxy")

Load = Callable[[], ProxyConfig]


async def run_proxy(load: Load, *, network: VsockNetwork) -> None:
    """Run the proxy that ``load`` describes until a signal ends it.

    SIGTERM and SIGINT stop accepting and let connections finish for the configured
    grace; a second one ends them at once. SIGHUP calls ``load`` again and reads the
    allowlist again; where that fails nothing changes, and the log says why.

    Args:
      load: returns the configuration; called in a thread, at the start and on every
          SIGHUP.
      network: for vsock endpoints.

    Raises:
      ConfigError: if the configuration or the allowlist is wrong at the start.
      NotAllowedError: if the allowlist could never let a route do its work.
      CannotStartError: if a listener can't be opened.

    """
    raise_file_limit()
    with trio.open_signal_receiver(
        signal.SIGTERM, signal.SIGINT, signal.SIGHUP
    ) as signals:
        proxy = Proxy(Surroundings(network, NO_ALLOWLIST))
        async with trio.open_nursery() as nursery:
            started = trio.Event()
            nursery.start_soon(_obey, signals, proxy, load, nursery, started)
            config, proxy.around.allowlist = await _read(load)
            async with trio.open_nursery() as work:
                await work.start(proxy.serve, config)
                started.set()
                notify("READY=1")
            nursery.cancel_scope.cancel()
    _log.info("stopped")


async def _obey(
    signals: AsyncIterator[int],
    proxy: Proxy,
    load: Load,
    nursery: trio.Nursery,
    started: trio.Event,
) -> None:
    stopping = False
    one_at_a_time = trio.Lock()
    async for signum in signals:
        name = signal.Signals(signum).name
        if signum == signal.SIGHUP:
            if started.is_set() and not stopping:
                # Beside this loop: what is slow to read must not keep SIGTERM waiting.
                nursery.start_soon(_reload, proxy, load, one_at_a_time)
            else:
                _log.warning("not reloaded", problem="it is starting, or stopping")
        elif stopping or not started.is_set():
            _log.warning("stopping at once", signal=name)
            nursery.cancel_scope.cancel()
        else:
            stopping = True
            _log.info("stopping", signal=name)
            notify("STOPPING=1")
            proxy.drain()


async def _reload(proxy: Proxy, load: Load, one_at_a_time: trio.Lock) -> None:
    try:
        async with one_at_a_time:
            config, allowlist = await _read(load)
            await proxy.reload(config, allowlist)
    except (ConfigError, CannotStartError) as problem:
        _log.error("not reloaded", problem=str(problem))
    else:
        _log.info("reloaded", routes=len(config.routes))


async def _read(load: Load) -> tuple[ProxyConfig, TargetPolicy]:
    """Read the files, in a thread, which is left to itself if they never come."""
    return await trio.to_thread.run_sync(_read_in_thread, load, abandon_on_cancel=True)


def _read_in_thread(load: Load) -> tuple[ProxyConfig, TargetPolicy]:
    config = load()
    if config.allowlist is None:
        return config, NO_ALLOWLIST
    return config, Allowlist.read(config.allowlist)
