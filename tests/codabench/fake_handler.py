"""Code shared by both ports of the fake Codabench."""

from __future__ import annotations

import socket
import struct
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.codabench.world import Reply, World


class Server(ThreadingHTTPServer):
    world: World
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # A client that was killed is what some tests are about.


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    # Otherwise each answer waits for the acknowledgement of its own headers.
    disable_nagle_algorithm = True

    @property
    def world(self) -> World:
        return self.server.world

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate(self.world.now(), usegmt=True)

    def answer(self, reply: Reply) -> None:
        if reply.lose:
            self.hang_up()
            return
        body = reply.body
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self) -> None:
        # With nothing to linger for, closing resets the connection.
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True

    def hook(self, when: str, what: str) -> None:
        # A name that ends in `$` is that of one request and of no longer one.
        for name, action in list(self.world.hooks.items()):
            if f"{when} {what}$".startswith(name):
                action()
