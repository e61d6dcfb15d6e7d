"""What the contract's views return, typed: a job, a round, an enrolment root."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: The contract's function that pays whole rounds: its lists follow its other arguments as they are.
PAY: Final = "pay"


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as the contract holds it. `closes` in seconds; amounts in wei or the token's unit."""

    requester: bytes
    token: bytes
    rounds: int
    cohort: int
    rate: int
    merit: int
    closes: int
    finished: bool
    next_round: int
    enrolments: int
    enrolled: int
    contributions: int
    unpaid: int
    merit_left: int
    merit_root: bytes
    held: int
    full: int
    merit_full: bool


@dataclass(frozen=True, slots=True)
class RoundView:
    """A round's commitment on the chain: the root's first 30 bytes (all 32 are in the event)."""

    root: bytes
    count: int
