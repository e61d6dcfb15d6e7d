"""What the chain tells a machine: its blocks, the contract's events, the end of transactions."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated

from protocol.wire.codec import Amount, Size, Wire
from protocol.wire.messages import (
    Address,
    Digest,
    Index,
    Milliseconds,
    Reason,
    Round,
)


class Call(enum.Enum):
    """The contract's functions that a machine calls."""

    POST = "post"
    ENROL = "enrol"
    COMMIT = "commit"
    FINISH = "finish"
    CLAIM = "claim"
    CANCEL = "cancel"
    WITHDRAW = "withdraw"
    PAY = "pay"


@dataclass(frozen=True, slots=True)
class TransactionFailed(Wire):
    """The chain refuses a transaction for good."""

    at: Milliseconds
    call: Call
    account: Annotated[bytes, Size(0, 20)]  # of a claim; empty otherwise
    reason: Reason


@dataclass(frozen=True, slots=True)
class TransactionFinal(Wire):
    """A transaction of ours is mined, deep enough, and did not revert."""

    at: Milliseconds
    call: Call
    account: Annotated[bytes, Size(0, 20)]  # of a claim; empty otherwise


@dataclass(frozen=True, slots=True)
class ChainHead(Wire):
    at: Milliseconds
    number: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class ChainReorg(Wire):
    """Every fact from blocks above `number` is void."""

    at: Milliseconds
    number: int


@dataclass(frozen=True, slots=True)
class ChainJob(Wire):
    """The terms that the contract holds; `known` is false where it has no such job."""

    at: Milliseconds
    known: bool
    requester: Address
    spec_digest: Digest
    token: Address
    rounds: Round
    cohort: Index
    rate: Amount
    merit: Amount
    expiry: int


@dataclass(frozen=True, slots=True)
class ChainBlockHash(Wire):
    at: Milliseconds
    number: int
    hash: Digest


@dataclass(frozen=True, slots=True)
class ChainPosted(Wire):
    at: Milliseconds
    block: int


@dataclass(frozen=True, slots=True)
class ChainEnrolled(Wire):
    at: Milliseconds
    block: int
    index: int
    root: Digest
    count: Index


@dataclass(frozen=True, slots=True)
class ChainCommitted(Wire):
    at: Milliseconds
    block: int
    round: Round
    root: Digest
    count: Index
    model_digest: Digest


@dataclass(frozen=True, slots=True)
class ChainFinished(Wire):
    at: Milliseconds
    block: int
    model_digest: Digest
    evidence_digest: Digest
    effective: int  # Unix seconds at which the contract closes the job


@dataclass(frozen=True, slots=True)
class ChainCancelled(Wire):
    at: Milliseconds
    block: int
    effective: int


@dataclass(frozen=True, slots=True)
class ChainClaimed(Wire):
    at: Milliseconds
    block: int
    account: Address
    amount: Amount


@dataclass(frozen=True, slots=True)
class ChainWithdrawn(Wire):
    at: Milliseconds
    block: int
    amount: Amount
