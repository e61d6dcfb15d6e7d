"""The process of `assay metrics`: GET /metrics on loopback or on a Unix socket, and nothing else.

Each question is one connection to the control socket; the daemon opens no port for it. On loopback
a page that a browser shows could ask, too: `Host` must be this address, so that a name which
resolves to it (DNS rebinding) reads nothing, and no header lets another page read the answer.
"""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import stat
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Final

from node.console.failure import Failure
from node.console.session import Session
from node.control.codes import Exit
from node.metrics.collected import CONTENT_TYPE, text_of

#: Of whoever is connected and says nothing.
_READ_SECONDS: Final = 10.0
#: At once; whoever comes in addition is hung up on.
_READERS: Final = 16
#: Of the daemon, before it counts as down.
_CALL_SECONDS: Final = 5.0


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Threads, so that one silent reader keeps nobody out; they end with the process."""

    daemon_threads = True
    request_queue_size = 16

    def __init__(self, listener: socket.socket, hosts: frozenset[str], ask: Callable[[], bytes]):
        self.address_family = listener.family
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.hosts, self.ask = hosts, ask
        self._free = threading.Semaphore(_READERS)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A reader that hung up is no news."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _READ_SECONDS
    server: _Server
    server_version = "assay"
    sys_version = ""

    def do_GET(self) -> None:
        hosts = self.headers.get_all("Host", [])
        if self.server.hosts and (len(hosts) != 1 or hosts[0] not in self.server.hosts):
            self._say(421, b"refused: this answers to its own address alone\n")
        elif self.path != "/metrics":
            self._say(404, b"only /metrics is here\n")
        else:
            self._say(200, self.server.ask(), CONTENT_TYPE)

    def _say(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("X-Content-Type-Options", "nosniff"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Connection", "close"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "local"  # a Unix socket has no address

    def log_message(self, format: str, *args: Any) -> None:
        """Each question every few seconds would only fill a log."""


def on_loopback(port: int) -> socket.socket:
    """A socket on 127.0.0.1 alone; port 0: any that is free. Raises Failure where it is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        listener.close()
        text = f"port {port} cannot be had: {getattr(error, 'strerror', None) or error}"
        raise Failure(Exit.USAGE, text, next_="assay metrics --port 0", field="port") from None
    listener.listen(16)
    return listener


def on_socket(path: Path) -> socket.socket:
    """A Unix socket at `path`, for this user alone; one that an ended process left is replaced.

    Raises Failure: something else stands there, somebody answers there, or it cannot be made.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_left(path):
            path.unlink()
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
    except OSError as error:
        listener.close()
        text = f"{path} cannot be made: {error.strerror or error}"
        raise Failure(Exit.USAGE, text, field="socket") from None
    listener.listen(16)
    return listener


def _is_left(path: Path) -> bool:
    """Whether a socket is there that nobody listens on."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return False
    except FileNotFoundError:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(1.0)
        try:
            asking.connect(str(path))
        except ConnectionRefusedError:
            return True
    return False


def serve(
    session: Session, listener: socket.socket, *, names: bool, ready: Callable[[], None]
) -> None:
    """Answer until Ctrl-C or SIGTERM. `names`: series of single jobs, too."""

    def ask() -> bytes:
        try:
            with session.connect(_CALL_SECONDS) as client:
                return text_of(client.call("status"), client.call("jobs"), names=names)
        except Failure:
            return text_of(None, (), names=names)

    port = listener.getsockname()[1] if listener.family == socket.AF_INET else 0
    hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"} if port else ())
    with _Server(listener, hosts, ask) as server, contextlib.suppress(KeyboardInterrupt):
        ready()
        server.serve_forever()
