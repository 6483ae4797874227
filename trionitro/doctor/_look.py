"""Looking at a machine, each look with a deadline of its own.

A file or a device that hangs (a dead NFS server, a driver in trouble) costs its
deadline, and the thread that waits for it is left behind: the process can end
nevertheless.

"""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import attrs
import trio

from trionitro._endpoints import Endpoint, VsockEndpoint
from trionitro._exceptions import CannotStartError, ConfigError
from trionitro.doctor._facts import Facts, ImageSight, ModuleSight
from trionitro.doctor._kind import ENCLAVES_DEVICE, NSM_DEVICE, VSOCK_DEVICE, Kind
from trionitro.doctor._names import ALLOWLIST
from trionitro.doctor._needs import ports_of
from trionitro.doctor._parent import ALLOCATOR, CPU_POOL
from trionitro.doctor._probes import Probes
from trionitro.manifest import Plan
from trionitro.proxy import Allowlist

__all__ = ["look", "look_further", "read_allowlist"]

T = TypeVar("T")
E = TypeVar("E", bound=Endpoint)

#: Seconds for a file, a device, a port.
_PATIENCE: Final = 2.0

#: Seconds for what goes over a network, or to another program.
_LONG_PATIENCE: Final = 5.0

#: Names that are looked up; an allowlist of AWS's has about seventy.
_MOST_NAMES: Final = 256

#: Threads at once, those that are left behind included.
_THREADS: Final = 64

_FILES: Final = (
    "/etc/hosts",
    "/etc/resolv.conf",
    "/proc/cmdline",
    "/proc/cpuinfo",
    "/proc/filesystems",
    "/proc/modules",
    "/proc/sys/kernel/osrelease",
    "/run/chrony/chronyd.pid",
    "/run/chronyd.pid",
    "/run/systemd/timesync/synchronized",
    "/sys/class/dmi/id/product_name",
    "/sys/class/dmi/id/sys_vendor",
    "/sys/devices/system/cpu/cpu*/topology/thread_siblings_list",
    "/sys/devices/virtual/misc/hw_random/rng_available",
    "/sys/hypervisor/type",
    "/sys/kernel/mm/hugepages/hugepages-*kB/free_hugepages",
    "/sys/kernel/mm/hugepages/hugepages-*kB/nr_hugepages",
    ALLOCATOR,
    ALLOWLIST,
    CPU_POOL,
)

_DEVICES: Final = (ENCLAVES_DEVICE, NSM_DEVICE, VSOCK_DEVICE)

_PTP: Final = "/dev/ptp0"

_NOWHERE: Final = os.strerror(errno.ENOENT)


async def look(root: Path, probes: Probes) -> Facts:
    """See what every machine is asked.

    Args:
      root: where its files are.
      probes: how it is asked.

    Cancellation:
      At once; threads that wait for files are left behind.

    """
    threads = trio.CapacityLimiter(_THREADS)
    files: dict[str, str] = {}
    troubles: dict[str, str] = {}
    devices: dict[str, str] = {}

    async def read(pattern: str) -> None:
        reading = partial(_in_thread, threads, _read_all, root, pattern, probes)
        late = _Texts(troubles={pattern: _late(_PATIENCE)})
        texts = await _within(_PATIENCE, reading, otherwise=late)
        files.update(texts.files)
        troubles.update(texts.troubles)

    async def open_device(path: str) -> None:
        opening = partial(_in_thread, threads, probes.open_device, _under(root, path))
        trouble = await _trouble(_PATIENCE, opening)
        if trouble is not None:
            devices[path] = trouble

    async with trio.open_nursery() as nursery:
        for pattern in _FILES:
            nursery.start_soon(read, pattern)
        for path in _DEVICES:
            nursery.start_soon(open_device, path)
    ask = partial(_ask, threads)
    return Facts(
        files=files,
        troubles=troubles,
        devices=devices,
        vsock=probes.vsock_name,
        interfaces=await ask(probes.interfaces) or {},
        nsm=probes.nsm_name,
        cid=await ask(probes.cid),
        is_seeded=await ask(probes.is_seeded),
        now=probes.now(),
        clock_offset=await ask(probes.clock_offset, _under(root, _PTP)),
    )


