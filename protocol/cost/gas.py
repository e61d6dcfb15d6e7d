"""What a job takes of gas, before anybody has posted it: the requester's transactions, one by one.

The figures are those of tests/contract/gas.json, which a test holds this to, with a claim's growth
by rounds and by the depth of the tree. They are of the contract's own work: a token's own comes on
top of it, and is a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocol import params
from protocol.spec.job import Terms
from protocol.spec.parts import ETHER

POST: Final = 117_000
ENROL: Final = 56_000
COMMIT: Final = 63_000
FINISH: Final = 59_000

#: A claim: the least, what each round adds, and what each level of a round's tree adds to that.
CLAIM: Final = 71_000
CLAIM_ROUND: Final = 5_200
CLAIM_LEVEL: Final = 745

#: What a token of the usual kind adds: an approval, and a transfer to an account that is new to it.
APPROVE: Final = 50_000
TRANSFER: Final = 60_000

#: What a permit adds to a posting, in the place of an approval.
PERMIT: Final = 40_000


@dataclass(frozen=True, slots=True)
class JobGas:
    """Gas of a requester's transactions. `approve` is 0 for ether."""

    approve: int
    post: int
    enrol: int
    commit: int
    finish: int
    claim: int

    @property
    def posting(self) -> int:
        """What is spent before anybody has enrolled."""
        return self.approve + self.post

    @property
    def all(self) -> int:
        """The whole job, if every owner contributes to every round, and its requester claims for
        everybody: the most that an ordinary job takes."""
        return self.posting + self.enrol + self.commit + self.finish + self.claim


def job_gas(terms: Terms) -> JobGas:
    """The estimate for the largest cohort, one enrolment root, and no attempt that fails late."""
    token = terms.payment.token != ETHER
    rounds, owners = terms.training.rounds, terms.cohort.max_owners
    depth = (owners - 1).bit_length()
    whole, rest = divmod(rounds, params.MAX_CLAIM_ROUNDS)
    claims = whole * claim_gas(params.MAX_CLAIM_ROUNDS, depth)
    claims += claim_gas(rest, depth) if rest else 0
    moved = TRANSFER if token else 0
    return JobGas(
        approve=APPROVE if token else 0,
        post=POST + moved,
        enrol=ENROL,
        commit=rounds * COMMIT,
        finish=FINISH,
        claim=owners * (claims + moved * (whole + bool(rest))),
    )


def claim_gas(rounds: int, depth: int) -> int:
    """One claim of so many rounds, among 2 ** `depth` contributions in each."""
    return CLAIM + rounds * (CLAIM_ROUND + CLAIM_LEVEL * depth)
