"""A round as a table: every phase, every event, for both roles, and nothing besides.

Phases are section 5's of the design. An event that the table does not know raises StateError and
changes nothing. docs/spec/round.md carries the diagram drawn from this table; a test compares.
"""

from __future__ import annotations

import enum

from protocol.errors import StateError


class Role(enum.Enum):
    REQUESTER = "requester"
    OWNER = "owner"


class Phase(enum.Enum):
    OPEN = "open"
    READY = "ready"
    FREEZE = "freeze"
    CONTRIBUTE = "contribute"
    COMMIT = "commit"
    UNMASK = "unmask"
    APPLY = "apply"
    DONE = "done"
    FAILED = "failed"


class Event(enum.Enum):
    OPENED = "opening checked and published"
    MEMBERS_READY = "blocks are ready"
    FROZEN = "roster frozen and verified"
    CONTRIBUTED = "contributions stored"
    COMMITTED = "commitment final on the chain"
    UNMASKED = "shares released, masks off"
    APPLIED = "model moved"
    ABANDONED = "deadline passed, or a newer attempt"


_ORDER = (
    (Phase.OPEN, Event.OPENED, Phase.READY),
    (Phase.READY, Event.MEMBERS_READY, Phase.FREEZE),
    (Phase.FREEZE, Event.FROZEN, Phase.CONTRIBUTE),
    (Phase.CONTRIBUTE, Event.CONTRIBUTED, Phase.COMMIT),
    (Phase.COMMIT, Event.COMMITTED, Phase.UNMASK),
    (Phase.UNMASK, Event.UNMASKED, Phase.APPLY),
    (Phase.APPLY, Event.APPLIED, Phase.DONE),
)

#: The requester may give up an attempt until its commitment could be on the chain; from then on the
#: round is bound to be paid, and it ends only by being applied.
_REQUESTER_MAY_ABANDON = (Phase.OPEN, Phase.READY, Phase.FREEZE, Phase.CONTRIBUTE)

#: An owner follows whatever the requester opens next; what the chain owes it does not depend on it.
_OWNER_MAY_ABANDON = (
    Phase.OPEN,
    Phase.READY,
    Phase.FREEZE,
    Phase.CONTRIBUTE,
    Phase.COMMIT,
    Phase.UNMASK,
    Phase.APPLY,
)

TABLE: dict[tuple[Role, Phase, Event], Phase] = {
    **{(role, at, event): to for role in Role for at, event, to in _ORDER},
    **{(Role.REQUESTER, at, Event.ABANDONED): Phase.FAILED for at in _REQUESTER_MAY_ABANDON},
    **{(Role.OWNER, at, Event.ABANDONED): Phase.FAILED for at in _OWNER_MAY_ABANDON},
}


def advance(role: Role, phase: Phase, event: Event) -> Phase:
    """The phase that follows; raises StateError where the table has no entry."""
    try:
        return TABLE[role, phase, event]
    except KeyError:
        raise StateError(
            f"a {role.value}'s round in phase {phase.value} knows no '{event.value}'"
        ) from None


def diagram(role: Role) -> str:
    """The table of one role as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> open"]
    lines += [
        f"    {at.value} --> {to.value}: {event.value}"
        for (who, at, event), to in TABLE.items()
        if who is role
    ]
    lines += [f"    {end.value} --> [*]" for end in (Phase.DONE, Phase.FAILED)]
    return "\n".join(lines)
