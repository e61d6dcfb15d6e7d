"""The devnet's process: JSON-RPC over HTTP on loopback, and a block at every tick."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from node.devnet.ledger import Ledger
from node.devnet.rpc import Dispatcher
from protocol.errors import InputError

log = logging.getLogger(__name__)

#: A request's body: a contract's deployment fits many times.
MAX_BODY: Final = 1024 * 1024

#: Connections at once. Each costs a thread; a daemon keeps about four.
MAX_CONNECTIONS: Final = 128

#: A connection that says nothing for this long, seconds, is closed.
IDLE_SECONDS: Final = 60.0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        # A body that is not read would be taken for the next request: these connections end.
        if not length.isascii() or not length.isdigit():
            self._reply(411, b"Content-Length is required\n", close=True)
        elif len(length) > 9 or int(length) > MAX_BODY:
            self._reply(413, f"at most {MAX_BODY} bytes\n".encode(), close=True)
        else:
            body = self.rfile.read(int(length))
            if len(body) == int(length):
                self._reply(200, self.server.dispatcher.answer(body), close=False)

    def _reply(self, status: int, body: bytes, close: bool) -> None:
        self.close_connection = self.close_connection or close
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if close:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Two devnets on one port would share it unnoticed.
    allow_reuse_port = False
    request_queue_size = 64

    def __init__(self, host: str, port: int, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return self._slots.acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if isinstance(error, OSError):
            log.debug("connection from %s ended: %s", client_address, error)
        else:
            log.error("connection from %s failed", client_address, exc_info=error)


def serve_devnet(
    host: str,
    port: int,
    chain_id: int,
    fund: Mapping[bytes, int],
    block_time: float,
    ready: Callable[[str], None],
) -> None:
    """Run a chain until SIGTERM or SIGINT; call from the main thread of its own process.

    `fund` maps 20-byte addresses to wei; `block_time` is in seconds; port 0 takes a free one.
    `ready` is called with the URL once requests are answered. Raises InputError, naming the field,
    for a port in use or a value out of range.
    """
    if not 0.01 <= block_time <= 3600:
        raise InputError(f"0.01 to 3600 seconds, not {block_time}", "block_time")
    if not 1 <= chain_id < 2**63:
        raise InputError(f"1 to 2^63 - 1, not {chain_id}", "chain_id")
    for address, wei in fund.items():
        if len(address) != 20 or not 0 <= wei < 2**128:
            raise InputError(f"0x{address.hex()}={wei}: 20 bytes and below 2^128 wei", "fund")
    ledger = Ledger(chain_id, fund)
    try:
        server = _Server(host, port, Dispatcher(ledger))
    except (OSError, OverflowError) as error:
        raise InputError(f"cannot listen on {host}:{port}: {error}", "port") from error
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    # The argument: how long the end of the process may take to be noticed, seconds.
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="rpc", daemon=True)
    thread.start()
    try:
        name = f"[{host}]" if server.address_family == socket.AF_INET6 else host
        ready(f"http://{name}:{server.server_address[1]}")
        _tick(ledger, block_time, stop)
    finally:
        server.shutdown()
        server.server_close()


def _tick(ledger: Ledger, block_time: float, stop: threading.Event) -> None:
    """Mine at every multiple of `block_time`; ticks missed under load are not made up for."""
    due = time.monotonic() + block_time
    while not stop.wait(max(0.0, due - time.monotonic())):
        ledger.mine()
        due = max(due + block_time, time.monotonic())
