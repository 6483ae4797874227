"""What the tests run in a virtual machine: it looks around, and says what it finds.

It is a file of the application's, and knows of nothing but the guest's Python.

"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path


def run(*command: str) -> str:
    """Run a program, and return all that it says."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


def tcp(host: str, port: int) -> str:
    """Connect, and return what is said there, or what went wrong."""
    try:
        with socket.create_connection((host, port), 20) as stream:
            stream.sendall(b"from the guest\n")
            return stream.recv(1000).decode()
    except OSError as problem:
        return type(problem).__name__


def main() -> None:
    """Look around."""
    with socket.socket(socket.AF_VSOCK) as vsock:
        vsock.bind((socket.VMADDR_CID_ANY, 5000))
        bound = vsock.getsockname()[1]
    found = {
        "arguments": sys.argv[1:],
        "here": sorted(entry.name for entry in Path.cwd().iterdir()),
        "there": Path("/data/more.txt").read_text(),
        "host name": socket.gethostname(),
        "interfaces": [name for _, name in socket.if_nameindex()],
        "processors": os.cpu_count(),
        "user": os.getuid(),
        "environment": dict(os.environ),
        "vsock": bound,
        "named": tcp("greeter.internal", int(sys.argv[1])),
        "unnamed": tcp("192.0.2.1", 80),
        "module": run("trionitro", "nsm", "describe", "--json"),
    }
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stderr.write("looked around\n")
    sys.exit(7)


if __name__ == "__main__":
    main()
