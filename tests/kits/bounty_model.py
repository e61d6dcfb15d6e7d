"""What a test itself knows of a bounty, to hold the contract against."""

from __future__ import annotations

from dataclasses import dataclass, field

from eth_hash.auto import keccak

from kits.bounty import ETHER, Book
from protocol.books.trees import IndexTree, Merit
from protocol.books.whole import WholePay

#: Of each job.
ROUNDS, COHORT = 3, 3


@dataclass
class Job:
    """What the test itself knows of a job, to hold the contract against."""

    id: bytes
    spec: bytes
    requester: str
    rate: int
    merit: int
    closes: int
    token: str = ETHER
    books: list[Book] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    entries: list[Merit] | None = None
    paid: dict[bytes, set[int]] = field(default_factory=dict)
    shares: int = 0
    merit_paid: int = 0
    withdrawn: int = 0
    #: Whole rounds: how many, whether merit, and what of both could not be delivered to whom.
    full: int = 0
    merit_full: bool = False
    missed: dict[bytes, set[int]] = field(default_factory=dict)
    missed_merit: set[bytes] = field(default_factory=set)
    #: Rounds whose equal share an account has, and accounts that have their merit.
    shared: dict[bytes, set[int]] = field(default_factory=dict)
    with_merit: set[bytes] = field(default_factory=set)

    @property
    def escrow(self) -> int:
        return ROUNDS * COHORT * self.rate + self.merit

    @property
    def rate_paid(self) -> int:
        return self.rate * sum(len(rounds) for rounds in self.paid.values())

    def is_open(self, now: int) -> bool:
        """Whether commitments are accepted."""
        return now < self.closes

    def settled(self, account: bytes) -> set[int]:
        """Rounds that whole rounds have paid the account, if it stood in them."""
        return set(range(self.full)) - self.missed.get(account, set())


def are_lists(job: Job, call: WholePay) -> bool:
    """Whether the bytes are the rounds' lists, read by hand, each of as many as committed."""
    at = 20 * call.accounts
    names = [call.lists[n : n + 20] for n in range(0, at, 20)]
    at += 17 * call.merits
    for number in range(call.first, call.first + call.rounds):
        if number >= len(job.books):
            return False
        book, leaves = job.books[number], []
        for _ in range(job.counts[number]):
            piece = call.lists[at : at + 25]
            if len(piece) < 25 or piece[24] >= len(names):
                return False
            account, detail = names[piece[24]], piece[:24]
            leaves.append(keccak(account + bytes(11) + b"\x01" + detail + bytes(8)))
            at += 25
        if IndexTree(leaves).root != book.tree.root:
            return False
    return at == len(call.lists)
