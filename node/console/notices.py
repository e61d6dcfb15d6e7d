"""What a user would want to be called for: consent, pay, a job's end, trouble.

Pure: it sees results of control methods and says what is new in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from node.console.show import clean

#: Of a title, which is somebody else's words.
_MAX_TITLE: Final = 80
#: Of one notice: more is for `assay status`.
_MAX_TEXT: Final = 400

#: States of a job that end it here, and how they read.
_ENDED: Final = {
    "finished": "is finished",
    "cancelled": "is cancelled",
    "expired": "has expired",
    "failed": "has failed",
    "declined": "is not taken",
}
#: Events that are told as they are: each happens once, and no state shows it.
_TOLD: Final = frozenset({"paid", "fault", "broken", "transaction-failed"})


@dataclass(frozen=True)
class Notice:
    """One thing to be called for. `text` is one line; it begins with a word of ours, so that no
    program takes it for an option."""

    kind: str
    job: str | None
    text: str


class Noticed:
    """What was told before. A new one tells of jobs that wait, and of nothing else that is past."""

    def __init__(self) -> None:
        self._states: dict[str, str] | None = None
        self._problems: frozenset[str] = frozenset()

    def jobs(self, jobs: Sequence[Mapping[str, Any]]) -> Iterator[Notice]:
        """Notices of a list of jobs (`jobs`)."""
        before, self._states = self._states, {job["job"]: job["state"] for job in jobs}
        for job in jobs:
            state, name = job["state"], job["job"]
            if before is not None and before.get(name) == state:
                continue
            if state == "waiting":
                yield _notice("waiting", job, "waits for your consent")
            elif before is not None and state in _ENDED and name in before:
                yield _notice(state, job, _ENDED[state])

    def status(self, status: Mapping[str, Any]) -> Iterator[Notice]:
        """Notices of a status: problems that were not there at the last look."""
        before, self._problems = self._problems, frozenset(status["problems"])
        for problem in status["problems"]:
            if problem not in before:
                yield Notice("problem", None, _line(f"problem: {problem}"))

    def event(self, event: Mapping[str, Any]) -> Iterator[Notice]:
        """Notices of an event."""
        if event["kind"] in _TOLD:
            about = "" if event["job"] is None else f" of job {_short(event['job'])}"
            yield Notice(
                event["kind"], event["job"], _line(f"{event['kind']}{about}: {event['text']}")
            )


def _notice(kind: str, job: Mapping[str, Any], what: str) -> Notice:
    title = job["title"][:_MAX_TITLE]
    why = f" ({job['reason']})" if job["reason"] else ""
    return Notice(kind, job["job"], _line(f"job {_short(job['job'])} {what}{why}: {title}"))


def _short(job: str) -> str:
    return job.removeprefix("0x")[:8]


def _line(text: str) -> str:
    return clean(text)[:_MAX_TEXT]
