"""Machines for tests: trees of files, and answers to what is asked."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs
import trio

from trionitro._endpoints import Endpoint, TcpEndpoint
from trionitro._exceptions import CannotStartError
from trionitro.doctor import ModuleSight, Probes

#: 2026-06-01.
NOW: Final = 1780272000.0

_CPUS: Final = "/sys/devices/system/cpu"
_PAGES: Final = "/sys/kernel/mm/hugepages"

_COMMON: Final = {
    "/etc/hosts": "127.0.0.1 localhost\n",
    "/proc/modules": "",
    "/proc/sys/kernel/osrelease": "6.1.0-aws\n",
}

_OUTSIDE: Final = {
    **_COMMON,
    "/etc/resolv.conf": "search example\nnameserver 10.0.0.2\n",
    "/run/chrony/chronyd.pid": "",
}

#: An m5.xlarge with everything an enclave wants: 4 processors in 2 cores, of which
#: one core is the enclaves', and 4 GiB of huge pages.
PARENT: Final = {
    **_OUTSIDE,
    "/dev/nitro_enclaves": "",
    "/dev/vsock": "",
    "/etc/nitro_enclaves/allocator.yaml": "memory_mib: 4096\ncpu_count: 2\n",
    "/etc/nitro_enclaves/vsock-proxy.yaml": (
        "allowlist:\n- {address: kms.us-east-1.amazonaws.com, port: 443}\n"
    ),
    "/proc/cpuinfo": "processor : 0\nflags : fpu hypervisor\n",
    "/sys/class/dmi/id/product_name": "m5.xlarge\n",
    "/sys/class/dmi/id/sys_vendor": "Amazon EC2\n",
    f"{_CPUS}/cpu0/topology/thread_siblings_list": "0,2\n",
    f"{_CPUS}/cpu2/topology/thread_siblings_list": "0,2\n",
    f"{_PAGES}/hugepages-2048kB/nr_hugepages": "1024\n",
    f"{_PAGES}/hugepages-2048kB/free_hugepages": "1024\n",
    f"{_PAGES}/hugepages-1048576kB/nr_hugepages": "2\n",
    f"{_PAGES}/hugepages-1048576kB/free_hugepages": "2\n",
    "/sys/module/nitro_enclaves/parameters/ne_cpus": "1,3\n",
}

#: One that has been booted.
ENCLAVE: Final = {
    **_COMMON,
    "/dev/nsm": "",
    "/dev/vsock": "",
    "/proc/cmdline": "reboot=k panic=30 pci=off random.trust_cpu=on\n",
    "/proc/filesystems": "nodev\tproc\nnodev\tnfs4\n",
    "/sys/devices/virtual/misc/hw_random/rng_available": "nsm-hwrng\n",
}

#: The flags of network interfaces: up, and loopback or not.
LO: Final = {"lo": 0x9}
LO_AND_ETHERNET: Final = {"lo": 0x9, "eth0": 0x1003}

LAPTOP: Final = {
    **_OUTSIDE,
    "/proc/cpuinfo": "processor : 0\nflags : fpu vmx\n",
    "/sys/class/dmi/id/product_name": "20XW\n",
    "/sys/class/dmi/id/sys_vendor": "LENOVO\n",
}

VM: Final = {
    **LAPTOP,
    "/dev/vsock": "",
    "/proc/cpuinfo": "processor : 0\nflags : fpu hypervisor\n",
    "/sys/class/dmi/id/product_name": "Standard PC (Q35 + ICH9, 2009)\n",
    "/sys/class/dmi/id/sys_vendor": "QEMU\n",
}

_MODULE: Final = ModuleSight(module_id="i-1-enc2", clock_offset=0.0)


def plant(root: Path, files: Mapping[str, str | None]) -> Path:
    """Write files under ``root``, but those that are None."""
    for name, text in files.items():
        if text is not None:
            path = root / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return root


@attrs.define(eq=False, kw_only=True)
class FakeProbes(Probes):
    """A machine that answers what it is told to, and fails where it isn't told."""

    vsock: str = ""
    nsm: str = ""
    own_cid: int | None = None
    links: Mapping[str, int] = attrs.field(factory=lambda: LO_AND_ETHERNET)
    seeded: bool = True
    time: float = NOW
    offset: float | None = None
    module: ModuleSight = _MODULE
    names: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    ports: Mapping[str, OSError] = attrs.field(factory=dict)
    servers: Mapping[str, OSError] = attrs.field(factory=dict)
    programs: Mapping[str, str] = attrs.field(factory=dict)
    enclaves: Mapping[int, str] | None = attrs.field(factory=dict)
    #: Files and devices that never answer; and when they do.
    hung: frozenset[str] = frozenset()
    end_of_hanging: threading.Event = attrs.field(factory=threading.Event)
    #: Whether what goes over a network never answers.
    is_network_dead: bool = False
    asked: list[str] = attrs.field(factory=list)

    def read_file(self, path: Path) -> str:
        """Read, or hang."""
        self._wait(path)
        return super().read_file(path)

    def open_device(self, path: Path) -> None:
        """Open, or hang."""
        self._wait(path)
        super().open_device(path)

    def _wait(self, path: Path) -> None:
        if path.name in self.hung:
            self.end_of_hanging.wait()

    @property
    def vsock_name(self) -> str:
        """Name the network."""
        return self.vsock

    @property
    def nsm_name(self) -> str:
        """Name the module."""
        return self.nsm

    def cid(self) -> int | None:
        """Tell the CID."""
        return self.own_cid

    def interfaces(self) -> Mapping[str, int]:
        """Tell the interfaces."""
        return self.links

    def is_seeded(self) -> bool:
        """Tell whether it is seeded."""
        return self.seeded

    def now(self) -> float:
        """Tell the time."""
        return self.time

    def clock_offset(self, device: Path) -> float:
        """Tell the offset, if there is a PTP device."""
        if self.offset is None:
            raise FileNotFoundError(device)
        return self.offset

    def find_program(self, name: str, path: str | None) -> str | None:
        """Find a program."""
        return self.programs.get(name)

    async def ask_module(self) -> ModuleSight:
        """Ask the module, or hang."""
        await self._network()
        return self.module

    async def resolve(self, name: str) -> tuple[str, ...]:
        """Resolve a name, or hang."""
        await self._network()
        self.asked.append(name)
        if name not in self.names:
            raise OSError("no such name")
        return self.names[name]

    async def try_listening(self, endpoint: Endpoint) -> None:
        """Fail where a port is taken."""
        await trio.lowlevel.checkpoint()
        self.asked.append(str(endpoint))
        if str(endpoint) in self.ports:
            raise self.ports[str(endpoint)]

    async def try_connecting(self, server: TcpEndpoint) -> None:
        """Fail where nobody listens, or hang."""
        await self._network()
        if str(server) in self.servers:
            raise self.servers[str(server)]

    async def running_enclaves(self, nitro_cli: str) -> Mapping[int, str]:
        """Tell what runs, or hang."""
        await self._network()
        if self.enclaves is None:
            raise CannotStartError("nitro-cli has no mind to tell")
        return self.enclaves

    async def _network(self) -> None:
        if self.is_network_dead:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
