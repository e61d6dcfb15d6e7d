"""The process of `assay traces`: it follows the daemon's events, and sends spans to a collector.

OTLP over HTTP, with what the usual OTEL_* variables say of where and how. The daemon knows nothing
of it: it opens no connection, and imports no part of OpenTelemetry.
"""

from __future__ import annotations

import time
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from node.console.failure import Failure
from node.console.following import Followed
from node.console.session import Session
from node.metrics.rounds import Rounds
from node.version import VERSION

#: Between tries to reach a daemon that is down.
_RETRY_SECONDS: Final = 2.0


def provider(endpoint: str | None) -> TracerProvider:
    """What sends spans to a collector at `endpoint`, a base URL; None: where OTEL_* variables say,
    else http://localhost:4318. Shut it down at the end: it sends what it holds."""
    # The variables win over these: a detected resource is merged over the one before it.
    ours = Resource.create({"service.name": "assay", "service.version": VERSION})
    made = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()))
    url = f"{endpoint.rstrip('/')}/v1/traces" if endpoint else None
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
    return made


def follow(session: Session, made: TracerProvider, *, names: bool) -> None:
    """Make spans of the daemon's events, over its restarts, until KeyboardInterrupt."""
    rounds, followed = Rounds(made.get_tracer("assay"), names=names), Followed()
    try:
        while True:
            try:
                followed.find(session)
                with session.connect() as client:
                    for event in followed.read(client):
                        rounds.event(event)
            except Failure:
                time.sleep(_RETRY_SECONDS)
    finally:
        rounds.close()
        made.shutdown()
