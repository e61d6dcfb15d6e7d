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

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_hash.auto import keccak
from eth_keys import keys as eth_keys

from protocol.audit import ChainBooks, ChainRound
from protocol.blobs import blob_digest
from protocol.enrolment import (
    Cohort,
    build_cohort,
    cohort_order,
    draw_blocks,
    job_id,
    spec_domain,
)
from protocol.envelope import Context, Envelope, seal
from protocol.evidence import Evidence, close_books, encode_evidence, merit_tree
from protocol.identity import peer_id
from protocol.lists import contribution_leaf_of, encode_list, examine_contributions
from protocol.messages import Body, Contribution, Enrol
from protocol.requester_state import RequesterState, RoundRecord
from protocol.spec import (
    ETHER,
    ChainRef,
    ClassTarget,
    CohortSpec,
    EncryptionSpec,
    Family,
    JobSpec,
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
from protocol.spec import Envelope as Cipher
from protocol.trees import index_root
from protocol.typed_data import Enrolment, enrolment_digest

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


def make_spec(max_owners: int = 32, rate: int = 7, merit: int = 1000, rounds: int = 3) -> JobSpec:
    """A small softmax job of the requester's."""
    return JobSpec(
        version=1,
        title="Length of stay",
        purpose="research",
        features=(NumberFeature("age", 0.0, 120.0),),
        outside=Outside.CLIP,
        target=ClassTarget("stay", ("short", "long")),
        model=ModelSpec(Family.SOFTMAX, 0),
        training=TrainingSpec(rounds, 10, 32, 1.0, 4.0, 0.01, 1.0, 0.5),
        privacy=PrivacySpec(None, 0.0, 0, 1, False),
        encryption=EncryptionSpec(Cipher.PAILLIER, 3072, 16),
        cohort=CohortSpec(5, max_owners, 5, ()),
        payment=PaymentSpec(ETHER, rate, merit),
        timing=TimingSpec(600, 60, 300, 600, 60, 3),
        salt=bytes(16),
        requester=Party(REQUESTER.account, REQUESTER.peer),
        chain=ChainRef(CHAIN_ID, CONTRACT),
        seed=bytes(32),
        modulus=((1 << 3071) + 1).to_bytes(384, "big"),
        expires_at=1_900_000_000,
    )


def enrol(spec: JobSpec, job: bytes, person: Person) -> Envelope:
    """A person's enrolment, signed by account and peer key."""
    statement = Enrolment(job, person.account, person.payout, keccak(person.peer), 100)
    signature = person.sign_digest(enrolment_digest(spec_domain(spec), statement))
    place = Context(spec.chain.chain_id, spec.chain.contract, job, 0, 0)
    return person.say(place, Enrol(person.account, person.payout, 100, signature))


@dataclass(frozen=True)
class Job:
    """A job with its cohort: `people` stand in the order of the cohort's members."""

    spec: JobSpec
    spec_digest: bytes
    id: bytes
    people: tuple[Person, ...]
    cohort: Cohort
    cohort_list: bytes
    seed: bytes
    blocks: tuple[int, ...]

    def place(self, round_: int = 0, attempt: int = 0) -> Context:
        return Context(CHAIN_ID, CONTRACT, self.id, round_, attempt)

    def members_of(self, blocks: Sequence[int]) -> list[int]:
        """The members of some blocks, in the order of a contribution list."""
        found = [m for m, b in enumerate(self.blocks) if b in blocks]
        return sorted(found, key=lambda m: (self.blocks[m], m))

    def contribution(self, member: int, round_: int = 0, attempt: int = 0) -> Envelope:
        body = Contribution(
            self.blocks[member],
            member,
            digest_of("frozen", round_),
            digest_of("batch", round_, member),
            500,
        )
        return self.people[member].say(self.place(round_, attempt), body)


@cache
def make_job(owners: int, rate: int = 7, merit: int = 1000, rounds: int = 3) -> Job:
    """A job whose cohort is enrolled and whose blocks are drawn."""
    spec = make_spec(max(owners, 5), rate, merit, rounds)
    digest = spec_digest(encode_spec(spec))
    job = job_id(spec_domain(spec), REQUESTER.account, digest)
    crowd = [Person(number) for number in range(1, owners + 1)]
    envelopes = cohort_order(spec, job, [enrol(spec, job, person) for person in crowd])
    cohort = build_cohort(spec, job, envelopes)
    by_peer = {person.peer: person for person in crowd}
    seed = digest_of("block hash", owners)
    return Job(
        spec,
        digest,
        job,
        tuple(by_peer[member.peer] for member in cohort.members),
        cohort,
        encode_list(envelopes),
        seed,
        draw_blocks(cohort, spec.cohort, seed),
    )


Lists = dict[int, tuple[bytes, tuple[Envelope, ...]]]


@dataclass(frozen=True)
class Books:
    """A job that ran: evidence, lists, and what the chain holds of it when all is paid."""

    job: Job
    evidence: Evidence
    lists: Lists
    chain: ChainBooks

    @property
    def rounds(self) -> list[tuple[int, tuple[Envelope, ...]]]:
        """Number and contributions of each round."""
        return [(number, envelopes) for number, (_, envelopes) in sorted(self.lists.items())]

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


def make_books(job: Job, blocks_by_round: Sequence[Sequence[int]]) -> Books:
    """Honest books of a job in whose rounds these blocks contributed, all of it claimed."""
    lists: Lists = {}
    records = []
    for number, blocks in enumerate(blocks_by_round):
        members = job.members_of(blocks)
        envelopes = tuple(job.contribution(member, number) for member in members)
        data = encode_list(envelopes)
        lists[number] = data, envelopes
        frozen = digest_of("frozen", number)
        listed = examine_contributions(job.cohort, job.blocks, job.place(number), frozen, data)
        assert listed.root == index_root([contribution_leaf_of(job.cohort, e) for e in envelopes])
        records.append(
            RoundRecord(
                number,
                0,
                digest_of("model", number),
                frozen,
                1000,
                blob_digest(data),
                len(data),
                listed.root,
                len(members),
                digest_of("model", number + 1),
            )
        )
    state = RequesterState(
        cohort_digest=blob_digest(job.cohort_list),
        cohort_size=len(job.cohort_list),
        seed=job.seed,
        model_digest=digest_of("model", len(records)),
        model_size=64,
        records=tuple(records),
    )
    rounds = [envelopes for _, envelopes in lists.values()]
    payment = job.spec.payment
    evidence = close_books(job.id, job.spec_digest, payment.merit, state, job.cohort, rounds)
    claimed: Counter[bytes] = Counter()
    for envelope in (e for round_ in rounds for e in round_):
        member = job.cohort.index_of(envelope.sender)
        assert member is not None
        claimed[job.cohort.members[member].payout] += payment.rate
    claimed.update({share.account: share.amount for share in evidence.merit})
    chain = ChainBooks(
        spec_digest=job.spec_digest,
        enrol_root=job.cohort.root,
        enrol_block_hash=job.seed,
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
