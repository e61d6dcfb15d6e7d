"""The contract's events as typed values: one frozen class for each event of bounty.vy.

Addresses are 20 bytes, digests and roots 32, amounts wei (or the token's smallest unit), moments
seconds since 1970. The field names are the contract's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Posted:
    job: bytes
    requester: bytes
    spec_digest: bytes
    token: bytes
    rounds: int
    cohort: int
    rate: int
    merit: int
    expiry: int


@dataclass(frozen=True, slots=True)
class Enrolled:
    job: bytes
    index: int
    root: bytes
    count: int


@dataclass(frozen=True, slots=True)
class Committed:
    job: bytes
    round: int
    root: bytes
    count: int
    model_digest: bytes
    submitter: bytes


@dataclass(frozen=True, slots=True)
class Finished:
    job: bytes
    model_digest: bytes
    evidence_digest: bytes
    merit_root: bytes
    merit_total: int
    effective: int


@dataclass(frozen=True, slots=True)
class Cancelled:
    job: bytes
    effective: int


@dataclass(frozen=True, slots=True)
class Claimed:
    job: bytes
    account: bytes
    amount: int
    rounds_bits: int
    merit: int


@dataclass(frozen=True, slots=True)
class Withdrawn:
    job: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class Paid:
    """Whole rounds were paid. `payments` has a word an account: its 20 bytes over a bit for each
    round that it was paid for, from `first` on; where `merit`, a second one: its merit."""

    job: bytes
    first: int
    rounds: int
    merit: bool
    payments: tuple[int, ...]


#: Events that say one thing.
Single = Posted | Enrolled | Committed | Finished | Cancelled | Claimed | Withdrawn
ContractEvent = Single | Paid

#: By the event's name in the ABI.
EVENTS: Final[dict[str, type[ContractEvent]]] = {
    cls.__name__: cls
    for cls in (Posted, Enrolled, Committed, Finished, Cancelled, Claimed, Withdrawn, Paid)
}

#: Beside an account in a word of `Paid`: its rounds.
_ROUND_BITS: Final = 96


def claims_of(event: ContractEvent, rate: int) -> tuple[Claimed, ...]:
    """What an event says that accounts were paid, by the job's rate a contribution: one each.

    Whole rounds are as many claims as accounts were paid; whom they did not reach is not there.
    """
    if isinstance(event, Claimed):
        return (event,)
    if not isinstance(event, Paid):
        return ()
    found = []
    words = event.payments
    merits = words[1::2] if event.merit else (0,) * len(words)
    for word, merit in zip(words[::2] if event.merit else words, merits, strict=False):
        bits = word & ((1 << _ROUND_BITS) - 1)
        amount = rate * bits.bit_count() + merit
        if amount:
            account = (word >> _ROUND_BITS).to_bytes(20, "big")
            found.append(Claimed(event.job, account, amount, bits << event.first, merit))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class ChainEvent:
    """One log of the contract. (block, index) orders events; tx_hash and index identify one."""

    block: int
    block_hash: bytes
    index: int
    tx_hash: bytes
    event: ContractEvent

    @property
    def job(self) -> bytes:
        return self.event.job


@dataclass(frozen=True, slots=True)
class ChainHead:
    """A chain block, in order; confirmations are counted from these."""

    number: int
    hash: bytes
    timestamp: int
