"""A collector of OpenTelemetry spans on loopback, and `assay traces` that sends to it."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from kits.paths import ROOT
from node.home.home import Home
from scripts.testing.keeper import mark


class Collector:
    """What a collector of the user's gets: each request's headers, and its spans."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                collector.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                collector.headers.append(dict(self.headers))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: what came is looked at."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Collector:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def whole(self) -> list[Span]:
        """Every span that came, in the order in which they ended."""
        return [
            span
            for body in list(self.bodies)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def spans(self) -> list[str]:
        """Their names."""
        return [each.name for each in self.whole()]

    def about(self) -> dict[str, str]:
        """What the first request says of who sends."""
        (resource, *_) = ExportTraceServiceRequest.FromString(self.bodies[0]).resource_spans
        return {each.key: each.value.string_value for each in resource.resource.attributes}


@contextmanager
def tracing(
    home: Home, *arguments: str, **variables: str
) -> Iterator[tuple[subprocess.Popen[bytes], list[str]]]:
    """`assay traces` as a user runs it; at the end, what it wrote to standard error."""
    line = [sys.executable, "-m", "node.cli.main", "--home", str(home.path), "traces", *arguments]
    process = subprocess.Popen(
        line,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), **mark(), **variables},
    )
    said: list[str] = []
    try:
        yield process, said
    finally:
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=30)
        said.append(error.decode())
