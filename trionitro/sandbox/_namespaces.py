"""Namespaces for a process that is to have a machine of its own.

The program ``unshare`` of util-linux makes them, in front of the command that is to
run in them. A user namespace gives who isn't root the right to; it is used for root
too where it can be, because in it root has no power over the machine.

"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Final

import trio

from trionitro._exceptions import CannotStartError

__all__ = ["command_in_namespaces"]

_OWN: Final = ("--net", "--mount", "--pid", "--uts")

#: The first process of the new PID namespace dies with unshare, and everything in the
#: namespace with that.
_AS_FIRST: Final = ("--fork", "--kill-child", "--mount-proc")

_USER: Final = ("--user", "--map-root-user")

_REMEDY: Final = (
    "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1 user."
    "max_user_namespaces=10000 kernel.apparmor_restrict_unprivileged_userns=0,"
    " whichever this kernel has; in a container --privileged), or run it as root"
)


async def command_in_namespaces(command: Sequence[str]) -> list[str]:
    """Return the command line that runs ``command`` in namespaces of its own.

    Its network, mount, PID and UTS namespaces are new; it is the first process in
    them, and root in a user namespace.

    Raises:
      CannotStartError: if they aren't allowed here.

    """
    problem = "none were tried"
    for flags in _choices():
        probe = ["unshare", *flags, "true"]
        try:
            done = await trio.run_process(
                probe, capture_stdout=True, capture_stderr=True, check=False
            )
        except FileNotFoundError:
            raise CannotStartError(
                "there is no program 'unshare', which the sandbox needs: install"
                " util-linux"
            ) from None
        if done.returncode == 0:
            return ["unshare", *flags, *command]
        problem = _last_line(done)
    raise CannotStartError(f"no namespaces to be had here: {problem}; {_REMEDY}")


def _choices() -> list[tuple[str, ...]]:
    own = (*_OWN, *_AS_FIRST)
    with_user = (*_USER, *own)
    return [with_user, own] if os.geteuid() == 0 else [with_user]


def _last_line(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"unshare returned {done.returncode}"
