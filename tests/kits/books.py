"""What the tests of messages and books share: people with keys, a job, its rounds, its money.

Everything follows from small numbers, so that vectors and failures repeat.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from eth_hash.auto import keccak
from eth_keys import keys as eth_keys

from protocol.books.audit import ChainBooks, ChainRound
from protocol.books.enrolment import (
    Cohort,
    build_cohort,
    cohort_order,
    draw_blocks,
    job_id,
    spec_domain,
)
from protocol.books.evidence import Evidence, RoundRecord, close_books, encode_evidence, merit_tree
from protocol.books.lists import (
    BlockList,
    ContributionList,
    Leaf,
    contributions_root,
    encode_cohort,
    encode_contributions,
    leaves,
)
from protocol.books.typed_data import Enrolment, enrolment_digest
from protocol.requester.state import GroupRecord, RequesterState, RoundRecords
from protocol.spec.job import (
    ETHER,
    ChainRef,
    ClassTarget,
    CohortSpec,
    EncryptionSpec,
    Family,
    JobSpec,
    MeritBy,
    ModelSpec,
    NumberFeature,
    Outside,
    Party,
    PaymentSpec,
    PrivacySpec,
    TimingSpec,
    TrainingSpec,
    encode_spec,
    spec_digest,
)
from protocol.spec.job import Envelope as Cipher
from protocol.wire.blobs import blob_digest
from protocol.wire.envelope import Context, Envelope, seal
from protocol.wire.identity import peer_id
from protocol.wire.messages import Body, Contribution, Enrol

CHAIN_ID = 31_337
CONTRACT = b"\xc0" * 20


def digest_of(*words: object) -> bytes:
    """32 bytes that some words name."""
    return hashlib.sha256("/".join(map(str, words)).encode()).digest()


@dataclass(frozen=True)
class Person:
    """A peer key and an account, both from a number."""

    number: int

    @cached_property
    def _peer_key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(digest_of("peer", self.number))

    @cached_property
    def _account_key(self) -> eth_keys.PrivateKey:
        return eth_keys.PrivateKey(digest_of("account", self.number))

    @cached_property
    def peer(self) -> bytes:
        return peer_id(self._peer_key.public_key().public_bytes_raw())

    @cached_property
    def account(self) -> bytes:
        return bytes(self._account_key.public_key.to_canonical_address())

    @cached_property
    def sealing_key(self) -> bytes:
        """The public X25519 key of its jobs."""
        private = X25519PrivateKey.from_private_bytes(digest_of("sealing", self.number))
        return private.public_key().public_bytes_raw()

    @property
    def payout(self) -> bytes:
        """Where it wants its pay: another address than the one that signs."""
        return digest_of("payout", self.number)[:20]

    def say(self, context: Context, body: Body) -> Envelope:
        return seal(context, self.peer, body, self._peer_key.sign)

    def sign_digest(self, digest: bytes) -> bytes:
        signature = self._account_key.sign_msg_hash(digest).to_bytes()
        return bytes(signature[:64]) + bytes([signature[64] + 27])


REQUESTER = Person(0)

#: What a spec whose merit is by worth names.
HOLDOUT = digest_of("hold-out")


def make_spec(
    max_owners: int = 32,
    rate: int = 7,
    merit: int = 1000,
    rounds: int = 3,
    *,
    dropouts: int = 0,
    noisy: bool = False,
    shuffle: bool = False,
    block_size: int = 5,
    min_owners: int = 5,
    merit_by: MeritBy = MeritBy.EQUAL,
    proven: bool = False,
) -> JobSpec:
    """A small softmax job of the requester's; with noise where the rules ask for it. `proven`:
    contributions prove their norm, in blocks of six at least."""
    if proven:
        block_size, min_owners = max(block_size, 6), max(min_owners, 6)
    noisy = noisy or shuffle or dropouts > 0
    return JobSpec(
        version=1,
        title="Length of stay",
        purpose="research",
        features=(NumberFeature("age", 0.0, 120.0),),
        outside=Outside.CLIP,
        target=ClassTarget("stay", ("short", "long")),
        model=ModelSpec(Family.SOFTMAX, 0),
        training=TrainingSpec(rounds, 1 if noisy else 10, 32, 1.0, 4.0, 0.01, 1.0, 0.5),
        privacy=PrivacySpec(
            8.0 if noisy else None, 1e-5 if noisy else 0.0, dropouts, 0 if dropouts else 1, False
        ),
        encryption=EncryptionSpec(Cipher.SHARES if proven else Cipher.PAILLIER, 3072, 16),
        cohort=CohortSpec(min_owners, max_owners, block_size, (), shuffle),
        payment=PaymentSpec(ETHER, rate, merit, merit_by),
        timing=TimingSpec(600, 60, 300, 600, 30, 60, 3),
        salt=bytes(16),
        requester=Party(REQUESTER.account, REQUESTER.peer),
        chain=ChainRef(CHAIN_ID, CONTRACT),
        seed=bytes(32),
        modulus=((1 << 3071) + 1).to_bytes(384, "big"),
        expires_at=1_900_000_000,
        holdout=HOLDOUT if merit and merit_by is MeritBy.WORTH else b"",
    )


def enrol(spec: JobSpec, job: bytes, person: Person, payout: bytes = b"") -> Envelope:
    """A person's enrolment, signed by account and peer key; paid elsewhere if `payout` says so."""
    paid = payout or person.payout
    statement = Enrolment(job, person.account, paid, keccak(person.peer), 100)
    signature = person.sign_digest(enrolment_digest(spec_domain(spec), statement))
    place = Context(spec.chain.chain_id, spec.chain.contract, job, 0, 0)
    return person.say(place, Enrol(person.account, paid, 100, person.sealing_key, signature))


