"""Telling systemd how far we are, in the protocol of sd_notify(3)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

__all__ = ["notify"]


def notify(state: str, environ: Mapping[str, str] = os.environ) -> None:
    """Send ``state``, such as ``"READY=1"``, to the service manager that asked.

    Does nothing where none did. Never blocks: a manager that doesn't listen, or
    listens too slowly, is not our problem.

    Args:
      state: lines of ``KEY=VALUE``.
      environ: where ``NOTIFY_SOCKET`` stands; ``@`` at its start means the abstract
          namespace.

    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        try:
            sock.sendto(state.encode(), address)
        except OSError:
            return
