"""traces: rounds as OpenTelemetry spans, from a process of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import sys
from typing import Annotated, Final

from cyclopts import Parameter

from node.cli.options import Here
from node.console.failure import Failure
from node.console.session import write_json
from node.control.codes import Exit

_EXTRA: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
#: What the exporter speaks, and what the variables that choose it may say.
_PROTOCOL: Final = "http/protobuf"
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def traces(
    *,
    session: Here,
    endpoint: Annotated[
        str | None,
        Parameter(
            help="A collector's URL, without /v1/traces. [default: OTEL_* variables, else "
            "http://localhost:4318]"
        ),
    ] = None,
    names: Annotated[
        bool, Parameter(help="Say of which job a span is, and what happened in words.", negative="")
    ] = False,
) -> int:
    """Send rounds to a collector of yours as OpenTelemetry spans (OTLP over HTTP), until Ctrl-C.

    A span an attempt at a round, and below it one a phase. OTEL_* variables rule the exporter. It
    follows the daemon as every command does, over its restarts, and begins with what comes next.
    """
    if any(_lacks(name) for name in _EXTRA):
        raise Failure(
            Exit.USAGE,
            "what sends traces is not installed: the extra `otel`",
            next_="pip install 'assay[otel]'",
        )
    if endpoint is not None and not endpoint.startswith(("http://", "https://")):
        text = f"{endpoint} is no URL of a collector; it begins with http:// or https://"
        raise Failure(
            Exit.USAGE,
            text,
            next_="assay traces --endpoint http://localhost:4318",
            field="endpoint",
        )
    for name in _PROTOCOLS:
        if os.environ.get(name, _PROTOCOL) != _PROTOCOL:
            text = f"{name} is {os.environ[name]}; assay sends {_PROTOCOL}"
            raise Failure(Exit.USAGE, text, next_=f"unset {name}")
    from node.metrics.tracing import follow, provider

    # A service manager's way to end it: what is held is sent, as at Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    made = provider(endpoint)
    if session.json:
        write_json({"traces": "sent"})
    else:
        sys.stdout.write("rounds are sent as spans\nCtrl-C ends it\n")
        sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):
        follow(session, made, names=names)
    return Exit.OK


def _lacks(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is None
    except ModuleNotFoundError:
        return True
