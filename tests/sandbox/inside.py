"""What the tests run in a sandbox: it looks around, and writes down what it finds.

Its arguments are a directory, the ports of two servers of which the manifest names
the first, and the way to say that it is done: an exit code.

"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions

HOST = "db.internal"


def tcp(host: str, port: int) -> str:
    """Try to connect, and say what happened."""
    try:
        socket.create_connection((host, port), 5).close()
    except OSError as problem:
        return str(problem)
    return "reached"


def run(*command: str) -> str:
    """Run a program and return what it says."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout or done.stderr


def use_kms(directory: Path) -> dict[str, str]:
    """Encrypt with boto3, and decrypt without attestation and with it."""
    kms = boto3.client("kms", region_name="us-west-1")
    blob = kms.encrypt(KeyId="alias/test", Plaintext=b"secret")["CiphertextBlob"]
    (directory / "blob").write_bytes(blob)
    try:
        kms.decrypt(CiphertextBlob=blob)
        plainly = "decrypted"
    except botocore.exceptions.ClientError as refusal:
        plainly = refusal.response["Error"]["Code"]
    command = ("-m", "trionitro", "kms", "decrypt", "--region", "us-west-1")
    attested = run(sys.executable, *command, str(directory / "blob"))
    return {"plainly": plainly, "attested": attested}


def namespaces_of_this_process() -> list[str]:
    """Return the names that the kernel has for them."""
    return [str(link.readlink()) for link in Path("/proc/self/ns").iterdir()]


def serve_once(port: int) -> None:
    """Answer one connection with what it sends, in capitals."""
    with socket.create_server(("127.0.0.1", port)) as server:
        sys.stderr.write("serving\n")
        sys.stderr.flush()
        stream, _ = server.accept()
        with stream:
            stream.sendall(stream.recv(100).upper())


def look_around(named: int, unnamed: int) -> dict[str, Any]:
    """Try what should be reached, and what should not."""
    return {
        "named": tcp(HOST, named),
        "curl": run("curl", "-sS", f"http://{HOST}:{named}/"),
        "its own port": tcp("127.0.0.1", named),
        "another port of the host": tcp("127.0.0.1", unnamed),
        "another port of the name": tcp(HOST, unnamed),
        "an outside address": tcp("192.0.2.1", 80),
        "a name off the list": tcp("example.com", 80),
        "interfaces": [name for _, name in socket.if_nameindex()],
        "host name": socket.gethostname(),
        "processes": [entry.name for entry in Path("/proc").glob("[0-9]*")],
        "namespaces": namespaces_of_this_process(),
        "environment": dict(os.environ),
    }


def main() -> None:
    """Do it all, and write it down on the volume."""
    directory, named, unnamed, volume, code = sys.argv[1:]
    found = look_around(int(named), int(unnamed))
    found["kms"] = use_kms(Path(directory))
    serve_once(8443)
    (Path(volume) / "found.json").write_text(json.dumps(found))
    sys.exit(int(code))


if __name__ == "__main__":
    main()
