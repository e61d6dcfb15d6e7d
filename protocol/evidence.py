"""The evidence of a job: what makes every claim provable without its requester's help.

A blob whose digest stands in the contract's `finish`: the enrolled list, every round's list, and
the merit tree's entries. Whoever has it and the lists that it names can rebuild every root.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from protocol import params
from protocol.codec import Amount, Size, Wire, decode, encode
from protocol.enrolment import Cohort
from protocol.envelope import Envelope
from protocol.errors import FatalError
from protocol.lists import contribution_leaf_of
from protocol.messages import Address, BlobSize, Contribution, Digest
from protocol.requester_state import RequesterState, RoundRecord
from protocol.trees import IndexTree, Merit, SumNode, SumTree


@dataclass(frozen=True, slots=True)
class MeritShare(Wire):
    """What an account's worth earned, in the token's smallest unit."""

    account: Address
    amount: Amount


@dataclass(frozen=True, slots=True)
class Evidence(Wire):
    """The books of a job, closed."""

    job: Digest
    spec_digest: Digest
    cohort_digest: Digest
    cohort_size: BlobSize
    seed: Digest
    rounds: Annotated[tuple[RoundRecord, ...], Size(0, params.MAX_ROUNDS)]
    merit: Annotated[tuple[MeritShare, ...], Size(0, params.MAX_COHORT)]
    final_model: Digest
    final_model_size: BlobSize


@dataclass(frozen=True, slots=True)
class RoundClaim:
    """One round of a claim: the leaf, where it stands, and its proof."""

    round: int
    position: int
    block: int
    roster_digest: bytes
    contribution_digest: bytes
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ClaimProof:
    """All that the contract wants to see to pay one account. `merit` 0: none is claimed."""

    account: bytes
    rounds: tuple[RoundClaim, ...]
    merit_position: int
    merit: int
    merit_proof: tuple[SumNode, ...]


def encode_evidence(evidence: Evidence) -> bytes:
    return encode(evidence)


def decode_evidence(data: bytes) -> Evidence:
    """Read hostile bytes. Raises Malformed."""
    return decode(Evidence, data, params.MAX_LIST_BYTES)


def equal_merit(
    cohort: Cohort, lists: Sequence[Sequence[Envelope]], pot: int
) -> tuple[MeritShare, ...]:
    """The pot in equal shares for each committed contribution, in the order of the cohort.

    What division leaves over goes, one unit each, to the first accounts: the shares add up to the
    pot exactly, as the contract demands. Measured worth replaces this where blocks are many enough
    to tell (design, section 5). Empty where nobody contributed.
    """
    counts = Counter(_contribution(e).member for round_ in lists for e in round_)
    total = sum(counts.values())
    if not total:
        return ()
    shares = {member: pot * count // total for member, count in counts.items()}
    rest = pot - sum(shares.values())
    for member in sorted(shares)[:rest]:
        shares[member] += 1
    return tuple(
        MeritShare(cohort.members[m].payout, shares[m]) for m in sorted(shares) if shares[m]
    )


def close_books(
    job: bytes,
    spec_digest: bytes,
    pot: int,
    state: RequesterState,
    cohort: Cohort,
    lists: Sequence[Sequence[Envelope]],
) -> Evidence:
    """The evidence of a requester's rounds; `lists` are the rounds' contributions, in order."""
    return Evidence(
        job,
        spec_digest,
        state.cohort_digest,
        state.cohort_size,
        state.seed,
        state.records,
        equal_merit(cohort, lists, pot),
        state.model_digest,
        state.model_size,
    )


def merit_tree(evidence: Evidence) -> SumTree:
    """The tree whose root goes into `finish`."""
    return SumTree([Merit(share.account, share.amount) for share in evidence.merit])


def payouts(cohort: Cohort, lists: Sequence[Sequence[Envelope]]) -> tuple[bytes, ...]:
    """Every account that has something to claim, in the order of the cohort."""
    members = sorted({_contribution(e).member for round_ in lists for e in round_})
    return tuple(cohort.members[m].payout for m in members)


def prove_claim(
    cohort: Cohort,
    rounds: Sequence[tuple[int, Sequence[Envelope]]],
    evidence: Evidence | None,
    account: bytes,
) -> ClaimProof:
    """Everything that `account` can claim: `rounds` are (number, contributions in list order).

    Without evidence (the job was not finished) no merit is proved: the contract shares it equally.
    """
    claims = []
    for number, listed in rounds:
        tree = IndexTree([contribution_leaf_of(cohort, e) for e in listed])
        for position, envelope in enumerate(listed):
            body = _contribution(envelope)
            if cohort.members[body.member].payout == account:
                claims.append(
                    RoundClaim(
                        number,
                        position,
                        body.block,
                        body.frozen_digest,
                        body.batch_digest,
                        tree.proof(position),
                    )
                )
    if evidence is not None:
        for position, share in enumerate(evidence.merit):
            if share.account == account:
                proof = merit_tree(evidence).proof(position)
                return ClaimProof(account, tuple(claims), position, share.amount, proof)
    return ClaimProof(account, tuple(claims), 0, 0, ())


def _contribution(envelope: Envelope) -> Contribution:
    if not isinstance(envelope.body, Contribution):
        raise FatalError("a verified list holds something else than a contribution")
    return envelope.body
