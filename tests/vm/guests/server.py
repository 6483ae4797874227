"""The world outside, in the parent's guest: an HTTPS server that knows its name."""

from __future__ import annotations

import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    def do_GET(self) -> None:
        """Say what was asked for, and from whom."""
        body = f"{self.headers['Host']} has {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain("/job/server.pem")
    with ThreadingHTTPServer(("127.0.0.1", 8443), Handler) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        sys.stdout.write("the server is ready\n")
        server.serve_forever()
