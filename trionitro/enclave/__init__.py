"""Booting an enclave: from an empty kernel to the application, and back.

``trionitro enclave nitro.toml`` is this package as a program. In a program of your
own, :class:`Boot` is the same thing as one task; what it does to the machine goes
through a :class:`Machine`, whose parts can be others.

"""

from __future__ import annotations

from trionitro.enclave._boot import Boot as Boot
from trionitro.enclave._children import Children as Children
from trionitro.enclave._console import Console as Console
from trionitro.enclave._entropy import EntropyPool as EntropyPool
from trionitro.enclave._entropy import KernelEntropyPool as KernelEntropyPool
from trionitro.enclave._entropy import seed_entropy as seed_entropy
from trionitro.enclave._hosts import HOSTS_FILE as HOSTS_FILE
from trionitro.enclave._loopback import Loopback as Loopback
from trionitro.enclave._loopback import NetlinkLoopback as NetlinkLoopback
from trionitro.enclave._machine import Machine as Machine
from trionitro.enclave._machine import NoEntropyPool as NoEntropyPool
from trionitro.enclave._parent_link import ParentLink as ParentLink
from trionitro.enclave._run import run_boot as run_boot
