"""What a boot finds around it, and what a test or a sandbox puts in its place."""

from __future__ import annotations

from pathlib import Path
from typing import final

import attrs

from trionitro.abc import NsmDevice, VsockNetwork
from trionitro.enclave._children import Children
from trionitro.enclave._entropy import EntropyPool, KernelEntropyPool
from trionitro.enclave._hosts import HOSTS_FILE
from trionitro.enclave._loopback import Loopback, NetlinkLoopback
from trionitro.enclave._volume import MOUNTED, SEARCH_PATH
from trionitro.nsm import KernelNsm

__all__ = ["Machine", "NoEntropyPool"]


@final
@attrs.frozen
class NoEntropyPool(EntropyPool):
    """Takes nothing: what an emulated module gives is no entropy for a real kernel."""

    def add(self, data: bytes) -> None:
        """Drop it."""


def _pool_for(machine: Machine) -> EntropyPool:
    if isinstance(machine.nsm, KernelNsm):
        return KernelEntropyPool()
    return NoEntropyPool()


@attrs.frozen(kw_only=True)
class Machine:
    """The machine that an enclave is, as far as its boot is concerned with it.

    Attributes:
      network: the vsock.
      nsm: the security module.
      pool: where its entropy goes; by default the kernel's, unless the module is
          emulated.
      loopback: the interface lo.
      hosts: the hosts file.
      children: starts all processes.
      search_path: where ``mount`` and ``umount`` are looked for.
      mounted: what tells which file systems are mounted.

    """

    network: VsockNetwork
    nsm: NsmDevice
    pool: EntropyPool = attrs.field(default=attrs.Factory(_pool_for, takes_self=True))
    loopback: Loopback = attrs.field(factory=NetlinkLoopback)
    hosts: Path = HOSTS_FILE
    children: Children = attrs.field(factory=Children)
    search_path: str = SEARCH_PATH
    mounted: Path = MOUNTED