@dataclass(frozen=True)
class Job:
    """A job with its cohort: `people` stand in the order of the cohort's members, `seeds` draw the
    blocks of its groups, `blocks` are those of round 0."""

    spec: JobSpec
    spec_digest: bytes
    id: bytes
    people: tuple[Person, ...]
    cohort: Cohort
    cohort_list: bytes
    seeds: tuple[bytes, ...]
    blocks: tuple[int, ...]

    def place(self, round_: int = 0, attempt: int = 0) -> Context:
        return Context(CHAIN_ID, CONTRACT, self.id, round_, attempt)

    def blocks_in(self, round_: int) -> tuple[int, ...]:
        """Each member's block in a round."""
        return draw_blocks(self.cohort, self.spec.cohort, self.seeds, round_)

    def members_of(self, blocks: Sequence[int]) -> list[int]:
        """The members of some blocks, in the order of a contribution list."""
        found = [m for m, b in enumerate(self.blocks) if b in blocks]
        return sorted(found, key=lambda m: (self.blocks[m], m))

    def contribution(self, member: int, round_: int = 0, attempt: int = 0) -> Envelope:
        """Its header under the roster and with the batch that go by these names."""
        block = self.blocks_in(round_)[member]
        batch = digest_of("batch", round_, member)
        body = Contribution(block, member, digest_of("roster", round_, block), batch, 500)
        return self.people[member].say(self.place(round_, attempt), body)

    def listed(self, round_: int, members: Sequence[int]) -> ContributionList:
        """The list of these members' contributions, in the order given within each block."""
        blocks = self.blocks_in(round_)
        found: dict[int, list[int]] = {}
        for member in members:
            found.setdefault(blocks[member], []).append(member)
        return ContributionList(
            tuple(
                BlockList(
                    block,
                    digest_of("roster", round_, block),
                    tuple(found[block]),
                    tuple(digest_of("batch", round_, member) for member in found[block]),
                )
                for block in sorted(found)
            )
        )


@cache
def make_job(
    owners: int,
    rate: int = 7,
    merit: int = 1000,
    rounds: int = 3,
    *,
    later: tuple[int, ...] = (),
    **terms: Any,
) -> Job:
    """A job whose cohort is enrolled and whose blocks are drawn: `owners` first, then groups of
    `later`. `terms` are make_spec's."""
    counts = (owners, *later)
    spec = make_spec(max(sum(counts), 5), rate, merit, rounds, **terms)
    digest = spec_digest(encode_spec(spec))
    job = job_id(spec_domain(spec), REQUESTER.account, digest)
    crowd = [Person(number) for number in range(1, sum(counts) + 1)]
    groups = []
    for index, count in enumerate(counts):
        start = sum(counts[:index])
        said = [enrol(spec, job, person) for person in crowd[start : start + count]]
        groups.append(cohort_order(spec, job, said))
    cohort = build_cohort(spec, job, groups)
    by_peer = {person.peer: person for person in crowd}
    seeds = tuple(digest_of("block hash", count, index) for index, count in enumerate(counts))
    return Job(
        spec,
        digest,
        job,
        tuple(by_peer[member.peer] for member in cohort.members),
        cohort,
        encode_cohort(groups),
        seeds,
        draw_blocks(cohort, spec.cohort, seeds, 0),
    )


