"""When a job is over, for whoever follows one. Standard library and control/'s exit codes only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from node.control.codes import Exit

if TYPE_CHECKING:
    from node.control.shapes import JobSummary

#: Kinds of events after which a job may be over. The daemon is then asked for its state.
LAST_WORDS: Final = frozenset(
    {"closed", "finished", "declined", "cancelled", "expired", "failed", "broken"}
)

#: States that a job does not leave, with the exit code of whoever followed it there.
ENDS: Final[Mapping[str, Exit]] = {
    "finished": Exit.OK,
    "declined": Exit.REFUSED,
    "cancelled": Exit.REFUSED,
    "expired": Exit.REFUSED,
    "failed": Exit.FAULT,
}


def over(summary: JobSummary) -> bool:
    """Whether a job has come to its end."""
    return summary["state"] in ENDS


def stands(summary: JobSummary) -> str:
    """Where a job stands, in a sentence: 'is finished', 'ended early, after 3 of 9 rounds'."""
    if summary["early"]:
        return f"ended early, after {summary['round']} of {summary['rounds']} rounds"
    return f"is {summary['state']}"


def may_end(event: Mapping[str, Any]) -> bool:
    """Whether a job may be over after this event."""
    return event["kind"] in LAST_WORDS
