"""metrics: what Prometheus asks for, in a process of its own."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from node.cli.options import Here
from node.console.failure import Failure
from node.console.session import write_json
from node.control.codes import Exit


def metrics(
    *,
    session: Here,
    port: Annotated[
        int | None,
        Parameter(help="Where to listen, on loopback; 0: any free port. [default: 4622]"),
    ] = None,
    socket: Annotated[
        Path | None, Parameter(help="A Unix socket to listen on in its place, for this user alone.")
    ] = None,
    names: Annotated[
        bool, Parameter(help="Series of single jobs, with their ids.", negative="")
    ] = False,
) -> int:
    """Answer Prometheus at /metrics with this home's daemon, until Ctrl-C.

    It asks the daemon as every command does; while none runs it says that (`assay_up 0`).
    """
    from node.metrics.serve import on_loopback, on_socket, serve

    if port is not None and socket is not None:
        raise Failure(Exit.USAGE, "is for a port, and a socket is given as well", field="port")
    # A service manager's way to end it: a socket goes with it, as at Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    listener = on_socket(socket) if socket else on_loopback(4622 if port is None else port)
    place = str(socket or f"http://127.0.0.1:{listener.getsockname()[1]}/metrics")

    def ready() -> None:
        if session.json:
            write_json({"address": place})
        else:
            sys.stdout.write(f"metrics at {place}\nCtrl-C ends it\n")
            sys.stdout.flush()

    try:
        serve(session, listener, names=names, ready=ready)
    finally:
        listener.close()
        if socket is not None:
            socket.unlink(missing_ok=True)
    return Exit.OK
