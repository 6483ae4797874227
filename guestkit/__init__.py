"""A virtual machine for the tests: a real kernel's AF_VSOCK, and a real /dev/nsm.

The machine that runs the tests has neither. QEMU has both, in software and without
root, and starts in seconds. Building the parts takes minutes, and is done once.

General layout, from the bottom up:

- ``_commands`` runs programs, ``_cache`` keeps what they built;
- ``_packages`` and ``_apt`` get what Debian has;
- ``_qemu``, ``_kernel``, ``_rootfs`` and ``_site`` each build one part, ``_archive``
  packs what goes into the guest, and ``_kit`` puts the parts together;
- ``_machine`` says what QEMU is told, ``_guest`` runs a guest to its end.

Nothing here is part of the package ``trionitro``, or goes into its wheel.

"""

from __future__ import annotations

from guestkit._commands import KitError as KitError
from guestkit._guest import GuestRun as GuestRun
from guestkit._guest import run_guest as run_guest
from guestkit._kit import Kit as Kit
from guestkit._kit import build_kit as build_kit
from guestkit._machine import NSM_DEVICE as NSM_DEVICE
from guestkit._machine import Machine as Machine
