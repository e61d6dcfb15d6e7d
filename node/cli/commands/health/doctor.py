"""doctor: what is wrong with this node, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from node.cli.options import Here
from node.console.show import Table
from node.control.codes import Exit


def doctor(
    *,
    session: Here,
    bundle: Annotated[
        Path | None,
        Parameter(help="Write what was found to a .zip for whoever helps, without secrets."),
    ] = None,
) -> int:
    """Look for what is wrong with this node: each check with a sentence, and what to do next.

    Works with and without a running daemon, and changes nothing. Ends with 7 where a check failed;
    warnings and what could not be asked do not count.
    """
    from node.doctor.bundle import check_place, report, write_bundle
    from node.doctor.examine import examine, healthy, judge
    from node.doctor.findings import State
    from node.doctor.seen import Blank

    home = session.home
    if bundle is not None:
        check_place(bundle.absolute())
    seen = examine(home)
    found = judge(seen)
    said = report(home, seen, found)
    said["reach"] = None if isinstance(seen.reach, Blank) else seen.reach
    if bundle is not None:
        write_bundle(bundle.absolute(), home, seen, found)
        said["bundle"] = str(bundle.absolute())
    # What asks for something stands first, since thirty lines are many to read.
    order = (State.FAILURE, State.WARNING, State.NOT_ASKED, State.OK)
    rows = [
        (name, str(each.state), each.whole, each.fix or "-")
        for state in order
        for name, each in found.items()
        if each.state is state
    ]
    counts = f"{said['failures']} failed, {said['warnings']} to look at, of {len(found)} checks"
    silent = sum(each.state is State.NOT_ASKED for each in found.values())
    tail = f"; {silent} could not be asked" if silent else ""
    lines = [] if bundle is None else [f"written, without secrets: {bundle.absolute()}"]
    session.emit(
        said, [Table(("check", "state", "what was seen", "next"), rows), counts + tail, *lines]
    )
    return Exit.OK if healthy(found) else Exit.FAULT
