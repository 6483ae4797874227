"""Virtual machines with a real AF_VSOCK and a real /dev/nsm, on any machine.

Few machines that develop or test an enclave have either. QEMU has both, in software
and without root, and starts in seconds. Building the parts takes minutes, and is done
once.

General layout, from the bottom up:

- ``_commands`` runs programs, ``_cache`` keeps what they built;
- ``_packages`` and ``_apt`` get what Debian has;
- ``_qemu``, ``_kernel``, ``_rootfs`` and ``_site`` each build one part, ``_archive``
  packs what goes into the guest, and ``_kit`` puts the parts together;
- ``_machine`` says what QEMU is told, ``_guest`` runs a guest to its end.

"""

from __future__ import annotations

from trionitro.vm._commands import KitError as KitError
from trionitro.vm._files import Files as Files
from trionitro.vm._files import parse_files as parse_files
from trionitro.vm._guest import GuestRun as GuestRun
from trionitro.vm._guest import run_guest as run_guest
from trionitro.vm._kit import Kit as Kit
from trionitro.vm._kit import build_enclave_kit as build_enclave_kit
from trionitro.vm._kit import build_kit as build_kit
from trionitro.vm._kit import install_packages as install_packages
from trionitro.vm._machine import NSM_DEVICE as NSM_DEVICE
from trionitro.vm._machine import Machine as Machine
from trionitro.vm._manifest import read_vm_plan as read_vm_plan
from trionitro.vm._site import read_requirements as read_requirements
from trionitro.vm._stand_ins import read_resigner as read_resigner
from trionitro.vm._vm import VmConfig as VmConfig
from trionitro.vm._vm import run_vm as run_vm
