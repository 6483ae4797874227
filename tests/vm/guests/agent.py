"""Runs programs in a guest for a test outside, which asks on the kernel's AF_VSOCK.

Whoever connects to port 2000 sends a line of JSON::

    {"command": ["ls", "-l"], "environment": {"LANG": "C"}}

and gets each line that the program prints after ``| ``, and its exit code after
``= ``. What else comes meanwhile are names of signals for it, one on a line; it is
killed when the connection ends. An empty command ends this guest.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
from typing import Final

PORT: Final = 2000

ended = threading.Event()


def serve(connection: socket.socket) -> None:
    """Run one program."""
    with connection, connection.makefile("rb", buffering=0) as stream:
        line = stream.readline()
        if not line:  # who only wants to know whether this is up
            return
        asked = json.loads(line)
        if not asked["command"]:
            ended.set()
            return
        with subprocess.Popen(
            asked["command"],
            env=os.environ | asked["environment"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as program:
            obeying = threading.Thread(target=obey, args=(program, stream))
            obeying.start()
            tell(program, connection)
        connection.shutdown(socket.SHUT_RDWR)
        obeying.join()


def tell(program: subprocess.Popen[bytes], connection: socket.socket) -> None:
    """Pass on what a program prints, and its exit code."""
    assert program.stdout is not None
    try:
        for line in program.stdout:
            connection.sendall(b"| " + line.rstrip(b"\n") + b"\n")
        connection.sendall(b"= %d\n" % program.wait())
    except OSError:  # nobody wants to know
        program.kill()


def obey(program: subprocess.Popen[bytes], stream: socket.SocketIO) -> None:
    """Pass signals on to a program."""
    try:
        while line := stream.readline():
            program.send_signal(signal.Signals[line.decode().strip()])
    except OSError:
        pass
    program.kill()


def main() -> None:
    """Serve all who connect, until one wants the end."""

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.socket(socket.AF_VSOCK) as listener:
        listener.bind((socket.VMADDR_CID_ANY, PORT))
        listener.listen(64)
        threading.Thread(target=accept, daemon=True).start()
        ended.wait()


if __name__ == "__main__":
    main()
