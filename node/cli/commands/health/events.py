"""events: what happened on this node, as the daemon tells it to every subscriber."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from node.cli import views
from node.cli.options import Here
from node.console.session import write_json
from node.control.codes import Exit


def events(
    *,
    session: Here,
    follow: Annotated[
        bool, Parameter(name=["--follow", "-f"], help="Go on with what happens.", negative=())
    ] = False,
    job: Annotated[str | None, Parameter(help="Events of this job alone.")] = None,
    since: Annotated[int, Parameter(help="Events after this number alone.")] = 0,
) -> int:
    """What happened since the daemon started, as far as it keeps it. With --json, one event a line.

    Events have numbers without gaps; whoever was cut off goes on with --since.
    """
    wanted = None if job is None else job.lower().removeprefix("0x")
    with session.connect() as client, session.connect() as asking:
        newest = asking.call("events.subscribe", {"job": None, "since": None})["seq"]
        if not follow and newest <= since:
            return Exit.OK
        for event in client.events(since=since):
            about = (event["job"] or "").removeprefix("0x")
            if wanted is None or (about and about.startswith(wanted)):
                if session.json:
                    write_json(event)
                else:
                    session.emit(event, [views.event(event)])
                    sys.stdout.flush()
            if not follow and event["seq"] >= newest:
                break
    return Exit.OK
