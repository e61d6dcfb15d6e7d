"""Rounds as OpenTelemetry spans: one an attempt, and below it one a phase, by the daemon's events.

Without `names` a span says nothing of which job it is of, and no text of an event is in it. Times
are the daemon's own, so that spans are right however late this process hears of a phase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context

from node.control.shapes import Event

#: The daemon says that a round came to another phase.
_PHASE: Final = "phase"
#: Phases that end an attempt.
_OVER: Final = ("done", "failed")
#: How an attempt ended, by its phase when the next round began: a model that was being
#: moved has been, and an owner's batch is still due where it waits for its commitment.
_BY_NEXT: Final = {"apply": "done", "commit": "overtaken"}
#: How an attempt ended that the daemon left for another one, or that this process did not see end.
_LEFT: Final = "left"
_UNSEEN: Final = "unseen"


@dataclass
class _Attempt:
    """An attempt that runs. `at`: when it last was heard of, nanoseconds since 1970."""

    place: tuple[int, int]
    whole: Span
    phase: Span
    name: str
    at: int


class Rounds:
    """What runs now, by job. `event` is given each event once, in its order."""

    def __init__(self, tracer: Tracer, *, names: bool) -> None:
        self._tracer, self._names = tracer, names
        self._running: dict[str, _Attempt] = {}

    def event(self, event: Event) -> None:
        """Begin and end spans by one event (`events.event`)."""
        job = event["job"]
        number, attempt = event["facts"].get("round"), event["facts"].get("attempt")
        if job is None or not isinstance(number, int) or not isinstance(attempt, int):
            return
        place = number, attempt
        now = self._running.get(job)
        at = max(round(event["time"] * 1e9), now.at if now else 0)
        if event["kind"] != _PHASE:
            if now is not None and now.place == place:
                text = {"assay.text": event["text"]} if self._names else {}
                now.whole.add_event(event["kind"], text, timestamp=at)
                now.at = at
            return
        self._phase(job, now, place, event["text"], at)

    def close(self) -> None:
        """End what is not over, at the time when it was last heard of."""
        for job, now in list(self._running.items()):
            self._end(job, now, _UNSEEN, now.at)

    def _phase(
        self, job: str, now: _Attempt | None, place: tuple[int, int], phase: str, at: int
    ) -> None:
        if now is not None and now.place != place:
            next_round = place[0] > now.place[0]
            self._end(job, now, _BY_NEXT.get(now.name, _LEFT) if next_round else _LEFT, at)
            now = None
        if phase in _OVER:
            if now is not None:
                self._end(job, now, phase, at)
            return
        if now is None:
            facts: dict[str, str | int] = {"assay.round": place[0], "assay.attempt": place[1]}
            if self._names:
                facts["assay.job"] = job
            whole = self._tracer.start_span("round", start_time=at, attributes=facts)
            self._running[job] = _Attempt(place, whole, self._begin(whole, phase, at), phase, at)
            return
        now.phase.end(at)
        now.phase, now.name, now.at = self._begin(now.whole, phase, at), phase, at

    def _begin(self, whole: Span, phase: str, at: int) -> Span:
        return self._tracer.start_span(phase, context=set_span_in_context(whole), start_time=at)

    def _end(self, job: str, now: _Attempt, how: str, at: int) -> None:
        now.phase.end(at)
        now.whole.set_attribute("assay.end", how)
        if how == "failed":
            now.whole.set_status(Status(StatusCode.ERROR))
        now.whole.end(at)
        del self._running[job]
