"""What a check says of a part that was not seen."""

from __future__ import annotations

from node.doctor.findings import Finding, failure, not_asked
from node.doctor.seen import Blank


def blank(what: str, part: Blank, fix: str = "") -> Finding:
    """`what` could not be looked at: a failure where the look failed, else not asked."""
    if part.asked:
        return failure(f"{what} cannot be looked at: {part.why}", fix or "assay doctor --debug")
    return not_asked(f"{what}: {part.why}")
