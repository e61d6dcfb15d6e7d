"""What a job takes of gas, before anybody has posted it: the requester's transactions, one by one.

The figures are those of tests/contract/gas.json, which a test holds this to, with the growth of a
payment by accounts, rounds and contributions, and a claim's by rounds and by the depth of the tree.
They are of the contract's own work, for accounts that hold ether already: a token's own comes on
top of it, and is a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocol import params
from protocol.spec.job import Terms
from protocol.spec.parts import ETHER

POST: Final = 117_000
ENROL: Final = 34_000
COMMIT: Final = 58_000
FINISH: Final = 59_000

#: A payment of whole rounds: the least, and what each account, round and contribution adds.
PAY: Final = 60_000
PAY_ACCOUNT: Final = 11_000
PAY_ROUND: Final = 4_000
PAY_CONTRIBUTION: Final = 1_600

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
    """Gas of a requester's transactions. `approve` is 0 for ether; everybody is paid by `pay`, in
    whole rounds, or by `claim`, one for each account, and the other one is 0."""

    approve: int
    post: int
    enrol: int
    commit: int
    finish: int
    pay: int
    claim: int

    @property
    def posting(self) -> int:
        """What is spent before anybody has enrolled."""
        return self.approve + self.post

    @property
    def all(self) -> int:
        """The whole job, if every owner contributes to every round, and its requester pays
        everybody: the most that an ordinary job takes."""
        return self.posting + self.enrol + self.commit + self.finish + self.pay + self.claim


def job_gas(terms: Terms, *, whole: bool = True) -> JobGas:
    """The estimate for the largest cohort, one enrolment root, and no attempt that fails late.

    `whole`: whether the requester pays in whole rounds, where the contract can.
    """
    token = terms.payment.token != ETHER
    rounds, owners = terms.training.rounds, terms.cohort.max_owners
    moved = TRANSFER if token else 0
    whole = whole and owners <= params.MAX_WHOLE_ACCOUNTS
    return JobGas(
        approve=APPROVE if token else 0,
        post=POST + moved,
        enrol=ENROL,
        commit=rounds * COMMIT,
        finish=FINISH,
        pay=_payments(rounds, owners, moved) if whole else 0,
        claim=0 if whole else _claims(rounds, owners, moved),
    )


def _payments(rounds: int, owners: int, moved: int) -> int:
    """Calls of `pay` as protocol.books.whole makes them; each moves money to each account."""
    most = min(params.MAX_WHOLE_ROUNDS, params.MAX_WHOLE_CONTRIBUTIONS // owners)
    full, rest = divmod(rounds, most)
    return sum(
        count * (pay_gas(part, owners, part * owners) + owners * moved)
        for count, part in ((full, most), (bool(rest), rest))
    )


def _claims(rounds: int, owners: int, moved: int) -> int:
    depth = (owners - 1).bit_length()
    full, rest = divmod(rounds, params.MAX_CLAIM_ROUNDS)
    claims = full * claim_gas(params.MAX_CLAIM_ROUNDS, depth)
    claims += claim_gas(rest, depth) if rest else 0
    return owners * (claims + moved * (full + bool(rest)))


def pay_gas(rounds: int, accounts: int, contributions: int) -> int:
    """One `pay` of so many rounds, of so many contributions in all."""
    each = accounts * PAY_ACCOUNT + contributions * PAY_CONTRIBUTION
    return PAY + rounds * PAY_ROUND + each


def claim_gas(rounds: int, depth: int) -> int:
    """One claim of so many rounds, among 2 ** `depth` contributions in each."""
    return CLAIM + rounds * (CLAIM_ROUND + CLAIM_LEVEL * depth)
