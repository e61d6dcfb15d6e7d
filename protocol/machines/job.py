"""A job's life as a table, for both roles. An event that it does not know raises StateError."""

from __future__ import annotations

import enum

from protocol.errors import StateError
from protocol.machines.round import Role


class JobPhase(enum.Enum):
    # requester
    POSTING = "posting"  # its post is on the way to the chain
    ENROLLING = "enrolling"  # announced; owners enrol
    ROOTING = "rooting"  # the enrolled go on the chain; blocks are drawn
    # owner
    SEEN = "seen"  # announced; its terms are compared with the chain's
    CONSIDERING = "considering"  # its terms hold; the owner's policies are asked
    WAITING = "waiting"  # a policy leaves it to a person
    ENROLMENT_SENT = "enrolment-sent"
    ENROLLED = "enrolled"  # the requester has the enrolment; the root is awaited
    DECLINED = "declined"
    # both
    TRAINING = "training"
    FINISHING = "finishing"  # requester: finish is on its way; owner: claims are awaited
    PAYING = "paying"  # requester: claims are on their way
    CLOSED = "closed"
    CANCELLED = "cancelled"
    FAILED = "failed"


class JobEvent(enum.Enum):
    POSTED = "post is final"
    COHORT_COMPLETE = "enough owners enrolled"
    BLOCKS_DRAWN = "blocks drawn from a later block's hash"
    LAST_ROUND = "last round applied"
    GAVE_UP = "too many attempts failed"
    FINISHED = "finish is on the chain"
    SETTLED = "everybody is paid"
    TERMS_HOLD = "the chain's terms are the spec's"
    POLICY_WAITS = "left to a person"
    RECONSIDERED = "policies or data sets changed"
    CONSENTED = "the owner consents"
    DECLINED = "the owner declines, or the terms do not hold"
    ACCEPTED = "the requester lists the enrolment"
    ROOTED = "enrolled under a root on the chain"
    LEFT_OUT = "enrolment refused, or closed without this owner"
    CANCELLED = "cancelled on the chain"
    EXPIRED = "the job expired"
    BROKEN = "it cannot go on"


_R, _O = Role.REQUESTER, Role.OWNER
_P, _E = JobPhase, JobEvent

_LIVE = {
    _R: (_P.POSTING, _P.ENROLLING, _P.ROOTING, _P.TRAINING),
    _O: (
        _P.SEEN,
        _P.CONSIDERING,
        _P.WAITING,
        _P.ENROLMENT_SENT,
        _P.ENROLLED,
        _P.TRAINING,
        _P.FINISHING,
    ),
}

TABLE: dict[tuple[Role, JobPhase, JobEvent], JobPhase] = {
    (_R, _P.POSTING, _E.POSTED): _P.ENROLLING,
    (_R, _P.ENROLLING, _E.COHORT_COMPLETE): _P.ROOTING,
    (_R, _P.ROOTING, _E.BLOCKS_DRAWN): _P.TRAINING,
    (_R, _P.TRAINING, _E.LAST_ROUND): _P.FINISHING,
    (_R, _P.TRAINING, _E.GAVE_UP): _P.FINISHING,
    (_R, _P.FINISHING, _E.FINISHED): _P.PAYING,
    (_R, _P.PAYING, _E.SETTLED): _P.CLOSED,
    (_O, _P.SEEN, _E.TERMS_HOLD): _P.CONSIDERING,
    (_O, _P.SEEN, _E.DECLINED): _P.DECLINED,
    (_O, _P.CONSIDERING, _E.CONSENTED): _P.ENROLMENT_SENT,
    (_O, _P.CONSIDERING, _E.POLICY_WAITS): _P.WAITING,
    (_O, _P.CONSIDERING, _E.DECLINED): _P.DECLINED,
    (_O, _P.WAITING, _E.RECONSIDERED): _P.CONSIDERING,
    (_O, _P.WAITING, _E.CONSENTED): _P.ENROLMENT_SENT,
    (_O, _P.WAITING, _E.DECLINED): _P.DECLINED,
    (_O, _P.ENROLMENT_SENT, _E.ACCEPTED): _P.ENROLLED,
    (_O, _P.ENROLMENT_SENT, _E.LEFT_OUT): _P.DECLINED,
    # The reply may be lost while the enrolment stands: then the root is the first to tell.
    (_O, _P.ENROLMENT_SENT, _E.ROOTED): _P.TRAINING,
    (_O, _P.ENROLLED, _E.ROOTED): _P.TRAINING,
    (_O, _P.ENROLLED, _E.LEFT_OUT): _P.DECLINED,
    # The list under the root, which the first opening brings, is the last word on who is enrolled.
    (_O, _P.TRAINING, _E.LEFT_OUT): _P.DECLINED,
    (_O, _P.TRAINING, _E.FINISHED): _P.FINISHING,
    (_O, _P.FINISHING, _E.SETTLED): _P.CLOSED,
    **{(role, at, _E.CANCELLED): _P.CANCELLED for role in Role for at in _LIVE[role]},
    **{(role, at, _E.EXPIRED): _P.CANCELLED for role in Role for at in _LIVE[role]},
    **{(role, at, _E.BROKEN): _P.FAILED for role in Role for at in _LIVE[role]},
    # It closed on the chain before `finish` got there.
    (_R, _P.FINISHING, _E.EXPIRED): _P.CANCELLED,
}

#: Nothing happens to a job any more in these; its machine is kept for the record only.
OVER = (JobPhase.CLOSED, JobPhase.DECLINED, JobPhase.CANCELLED, JobPhase.FAILED)


def advance(role: Role, phase: JobPhase, event: JobEvent) -> JobPhase:
    """The phase that follows; raises StateError where the table has no entry."""
    try:
        return TABLE[role, phase, event]
    except KeyError:
        raise StateError(
            f"a {role.value}'s job that is {phase.value} knows no '{event.value}'"
        ) from None


def diagram(role: Role) -> str:
    """The table of one role as a Mermaid state diagram; what every live phase can do is left out:
    being cancelled, expiring, breaking."""
    everywhere = (_E.CANCELLED, _E.EXPIRED, _E.BROKEN)
    lines = ["stateDiagram-v2", f"    [*] --> {_LIVE[role][0].value}"]
    lines += [
        f"    {at.value} --> {to.value}: {event.value}"
        for (who, at, event), to in TABLE.items()
        if who is role and not (event in everywhere and at in _LIVE[role])
    ]
    ends = [_P.CLOSED, _P.DECLINED] if role is _O else [_P.CLOSED]
    lines += [f"    {end.value} --> [*]" for end in ends]
    # Mermaid takes no hyphen in a state's name.
    return "\n".join(lines).replace(_P.ENROLMENT_SENT.value, "enrolment_sent")
