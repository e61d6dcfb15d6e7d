"""A requester whose every word the test chooses, against owners that are real daemons.

It posts a job on the chain and enrols everybody as it should; from there on it says what it is told
to, to whom it is told to: other models, other rosters, other commitments.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import trio

from kits.attacks.defences import opening_without_model
from kits.attacks.hand_reader import Reader, paillier_key
from kits.attacks.hostile import Hostile
from kits.daemons.owner_swarm import OwnerSwarm
from kits.daemons.processes import CHAIN_ID, Daemon, until
from node.chain.client import ChainClient
from node.chain.signer import hash_of
from node.net.swarm import SwarmConfig, open_swarm
from node.perform.messages import PROTOCOL
from node.store.blobs import BlobRef, Blobs
from node.work import secagg as secagg_tasks
from node.work import tasks
from protocol.books import lists
from protocol.books.enrolment import cohort_order, draw_blocks, job_id
from protocol.books.lists import BlockList, ContributionList
from protocol.books.typed_data import Commitment, commitment_digest
from protocol.params import MAX_STREAM_MESSAGE_BYTES
from protocol.spec.job import ChainRef, decode_spec, encode_spec, spec_digest
from protocol.spec.parts import Party
from protocol.spec.toml import parse_toml
from protocol.wire import identity
from protocol.wire.blobs import blob_digest
from protocol.wire.codec import decode
from protocol.wire.envelope import Envelope, Frame, envelope_digest, open_envelope, opening_digest
from protocol.wire.messages import (
    Announce,
    Ask,
    Body,
    Committed,
    Contribution,
    Enrol,
    Enrolled,
    Freeze,
    Open,
    Ready,
    Refuse,
    Release,
    Roster,
    Told,
)
from protocol.wire.topics import JOBS_TOPIC

_WAIT = 60.0
_AGAIN = 1.0

Said = TypeVar("Said", Ready, Contribution, Release, Refuse)


@dataclass
class Attempt:
    """One attempt as it was opened: what was told to whom."""

    where: tuple[int, int]
    openings: dict[int, Open]
    digests: dict[int, bytes] = field(default_factory=dict)


class HandRequester(Hostile, Reader):
    """See `hand_requester`. Members are indexes into the cohort; all of them make one block."""

    def __init__(self, owners: OwnerSwarm, swarm: Any, client: ChainClient, folder: Path) -> None:
        self.said: list[tuple[Envelope, bytes]] = []
        self.job = bytes(32)
        super().__init__(owners.requester_keys, swarm, owners.contract, "")
        self._owners = owners
        self._client = client
        folder.mkdir(exist_ok=True)
        self.blobs = Blobs(folder)
        self._folder = folder
        swarm.serve_blobs(self.blobs)

    # --- hearing

    async def _hear(self, peer: str, data: bytes) -> bytes:
        frame = decode(Frame, data, MAX_STREAM_MESSAGE_BYTES)
        envelope = open_envelope(frame.envelope)
        body = envelope.body
        if isinstance(body, Ask):
            return self.frame(self.sealed(Told(()), envelope.context.job))
        if envelope.context.job != self.job:
            return b""  # of a job of another test
        self.said.append((envelope, frame.attachment))
        if isinstance(body, Enrol):
            return self.frame(self.sealed(Enrolled(envelope_digest(envelope)), self.job))
        return b""

    def heard_of(
        self, kind: type[Said], where: tuple[int, int]
    ) -> list[tuple[int, Said, Envelope, bytes]]:
        """What members have said about an attempt: member, body, envelope, attachment."""
        found = []
        for envelope, attachment in self.said:
            place, body = envelope.context, envelope.body
            if isinstance(body, kind) and (place.round, place.attempt) == where:
                member = self.cohort.index_of(envelope.sender)
                assert member is not None, "from a peer that never enrolled"
                found.append((member, body, envelope, attachment))
        return found

    async def each(
        self, kind: type[Said], where: tuple[int, int], members: Iterable[int]
    ) -> dict[int, tuple[Said, Envelope, bytes]]:
        """Wait until each of `members` has said a thing of this kind; the last of each."""
        wanted = set(members)

        def here() -> bool:
            return wanted <= {member for member, *_ in self.heard_of(kind, where)}

        await until(here, _WAIT, f"{kind.__name__} of members {sorted(wanted)}, round {where}")
        found = {member: told for member, *told in self.heard_of(kind, where)}
        return {member: (each[0], each[1], each[2]) for member, each in found.items()}

    async def refusals(self, where: tuple[int, int], members: Iterable[int]) -> dict[int, str]:
        """Wait until each of `members` has refused; in which words."""
        found = await self.each(Refuse, where, members)
        return {member: body.reason for member, (body, _, _) in found.items()}

    # --- what every requester does

    async def offer(self, text: str, proof: bytes = b"") -> Announce:
        """The job on the chain; what announces it, with the spec's bytes. `proof`: another one of a
        sealed job's key than its own."""
        modulus, _, true = await trio.to_thread.run_sync(paillier_key)
        draft = parse_toml(text)
        self.spec = draft.complete(
            salt=secrets.token_bytes(16),
            requester=Party(self.keys.account, self.swarm.peer_id_bytes),
            chain=ChainRef(CHAIN_ID, self.domain.contract),
            modulus=modulus,
            seed=secrets.token_bytes(32),
            now=int(time.time()),
            proof=(proof or true) if draft.terms.privacy.sealed else b"",
        )
        content = encode_spec(self.spec)
        digest = spec_digest(content)
        self.blobs.put(content)
        self.work = tasks.Work(self._folder, content)
        self.job = job_id(self.domain, self.keys.account, digest)
        spec = self.spec
        terms = (digest, bytes(20), spec.training.rounds, spec.cohort.max_owners)
        pay = (spec.payment.rate, spec.payment.merit, spec.expires_at)
        await self._transact("post", *terms, *pay, value=spec.escrow)
        return Announce(digest, len(content))

    async def announce(self, body: Announce) -> None:
        """Gossip the job, its spec attached."""
        frame = self.frame(self.sealed(body, self.job), self.work.spec)
        await self.swarm.publish(JOBS_TOPIC, frame)

    async def post(self, text: str) -> None:
        """The job on the chain, everybody enrolled, the blocks drawn."""
        enrolments = await self._enrolments(await self.offer(text))
        spec = self.spec
        ordered = cohort_order(spec, self.job, enrolments)
        data = lists.encode_cohort([ordered])
        self.cohort = lists.examine_cohort(spec, self.job, data)
        self._cohort = self.blobs.put(data)
        block = await self._transact("enrol", self.job, self.cohort.root, len(ordered))
        await self._mined(block + 1 + spec.timing.finality_blocks)
        seed = await self._client.block_hash(block + 1)
        assert seed is not None
        self.blocks = draw_blocks(self.cohort, spec.cohort, (seed,), 0)
        assert set(self.blocks) == {0}

    async def _enrolments(self, body: Announce) -> list[Envelope]:
        with trio.fail_after(_WAIT):
            while True:
                found = {e.sender: e for e, _ in self.said if isinstance(e.body, Enrol)}
                if len(found) == self.spec.cohort.max_owners:
                    return list(found.values())
                await self.announce(body)
                await trio.sleep(_AGAIN)

    async def _transact(self, function: str, *args: Any, value: int = 0) -> int:
        """A transaction of the requester's account; the number of its block."""
        client, account = self._client, self.keys.account
        data = client.codec.encode(function, args)
        fees = await client.fees()
        transaction = {
            "type": 2,
            "chainId": CHAIN_ID,
            "nonce": await client.nonce(account),
            "to": self.domain.contract,
            "gas": 2 * await client.estimate(account, self.domain.contract, data, value),
            "maxFeePerGas": 2 * fees.base_fee + fees.tip,
            "maxPriorityFeePerGas": fees.tip,
            "value": value,
            "data": data,
        }
        raw = self.keys.sign_transaction(transaction)
        await client.send(raw)
        with trio.fail_after(_WAIT):
            while (receipt := await client.receipt(hash_of(raw))) is None:  # noqa: ASYNC110 (it is polled)
                await trio.sleep(0.2)
        assert receipt.ok, function
        return receipt.block

    async def _mined(self, number: int) -> None:
        with trio.fail_after(_WAIT):
            while (await self._client.head()).number < number:  # noqa: ASYNC110 (it is polled)
                await trio.sleep(0.2)

    # --- members

    @property
    def everybody(self) -> range:
        return range(len(self.cohort.members))

    def member_of(self, owner: Daemon) -> int:
        account = self._owners.accounts[owner.home.path.name]
        return next(i for i, m in enumerate(self.cohort.members) if m.account == account)

    def owner_of(self, member: int) -> Daemon:
        return next(o for o in self._owners.owners if self.member_of(o) == member)

    async def _tell(self, member: int, body: Body, where: tuple[int, int]) -> None:
        peer = identity.peer_id_text(self.cohort.members[member].peer)
        frame = self.frame(self.sealed(body, self.job, *where))
        await self.swarm.request(peer, PROTOCOL, frame, 15)

    def bound(self, attempt: Attempt, model: bytes, roster: BlobRef) -> secagg_tasks.Attempt:
        """What masks of an attempt are bound to, for this model's digest and this roster."""
        return self.bound_at(self.place(self.job, *attempt.where), model, roster)

    # --- a round, message by message

    async def open(
        self, where: tuple[int, int], models: Mapping[int, bytes], *, without_model: bool = False
    ) -> Attempt:
        """Tell each member its opening, on its own model, until it is ready or refuses."""
        timing = self.spec.timing
        until_ = int(1000 * time.time()) + 1000 * timing.ready_seconds
        attempt = Attempt(where, {})
        for member, model in models.items():
            ref = self.blobs.put(model)
            opening = Open(
                self._cohort.digest,
                self._cohort.size,
                ref.digest,
                ref.size,
                until_,
                until_ + 1000 * timing.contribute_seconds,
            )
            attempt.openings[member] = opening
            attempt.digests[member] = self._called(where, opening, without_model)
        before = len(self.said)
        with trio.fail_after(_WAIT):
            while missing := set(models) - self._answered(where, before):
                for member in missing:
                    await self._tell(member, attempt.openings[member], where)
                await trio.sleep(_AGAIN)
        return attempt

    def _called(self, where: tuple[int, int], opening: Open, without_model: bool) -> bytes:
        place = self.place(self.job, *where)
        if without_model:
            return opening_without_model(place, opening, opening_digest)
        return opening_digest(place, opening)

    def _answered(self, where: tuple[int, int], since: int) -> set[int]:
        """Who is ready, or has refused. An opening that is not followed is refused under the name
        of the attempt that its owner followed last."""
        refused = {e.sender for e, _ in self.said[since:] if isinstance(e.body, Refuse)}
        ready = {member for member, *_ in self.heard_of(Ready, where)}
        return ready | {m for m in self.everybody if self.cohort.members[m].peer in refused}

    async def ready(self, attempt: Attempt, members: Iterable[int]) -> dict[int, Envelope]:
        """The signed Ready messages of these members."""
        found = await self.each(Ready, attempt.where, members)
        return {member: envelope for member, (_, envelope, _) in found.items()}

    def roster(self, messages: Mapping[int, Envelope]) -> BlobRef:
        """The blob of a roster of these messages, whoever signed them."""
        return self.blobs.put(lists.encode_roster([messages[m] for m in sorted(messages)]))

    async def freeze(self, attempt: Attempt, rosters: Mapping[int, BlobRef]) -> None:
        """Tell each member the roster that is meant for it."""
        for member, ref in rosters.items():
            told = (Roster(0, ref.digest, ref.size),)
            await self._tell(member, Freeze(attempt.digests[member], told), attempt.where)

    async def contributions(self, attempt: Attempt, members: Iterable[int]) -> dict[int, bytes]:
        """Wait for these members' batches, which ride along with their headers."""
        found = await self.each(Contribution, attempt.where, members)
        assert all(attached for _, _, attached in found.values())
        return {member: attached for member, (_, _, attached) in found.items()}

    def commitment(
        self, where: tuple[int, int], model: bytes, roster: bytes, batches: Mapping[int, bytes]
    ) -> Committed:
        """A signed commitment to a list of these batches. Any number of them can be signed."""
        members = tuple(sorted(batches))
        named = tuple(blob_digest(batches[member]) for member in members)
        listed = ContributionList((BlockList(0, roster, members, named),))
        ref = self.blobs.put(lists.encode_contributions(listed))
        root = lists.contributions_root(self.cohort, listed)
        valid_until = int(time.time()) + self.spec.timing.commit_seconds
        terms = (root, len(members), model, valid_until)
        digest = commitment_digest(self.domain, Commitment(self.job, where[0], *terms))
        return Committed(*terms, self.keys.sign_digest(digest), ref.digest, ref.size)

    async def show(self, attempt: Attempt, committed: Committed, members: Iterable[int]) -> None:
        """Tell these members that this is the commitment."""
        for member in members:
            await self._tell(member, committed, attempt.where)

    async def put_on_chain(self, where: tuple[int, int], said: Committed) -> None:
        """Bind the contract to pay for it."""
        terms = (said.root, said.count, said.model_digest, said.valid_until, said.signature)
        await self._transact("commit", self.job, where[0], *terms)

    async def releases(
        self, attempt: Attempt, root: bytes, members: Iterable[int]
    ) -> dict[int, tuple[bytes, ...]]:
        """Wait for these members' shares under a commitment."""
        wanted = set(members)
        await until(lambda: wanted <= set(self.released(attempt, root)), _WAIT, "shares come")
        return self.released(attempt, root)

    def released(self, attempt: Attempt, root: bytes) -> dict[int, tuple[bytes, ...]]:
        """The shares that have come so far, by who released them."""
        found = self.heard_of(Release, attempt.where)
        return {member: body.shares for member, body, _, _ in found if body.root == root}


@asynccontextmanager
async def hand_requester(
    owners: OwnerSwarm, folder: Path, spec: str = ""
) -> AsyncIterator[HandRequester]:
    """A requester in the swarm's place for it, its job posted, every owner enrolled; without a
    `spec`, no job yet."""
    found = [address for o in owners.owners for address in o.call("status")["addresses"]]
    listen = owners.address.partition("/p2p/")[0]
    client = await ChainClient.open(owners.chain.url, CHAIN_ID, owners.contract)
    try:
        config = SwarmConfig((listen,), tuple(found), owners.requester_keys.peer_seed)
        async with open_swarm(config) as swarm:
            requester = HandRequester(owners, swarm, client, folder)
            await swarm.wait_connected(len(owners.owners), _WAIT)
            if spec:
                await requester.post(spec)
                assert decode_spec(requester.work.spec) == requester.spec
            yield requester
    finally:
        client.close()