async def look_further(
    facts: Facts,
    kind: Kind,
    probes: Probes,
    *,
    plan: Plan | None,
    names: Iterable[str],
) -> Facts:
    """See what such a machine is asked, and what its manifest needs.

    Args:
      facts: what was seen already.
      kind: what the machine is.
      probes: how it is asked.
      plan: what follows from the manifest, if there is one.
      names: to be looked up, the first 256 of them.

    Cancellation:
      As for :func:`look`.

    """
    threads = trio.CapacityLimiter(_THREADS)
    programs = await _programs(threads, probes, kind, plan)
    nitro_cli = programs.get("nitro-cli")
    has_module = NSM_DEVICE in facts.devices or bool(facts.nsm)
    return attrs.evolve(
        facts,
        module=await _module(probes) if has_module else None,
        names=await _resolve(probes, [*names][:_MOST_NAMES]),
        ports=await _ports(facts, kind, probes, plan),
        servers=await _servers(kind, probes, plan),
        programs=programs,
        image=await _image(threads, plan) if kind == "parent" else None,
        enclaves=await _enclaves(probes, nitro_cli) if plan and nitro_cli else None,
    )


async def read_allowlist(path: str) -> Allowlist | str:
    """Read the allowlist that was asked about; a text says why it can't be read."""
    threads = trio.CapacityLimiter(1)
    reading = partial(_in_thread, threads, Allowlist.read, path)
    try:
        return await _within(
            _PATIENCE, reading, otherwise=f"{path}: {_late(_PATIENCE)}"
        )
    except ConfigError as problem:
        return str(problem)


async def _within(seconds: float, fn: Callable[[], Awaitable[T]], *, otherwise: T) -> T:
    with trio.move_on_after(seconds):
        return await fn()
    return otherwise


async def _trouble(seconds: float, fn: Callable[[], Awaitable[object]]) -> str | None:
    """Return why ``fn`` fails, empty if it doesn't, or None where nothing is there."""
    with trio.move_on_after(seconds):
        try:
            await fn()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as problem:
            return problem.strerror or str(problem)
        return ""
    return _late(seconds)


async def _in_thread(
    threads: trio.CapacityLimiter, fn: Callable[..., T], *args: object
) -> T:
    return await trio.to_thread.run_sync(
        fn, *args, abandon_on_cancel=True, limiter=threads
    )


async def _ask(
    threads: trio.CapacityLimiter, fn: Callable[..., T | None], *args: object
) -> T | None:
    """Return what ``fn`` returns, or None if it fails or takes too long."""
    with trio.move_on_after(_PATIENCE):
        try:
            return await _in_thread(threads, fn, *args)
        except OSError:
            return None
    return None


@attrs.frozen(kw_only=True)
class _Texts:
    """What was read, and why the rest wasn't."""

    files: dict[str, str] = attrs.field(factory=dict)
    troubles: dict[str, str] = attrs.field(factory=dict)


