"""The application in the enclave: it does what those ask who reach it from outside.

On 127.0.0.1:9443, in HTTP:

    GET  /hello     says who it is
    GET  /https     asks the server outside, over TLS, and returns its answer
    POST /decrypt   has KMS decrypt what it is sent, with an attestation
    POST /exit/N    ends with the exit code N

It prints a number every half second, so that the log shows whether anything is lost.
"""

from __future__ import annotations

import itertools
import os
import socket
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, Final
from urllib.request import urlopen

REGION: Final = "eu-west-1"


def say(text: str, *, where: IO[str] = sys.stdout) -> None:
    """Print a line, at once."""
    where.write(f"{text}\n")
    where.flush()


def hello(_: bytes) -> bytes:
    """Say who this is."""
    return f"hello from {socket.gethostname()}".encode()


def https(_: bytes) -> bytes:
    """Ask the server outside, as any program would that knows nothing of vsocks."""
    tls = ssl.create_default_context(cafile="/job/ca.pem")
    with urlopen("https://server.test:8443/path", context=tls, timeout=20) as answer:
        return bytes(answer.read())


def decrypt(ciphertext: bytes) -> bytes:
    """Have KMS decrypt, and say what it says where it refuses."""
    # In emulation this takes seconds, and not every one of our lives needs it.
    import trio  # noqa: PLC0415

    from trionitro.kms import KmsClient, KmsError  # noqa: PLC0415
    from trionitro.nsm import Nsm, nsm_device_from  # noqa: PLC0415

    async def ask() -> bytes:
        async with KmsClient(
            region=REGION,
            nsm=Nsm(nsm_device_from(None, os.environ)),
            tls=ssl.create_default_context(cafile="/run/kms-ca.pem"),
        ) as kms:
            try:
                return (await kms.decrypt(ciphertext)).plaintext
            except KmsError as problem:
                return f"refused: {problem}".encode()

    return trio.run(ask)


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    def do_GET(self) -> None:
        """Do what the path says."""
        self.answer({"/hello": hello, "/https": https}[self.path](b""))

    def do_POST(self) -> None:
        """Do what the path says with what is sent."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith("/exit/"):
            self.answer(b"goodbye")
            say("the last word", where=sys.stderr)
            os._exit(int(self.path.removeprefix("/exit/")))
        self.answer(decrypt(body))

    def answer(self, body: bytes) -> None:
        """Send an answer."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print that there was a request, as this server does, on standard error."""
        say(format % args, where=sys.stderr)


def count() -> None:
    """Print numbers."""
    for number in itertools.count():
        say(f"tick {number}.")
        # The pace of an application that goes on and on; nobody waits for it.
        time.sleep(0.5)


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 9443), Handler) as server:
        say("the application is ready")
        threading.Thread(target=count, daemon=True).start()
        server.serve_forever()
