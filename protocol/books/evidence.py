"""The evidence of a job: it makes every claim provable without the requester's help.

It is a blob whose digest stands in the contract's `finish`: the enrolled list, every round's list,
and the merit tree's entries. Anybody who has it and the lists that it names can rebuild every root.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Protocol

from protocol import params
from protocol.books.enrolment import Cohort
from protocol.books.lists import Leaf, leaf_hash
from protocol.books.merit import MAX_WEIGHT, merit_shares, merit_weights
from protocol.books.trees import IndexTree, Merit, SumNode, SumTree, contribution_detail
from protocol.wire.codec import Amount, Range, Size, Wire, decode, encode
from protocol.wire.messages import Address, Attempt, BlobSize, Digest, Index, NoDigest, Round


@dataclass(frozen=True, slots=True)
class RoundRecord(Wire):
    """A round that is over, as the evidence shows it."""

    number: Round
    attempt: Attempt
    model_digest: Digest
    list_digest: Digest
    list_size: BlobSize
    root: Digest
    count: Index
    next_model: Digest


@dataclass(frozen=True, slots=True)
class MeritShare(Wire):
    """An account's merit, in the token's smallest unit."""

    account: Address
    amount: Amount


@dataclass(frozen=True, slots=True)
class Evidence(Wire):
    """The books of a job, closed.

    `weights` are the members' worth per contribution, by index (empty: nothing tells them apart);
    `withheld` those that kept shares back. With the lists they give `merit` (protocol.books.merit).
    `holdout` and `record` name what worth can be measured by again (docs/spec/worth.md, 'What is
    published'); both are empty where nothing is published.
    """

    job: Digest
    spec_digest: Digest
    cohort_digest: Digest
    cohort_size: BlobSize
    seeds: Annotated[tuple[Digest, ...], Size(1, params.MAX_GROUPS)]
    rounds: Annotated[tuple[RoundRecord, ...], Size(0, params.MAX_ROUNDS)]
    weights: Annotated[tuple[Annotated[int, Range(0, MAX_WEIGHT)], ...], Size(0, params.MAX_COHORT)]
    withheld: Annotated[tuple[Index, ...], Size(0, params.MAX_COHORT)]
    merit: Annotated[tuple[MeritShare, ...], Size(0, params.MAX_COHORT)]
    final_model: Digest
    final_model_size: BlobSize
    holdout_digest: NoDigest = b""
    holdout_size: BlobSize = 0
    record_digest: NoDigest = b""
    record_size: BlobSize = 0


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
    """All that the contract asks for to pay one account. `merit` 0: none is claimed."""

    account: bytes
    rounds: tuple[RoundClaim, ...]
    merit_position: int
    merit: int
    merit_proof: tuple[SumNode, ...]


def split_claim(proof: ClaimProof) -> tuple[ClaimProof, ...]:
    """A claim as the contract takes it: MAX_CLAIM_ROUNDS rounds each, merit with the last.

    A round that is proved twice, because two members share an account, is paid once: its second
    proof is left out, so that no part has only what another part pays.
    """
    rounds = tuple({each.round: each for each in reversed(proof.rounds)}.values())[::-1]
    size = params.MAX_CLAIM_ROUNDS
    parts = [rounds[at : at + size] for at in range(0, len(rounds), size)] or [()]
    whole = [ClaimProof(proof.account, part, 0, 0, ()) for part in parts[:-1]]
    last = replace(proof, rounds=parts[-1])
    return (*whole, last)


def encode_payments(rounds: Sequence[RoundClaim]) -> bytes:
    """`claim`'s payments: round (1 byte), position (2), the leaf's detail (24) and the proof's
    siblings of each round, back to back.

    Raises ValueError past MAX_CLAIM_ROUNDS and OverflowError on a number that does not fit.
    """
    if len(rounds) > params.MAX_CLAIM_ROUNDS:
        raise ValueError(f"a claim has at most {params.MAX_CLAIM_ROUNDS} rounds, not {len(rounds)}")
    out = bytearray()
    for each in rounds:
        out += each.round.to_bytes(1, "big")
        out += each.position.to_bytes(2, "big") + b"".join((_detail(each), *each.proof))
    return bytes(out)


def _detail(each: RoundClaim) -> bytes:
    return contribution_detail(each.block, each.roster_digest, each.contribution_digest)


def encode_evidence(evidence: Evidence) -> bytes:
    return encode(evidence)


def decode_evidence(data: bytes) -> Evidence:
    """Read hostile bytes. Raises Malformed."""
    return decode(Evidence, data, params.MAX_LIST_BYTES)


def counts_of(lists: Sequence[Sequence[Leaf]]) -> dict[int, int]:
    """How many committed contributions each member has, by its index."""
    return dict(sorted(Counter(leaf.member for round_ in lists for leaf in round_).items()))


class Kept(Protocol):
    """The part of a requester's state that the evidence shows."""

    @property
    def cohort_digest(self) -> bytes: ...
    @property
    def cohort_size(self) -> int: ...
    @property
    def seeds(self) -> tuple[bytes, ...]: ...
    @property
    def records(self) -> Iterable[RoundRecord]: ...
    @property
    def model_digest(self) -> bytes: ...
    @property
    def model_size(self) -> int: ...


def close_books(
    job: bytes,
    spec_digest: bytes,
    pot: int,
    kept: Kept,
    cohort: Cohort,
    lists: Sequence[Sequence[Leaf]],
    worths: Sequence[float] | None,
    withheld: tuple[int, ...],
) -> Evidence:
    """The evidence of a requester's rounds; `lists` are the rounds' contributions, in order,
    `worths` each member's worth by index, or None where nothing tells members apart."""
    counts = counts_of(lists)
    by_member = [counts.get(member, 0) for member in range(len(cohort.members))]
    weights = () if worths is None else merit_weights(worths)
    merit = merit_shares(pot, by_member, weights or None, withheld)
    return Evidence(
        job,
        spec_digest,
        kept.cohort_digest,
        kept.cohort_size,
        kept.seeds,
        tuple(kept.records),
        weights,
        withheld,
        merit_entries(cohort, merit),
        kept.model_digest,
        kept.model_size,
    )


def merit_entries(cohort: Cohort, shares: Sequence[int]) -> tuple[MeritShare, ...]:
    """The merit tree's entries, of each member's share by index: one for each payout account that
    has any, in the order of the cohort. What members that name one account have is added up,
    because the contract pays an account's merit once."""
    found: dict[bytes, int] = {}
    for member, amount in zip(cohort.members, shares, strict=True):
        if amount:
            found[member.payout] = found.get(member.payout, 0) + amount
    return tuple(MeritShare(account, amount) for account, amount in found.items())


def merit_tree(evidence: Evidence) -> SumTree:
    """The tree whose root goes into `finish`."""
    return SumTree([Merit(share.account, share.amount) for share in evidence.merit])


def payouts(cohort: Cohort, lists: Sequence[Sequence[Leaf]]) -> tuple[bytes, ...]:
    """Every account that has something to claim, once each, in the order of the cohort."""
    return tuple(dict.fromkeys(cohort.members[member].payout for member in counts_of(lists)))


class Claims:
    """What every account can claim: `rounds` are (number, contributions in list order).

    Each round's tree, and the merit's, is built once, whoever claims. Nothing changes afterwards,
    so that threads may share it. Without evidence (the job was not finished) no merit is proved:
    the contract shares it equally. Raises ValueError for evidence whose merit makes no tree.
    """

    def __init__(
        self,
        cohort: Cohort,
        rounds: Sequence[tuple[int, Sequence[Leaf]]],
        evidence: Evidence | None,
    ) -> None:
        self._rounds = [
            (number, listed, IndexTree([leaf_hash(cohort, leaf) for leaf in listed]))
            for number, listed in rounds
        ]
        self._places: dict[bytes, list[tuple[int, int]]] = {}
        for place, (_, listed, _) in enumerate(self._rounds):
            for position, leaf in enumerate(listed):
                payout = cohort.members[leaf.member].payout
                self._places.setdefault(payout, []).append((place, position))
        self._merit = () if evidence is None else evidence.merit
        self._merit_places = {share.account: n for n, share in enumerate(self._merit)}
        self._merit_tree = None if evidence is None else merit_tree(evidence)

    def of(self, account: bytes) -> ClaimProof:
        """Everything that `account` can claim."""
        claims = []
        for place, position in self._places.get(account, ()):
            number, listed, tree = self._rounds[place]
            leaf, proof = listed[position], tree.proof(position)
            digests = leaf.roster_digest, leaf.batch_digest
            claims.append(RoundClaim(number, position, leaf.block, *digests, proof))
        found = self._merit_places.get(account)
        if found is None or self._merit_tree is None:
            return ClaimProof(account, tuple(claims), 0, 0, ())
        shown = self._merit_tree.proof(found)
        return ClaimProof(account, tuple(claims), found, self._merit[found].amount, shown)
