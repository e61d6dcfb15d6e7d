"""A chain node between daemon and devnet that hangs up or stalls for as long as a test wants."""

from __future__ import annotations

import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

Mode = Literal["fine", "down", "slow"]


class Proxy:
    """Forwards JSON-RPC to `target` while its mode is fine. Close it at the end."""

    def __init__(self, target: str, mode: Mode) -> None:
        self._mode = mode
        self._mended = threading.Event()
        if mode == "fine":
            self._mended.set()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                reply = proxy.answer(target, body)
                if reply is None:
                    self.close_connection = True
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, target: str, body: bytes) -> bytes | None:
        """The chain's reply; None to hang up. A slow node answers once it is mended."""
        if self._mode == "down":
            return None
        if self._mode == "slow":
            self._mended.wait()
        request = urllib.request.Request(  # noqa: S310 (loopback http)
            target, body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310
            return bytes(reply.read())

    def fail(self) -> None:
        """From now on it hangs up."""
        self._mode = "down"

    def mend(self) -> None:
        """From now on it answers."""
        self._mode = "fine"
        self._mended.set()

    def close(self) -> None:
        self.mend()
        self._server.shutdown()
        self._server.server_close()