def with_shared_payout(job: Job) -> Job:
    """The job's last member names the first one's payout account."""
    *others, last = job.cohort.members
    members = (*others, dataclasses.replace(last, payout=others[0].payout))
    return dataclasses.replace(job, cohort=dataclasses.replace(job.cohort, members=members))


Lists = dict[int, tuple[bytes, tuple[Leaf, ...]]]


@dataclass(frozen=True)
class Books:
    """A job that ran: evidence, lists, and what the chain holds of it when all is paid."""

    job: Job
    evidence: Evidence
    lists: Lists
    chain: ChainBooks

    @property
    def rounds(self) -> list[tuple[int, tuple[Leaf, ...]]]:
        """Number and contributions of each round."""
        return [(number, listed) for number, (_, listed) in sorted(self.lists.items())]

    @property
    def evidence_digest(self) -> bytes:
        return blob_digest(encode_evidence(self.evidence))

    def with_chain(self, **changes: object) -> Books:
        chain = dataclasses.replace(self.chain, **changes)  # type: ignore[arg-type]
        return dataclasses.replace(self, chain=chain)

    def with_evidence(self, **changes: object) -> Books:
        """Other evidence, which the chain holds: its digest and its merit root follow."""
        evidence = dataclasses.replace(self.evidence, **changes)  # type: ignore[arg-type]
        books = dataclasses.replace(self, evidence=evidence)
        return books.with_chain(
            evidence_digest=books.evidence_digest, merit_root=merit_tree(evidence).root.hash
        )


def make_books(
    job: Job,
    blocks_by_round: Sequence[Sequence[int]],
    worths: Sequence[float] | None = None,
    withheld: tuple[int, ...] = (),
) -> Books:
    """Honest books of a job in whose rounds these blocks contributed whole, all of it claimed."""
    lists: Lists = {}
    records = []
    for number, blocks in enumerate(blocks_by_round):
        drawn = job.blocks_in(number)
        members = [m for m, b in enumerate(drawn) if b in blocks]
        listed = job.listed(number, members)
        data = encode_contributions(listed)
        lists[number] = data, leaves(listed)
        records.append(
            RoundRecord(
                number,
                0,
                digest_of("model", number),
                blob_digest(data),
                len(data),
                contributions_root(job.cohort, listed),
                len(members),
                digest_of("model", number + 1),
            )
        )
    groups = tuple(
        GroupRecord(count, root, 1, True, seed)
        for count, root, seed in zip(job.cohort.counts, job.cohort.roots, job.seeds, strict=True)
    )
    state = RequesterState(
        cohort_digest=blob_digest(job.cohort_list),
        cohort_size=len(job.cohort_list),
        groups=groups,
        adopted=len(groups),
        model_digest=digest_of("model", len(records)),
        model_size=64,
        records=RoundRecords.of(records),
    )
    rounds = [found for _, found in lists.values()]
    payment = job.spec.payment
    evidence = close_books(
        job.id, job.spec_digest, payment.merit, state, job.cohort, rounds, worths, withheld
    )
    claimed: Counter[bytes] = Counter()
    for round_ in rounds:
        for account in {job.cohort.members[leaf.member].payout for leaf in round_}:
            claimed[account] += payment.rate
    claimed.update({share.account: share.amount for share in evidence.merit})
    chain = ChainBooks(
        spec_digest=job.spec_digest,
        enrol_roots=job.cohort.roots,
        seeds=job.seeds,
        rounds={r.number: ChainRound(r.root, r.count, r.model_digest) for r in records},
        final_model=evidence.final_model,
        evidence_digest=blob_digest(encode_evidence(evidence)),
        merit_root=merit_tree(evidence).root.hash,
        escrowed=job.spec.escrow,
        claimed=dict(claimed),
        withdrawn=job.spec.escrow - claimed.total(),
        held=0,
    )
    return Books(job, evidence, lists, chain)


def shared_books() -> Books:
    """Three rounds of five owners, two of whom name one payout account; equal merit."""
    return make_books(with_shared_payout(make_job(5)), [[0], [0], [0]])
