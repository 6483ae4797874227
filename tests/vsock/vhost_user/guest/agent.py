"""What a guest does for the tests, on the kernel's own AF_VSOCK: see test_qemu.py.

Each of its ports does one thing with whoever connects. It is ready when it has
connected to port 9000 of the parent, and ends when somebody connects to port 2000.
"""

from __future__ import annotations

import errno
import hashlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

PARENT: Final = 3
READY: Final = 9000

#: What bulk is made of.
PATTERN: Final = bytes(range(256)) * 2**10


def read_all(connection: socket.socket) -> bytes:
    """Read until end-of-file."""
    received = bytearray()
    while data := connection.recv(2**18):
        received += data
    return bytes(received)


def send_pattern(connection: socket.socket, size: int) -> None:
    """Send ``size`` bytes."""
    while size > 0:
        connection.sendall(PATTERN[:size])
        size -= len(PATTERN)


def end(connection: socket.socket) -> None:
    """Let the guest end."""
    ended.set()


def echo(connection: socket.socket) -> None:
    """Send back what comes, until end-of-file."""
    while data := connection.recv(2**16):
        connection.sendall(data)


def digest(connection: socket.socket) -> None:
    """Tell what came, and from whom."""
    time.sleep(0.5)  # a reader that is slow, at first
    cid, port = connection.getpeername()
    received = read_all(connection)
    answer = f"{len(received)} {hashlib.sha256(received).hexdigest()} {cid} {port}"
    connection.sendall(answer.encode())


def source(connection: socket.socket) -> None:
    """Send as much as is asked for."""
    send_pattern(connection, int(connection.recv(100)))


def hang_up(connection: socket.socket) -> None:
    """Do nothing at all."""


def end_then_read(connection: socket.socket) -> None:
    """Send end-of-file first, and then tell the next who asks what came."""
    connection.shutdown(socket.SHUT_WR)
    after_the_end.append(read_all(connection))


def tell(connection: socket.socket) -> None:
    """Tell what came after the end."""
    connection.sendall(b"".join(after_the_end))


def stop_reading(connection: socket.socket) -> None:
    """Stop receiving, but stay."""
    connection.shutdown(socket.SHUT_RD)
    ended.wait()


def dial(connection: socket.socket) -> None:
    """Connect to where one is told, say hello, and tell what came of it."""
    cid, port = map(int, connection.recv(100).split())
    with socket.socket(socket.AF_VSOCK) as dialled:
        try:
            dialled.connect((cid, port))
            dialled.sendall(b"hello")
            dialled.shutdown(socket.SHUT_WR)
            connection.sendall(b"ok " + read_all(dialled))
        except OSError as error:
            connection.sendall(errno.errorcode[error.errno or 0].encode())


PORTS: Final[dict[int, Callable[[socket.socket], None]]] = dict(
    enumerate(
        [end, echo, digest, source, hang_up, end_then_read, tell, stop_reading, dial],
        start=2000,
    )
)

ended = threading.Event()
after_the_end: list[bytes] = []


def listen(port: int) -> None:
    """Serve all who connect to ``port``, each in a thread."""

    def serve(connection: socket.socket) -> None:
        with connection:
            PORTS[port](connection)

    listener = socket.socket(socket.AF_VSOCK)
    listener.bind((socket.VMADDR_CID_ANY, port))
    listener.listen(1024)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def main() -> None:
    """Serve all ports, until told to end."""
    for port in PORTS:
        threading.Thread(target=listen, args=(port,), daemon=True).start()
    with socket.socket(socket.AF_VSOCK) as ready:
        ready.connect((PARENT, READY))
    ended.wait()


if __name__ == "__main__":
    main()
