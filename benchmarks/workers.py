"""Several proxy processes on one port, to try what that would gain.

    workers.py shared|reuseport COUNT PORT DIRECTORY

Each is a proxy from PORT of 127.0.0.1 to the unix socket DIRECTORY/3/8000.sock. They
accept from one socket, or each from one of its own, among which the kernel divides the
connections. A proxy opens its listeners itself, so here Trio is made to give it ours.
"""

from __future__ import annotations

import os
import signal
import socket
import sys

import trio
import trionitro.proxy  # noqa: F401  before there are several of us
from trionitro._cli import main

__all__ = ["run"]


def run(sharing: str, count: int, port: int, directory: str) -> None:
    """Run until killed."""
    first = _listen(port)
    for number in range(count):
        if os.fork() == 0:
            own = sharing == "reuseport" and number > 0
            _work(_listen(port) if own else first, port, directory)
    signal.pause()


def _listen(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen(0xFFFF)
    return sock


def _work(sock: socket.socket, port: int, directory: str) -> None:
    async def open_tcp_listeners(*_: object, **__: object) -> list[trio.SocketListener]:
        return [trio.SocketListener(trio.socket.from_stdlib_socket(sock))]

    trio.open_tcp_listeners = open_tcp_listeners
    sock.setblocking(False)
    route = [f"tcp://127.0.0.1:{port}", "vsock://3:8000"]
    sys.exit(main(["proxy", *route, "--vsock", f"local:{directory}?cid=16"]))


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
