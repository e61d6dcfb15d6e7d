"""One job of a daemon, as an object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from node.client import frames, models
from node.client.models import Model
from node.client.progress import Shown, Wanted
from node.client.rpc import Rpc, Stream
from node.console.endings import may_end, over

if TYPE_CHECKING:
    import polars as pl

    from node.control.shapes import Audit, Cancelled, Claim, Consent, Event, JobDetail, JobSummary

#: Kinds of events after which a job has come further.
_MOVES: Final = frozenset({"committed", "round-applied"})


class Seen:
    """What was last seen of a job, whoever looked: blocking or on trio."""

    summary: JobSummary

    def __repr__(self) -> str:
        at = f"round {self.summary['round']} of {self.summary['rounds']}"
        return f"<Job {self.id[:10]} {self.summary['title']!r}: {self.state}, {at}>"

    @property
    def id(self) -> str:
        """Its id, in full."""
        return self.summary["job"]

    @property
    def title(self) -> str:
        """Its spec's title: the requester's words, unverified."""
        return self.summary["title"]

    @property
    def state(self) -> str:
        """Where it stood when it was last looked at: posted, waiting, running, finished, ..."""
        return self.summary["state"]

    @property
    def over(self) -> bool:
        """Whether it had come to its end: finished, declined, cancelled, expired or failed."""
        return over(self.summary)

    @property
    def complete(self) -> bool:
        """Whether it finished with all of its rounds."""
        return self.state == "finished" and not self.summary["early"]


class Job(Seen):
    """A job. `summary` is what was last seen of it; `refresh` and `wait` look again."""

    def __init__(self, rpc: Rpc, summary: JobSummary) -> None:
        self._rpc = rpc
        self.summary = summary

    def refresh(self) -> Job:
        """Look at it again; the same object. Raises Failure, as every call does."""
        self.summary = self.detail()["summary"]
        return self

    def detail(self) -> JobDetail:
        """All that this node knows of it: spec, rounds, owners, money, bytes, seconds."""
        return self._rpc.job_show(self.id)

    def rounds(self) -> pl.DataFrame:
        """A row for each round so far, with what its model was measured by."""
        return frames.rounds(self.detail()["rounds"])

    def members(self) -> pl.DataFrame:
        """A row for each enrolled owner that is known here."""
        return frames.members(self.detail()["members"])

    def model(self, round: int | None = None) -> Model:
        """Its model as numpy arrays, the newest unless told which.

        `round` counts the rounds that went into it; 0: the initial weights. Raises Failure where
        there is none yet, or the model is sealed and another's.
        """
        return models.read(self._rpc.model_get(self.id, round=round))

    def events(self, since: int | None = None) -> Stream:
        """Its events as they come, without an end; `since=0` also those that are kept.

        Close it, or read it within a `with`: it holds a connection.
        """
        return self._rpc.events(self.id, since)

    def wait(self, seconds: float | None = None, progress: Wanted = True) -> Job:
        """Wait until the job is over; the same object, whose `complete` says how it ended.

        `progress`: a bar on a terminal or lines elsewhere, on standard error; False: nothing; a
        function: called with each event. Raises TimeoutError once `seconds` have passed, Failure if
        the daemon ends meanwhile.
        """
        try:
            # First the events, then the look: so none falls between the two.
            with (
                self._rpc.events(self.id, None, seconds) as events,
                Shown(self.refresh().summary, progress) as shown,
            ):
                while not self.over:
                    event = next(events)
                    shown.event(event)
                    if moves(event):
                        shown.stands(self.refresh().summary)
                shown.over(self.summary)
        except TimeoutError:
            raise TimeoutError(f"{self!r} is not over after {seconds or 0:g} s") from None
        return self

    def accept(self, dataset: str) -> Consent:
        """Take this waiting job by hand with a data set of this home."""
        taken = self._rpc.job_consent(self.id, dataset)
        self.refresh()
        return taken

    def decline(self) -> Job:
        """Keep out of this waiting job, for good. Nobody is told."""
        self.summary = self._rpc.job_decline(self.id)
        return self

    def leave(self) -> Job:
        """Begin no attempt of this job any more, for good. What is owed is still released."""
        self.summary = self._rpc.job_leave(self.id)
        return self

    def cancel(self) -> Cancelled:
        """Ask the contract to close this job of ours, after its notice. Twice is once."""
        return self._rpc.job_cancel(self.id)

    def claim(self, *, everybody: bool = False) -> list[Claim]:
        """Send claims of its pay: an owner's own, a requester's for all."""
        return self._rpc.claim(self.id, everybody=everybody)

    def audit(self) -> Audit:
        """Check its books again, from the chain and the stored evidence. Faults are results."""
        return self._rpc.audit(self.id)


def moves(event: Event) -> bool:
    """Whether a job may stand elsewhere after this event."""
    return may_end(event) or event["kind"] in _MOVES