def _read_all(root: Path, pattern: str, probes: Probes) -> _Texts:
    files, troubles = {}, {}
    for path in _expand(root, pattern):
        name = f"/{path.relative_to(root)}"
        try:
            files[name] = probes.read_file(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as problem:
            troubles[name] = problem.strerror or str(problem)
    return _Texts(files=files, troubles=troubles)


def _expand(root: Path, pattern: str) -> Iterable[Path]:
    if "*" in pattern:
        return root.glob(pattern.lstrip("/"))
    return [_under(root, pattern)]


def _under(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _late(seconds: float) -> str:
    return f"no answer within {seconds:g} s"


async def _module(probes: Probes) -> ModuleSight:
    late = ModuleSight(problem=_late(_LONG_PATIENCE))
    return await _within(_LONG_PATIENCE, probes.ask_module, otherwise=late)


async def _resolve(
    probes: Probes, names: Iterable[str]
) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = dict.fromkeys(names, ())

    async def resolve(name: str) -> None:
        with trio.move_on_after(_LONG_PATIENCE):
            try:
                found[name] = await probes.resolve(name)
            except OSError:
                return

    async with trio.open_nursery() as nursery:
        for name in found:
            nursery.start_soon(resolve, name)
    return found


async def _ports(
    facts: Facts, kind: Kind, probes: Probes, plan: Plan | None
) -> Mapping[str, str]:
    endpoints = ports_of(plan, kind) if plan is not None else ()
    has_vsock = bool(facts.vsock) or VSOCK_DEVICE in facts.devices
    return await _try_all(
        _PATIENCE,
        probes.try_listening,
        # Without a vsock none of its ports is to be had, and another check says so.
        [each for each in endpoints if has_vsock or not _is_vsock(each)],
    )


def _is_vsock(endpoint: Endpoint) -> bool:
    return isinstance(endpoint, VsockEndpoint)


async def _servers(kind: Kind, probes: Probes, plan: Plan | None) -> Mapping[str, str]:
    if plan is None or kind == "enclave":
        return {}
    servers = [volume.server for volume in plan.manifest.volume]
    return await _try_all(_LONG_PATIENCE, probes.try_connecting, servers)


async def _try_all(
    seconds: float, fn: Callable[[E], Awaitable[object]], endpoints: Sequence[E]
) -> Mapping[str, str]:
    """Return by endpoint why ``fn`` fails for it, empty if it doesn't."""
    troubles = {str(endpoint): "" for endpoint in endpoints}

    async def attempt(endpoint: E) -> None:
        trouble = await _trouble(seconds, partial(fn, endpoint))
        troubles[str(endpoint)] = _NOWHERE if trouble is None else trouble

    async with trio.open_nursery() as nursery:
        for endpoint in endpoints:
            nursery.start_soon(attempt, endpoint)
    return troubles


async def _programs(
    threads: trio.CapacityLimiter, probes: Probes, kind: Kind, plan: Plan | None
) -> Mapping[str, str]:
    wanted: dict[str, tuple[str, str | None]] = {}
    if kind == "parent":
        wanted["nitro-cli"] = ("nitro-cli", None)
    if kind == "enclave" and plan is not None:
        enclave = plan.manifest.enclave
        program = enclave.command[0]
        place = program
        if "/" in program:
            place = os.path.join(enclave.directory, program)  # noqa: PTH118  a text
        wanted[program] = (place, plan.environment.get("PATH"))
    return {
        name: await _ask(threads, probes.find_program, *where) or ""
        for name, where in wanted.items()
    }


async def _image(threads: trio.CapacityLimiter, plan: Plan | None) -> ImageSight | None:
    if plan is None or plan.manifest.image is None:
        return None
    looking = partial(_in_thread, threads, _look_at_image, plan.manifest.image.eif)
    late = ImageSight(problem=_late(_PATIENCE))
    return await _within(_PATIENCE, looking, otherwise=late)


def _look_at_image(path: str) -> ImageSight:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(fd, "rb", buffering=0) as file:  # noqa: PTH123  it is open already
            return ImageSight(size=os.fstat(fd).st_size, magic=file.read(4) or b"")
    except OSError as problem:
        return ImageSight(problem=problem.strerror or str(problem))


async def _enclaves(probes: Probes, nitro_cli: str) -> Mapping[int, str] | None:
    with trio.move_on_after(_LONG_PATIENCE):
        try:
            return await probes.running_enclaves(nitro_cli)
        except CannotStartError:
            return None
    return None
