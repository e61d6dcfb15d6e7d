"""A requester that keeps to no rule, with some of its owners; everybody else is an honest node.

The honest owners are whole nodes: their machines, lists, secrets and masks are the daemon's. The
coalition hears all that they say, serves them whatever they fetch, and tells each whatever it
likes. It has its own account on the chain, whose rules bind it as they bind everybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from simulator import workers
from simulator.executor import account_signature
from simulator.participant import Node
from simulator.sealed import sealed_model
from simulator.spy import Spy
from simulator.world import Policy, Settings, World

from node.work import secagg as secagg_tasks
from protocol import params
from protocol.arith.numbers.vectors import Kind, decode_vector, encode_vector
from protocol.arith.secagg.sharing import Secrets
from protocol.books import lists
from protocol.books.enrolment import block_members
from protocol.books.typed_data import Commitment, commitment_digest
from protocol.machines.job import JobPhase
from protocol.wire.blobs import blob_digest
from protocol.wire.codec import decode, encode
from protocol.wire.envelope import Context, Envelope, Frame, open_envelope, opening_digest
from protocol.wire.messages import Body, Committed, Contribution, Freeze, Open, Ready, Roster
from protocol.wire.topics import job_topic

_READY_MS, _CONTRIBUTE_MS = 30_000, 90_000


class Coalition:
    """One block: `corrupt` of its members, and the requester."""

    def __init__(
        self,
        settings: Settings,
        corrupt: int = 1,
        policies: Callable[[World], Mapping[str, Policy]] = lambda world: {},
    ) -> None:
        self.world = world = World(settings)
        world.policies.update(policies(world))
        self.requester = world.requester
        self.corrupt = world.owners[:corrupt]
        self.honest = world.owners[corrupt:]
        started = world.clock.run(
            world.clock.now + 60_000, lambda: world.books.phase is JobPhase.TRAINING
        )
        assert started
        for node in (self.requester, *self.corrupt):
            _take_over(node)
        self.spy = Spy(world, tuple(self.corrupt))
        self.readys: dict[tuple[bytes, int], Envelope] = {}  # by opening and member
        self.contributions: dict[tuple[bytes, int], Contribution] = {}  # by roster and member
        self.openings: list[tuple[Context, Open]] = []
        self.rosters: list[tuple[Context, bytes, tuple[int, ...]]] = []
        self._listen()
        self.wait(1_500)  # everybody sees the root as final

    # --- what it hears ----------------------------------------------------------------------

    def _listen(self) -> None:
        requester = self.requester

        def take(data: bytes) -> None:
            frame = decode(Frame, data, params.MAX_STREAM_MESSAGE_BYTES)
            envelope = open_envelope(frame.envelope)
            requester.keep(envelope)
            body = envelope.body
            if isinstance(body, Ready):
                self.readys[body.opening, self.member(envelope.sender)] = envelope
            if isinstance(body, Contribution):
                member = self.member(envelope.sender)
                self.contributions[body.roster_digest, member] = body
                if frame.attachment:
                    requester.blobs[body.batch_digest] = frame.attachment

        def answer(peer: bytes, data: bytes) -> bytes:
            take(data)
            return b""

        requester.answer = answer  # type: ignore[method-assign]
        requester.hear = lambda topic, data: take(data)  # type: ignore[method-assign]

    def member(self, peer: bytes) -> int:
        index = self.spy.cohort.index_of(peer)
        assert index is not None
        return index

    def members(self, nodes: Iterable[Node]) -> tuple[int, ...]:
        return tuple(sorted(self.member(node.peer) for node in nodes))

    def wait(self, ms: int) -> None:
        self.world.clock.run(self.world.clock.now + ms)

    # --- what it says -----------------------------------------------------------------------

    def tell(self, nodes: Iterable[Node], place: Context, body: Body) -> None:
        envelope = self.requester.sealed(place.job, place.round, place.attempt, body)
        self.requester.keep(envelope)
        for node in nodes:
            if node.up:
                node.hear(job_topic(place.job), encode(Frame(encode(envelope), b"")))

    def store(self, content: bytes) -> tuple[bytes, int]:
        self.requester.blobs[blob_digest(content)] = content
        return blob_digest(content), len(content)

    def place(self, round_: int, attempt: int) -> Context:
        return self.requester.place(self.world.job, round_, attempt)

    def model(self, number: int) -> bytes:
        """The `number`th of some models that differ a little: its digest."""
        books, count = self.world.books, self.world.spec.parameter_count
        if self.world.spec.privacy.sealed:
            weights = 0.1 * np.arange(count) + 0.01 * number
            content = sealed_model(self.world.spec, weights, f"model {number}")
            return self.store(content)[0]
        weights = decode_vector(Kind.MODEL, self.requester.blobs[books.model_digest], count)
        moved = weights + 0.01 * number
        return self.store(encode_vector(Kind.MODEL, moved, number))[0]

    def open(self, round_: int, attempt: int, model: bytes, nodes: Sequence[Node]) -> bytes:
        """Open an attempt on a model for some owners: the opening's digest."""
        books, now = self.world.books, self.world.clock.now
        body = Open(
            books.next_cohort_digest,
            books.next_cohort_size,
            model,
            len(self.requester.blobs[model]),
            now + _READY_MS,
            now + _CONTRIBUTE_MS,
        )
        place = self.place(round_, attempt)
        self.openings.append((place, body))
        self.tell(nodes, place, body)
        return opening_digest(place, body)

    def own_ready(self, place: Context, opening: bytes, node: Node, version: int = 0) -> Envelope:
        """A corrupt owner's Ready; another version has other secrets."""
        member = self.member(node.peer)
        blocks = self.spy.blocks(place.round)
        whole = [self.spy.cohort.members[m] for m in block_members(blocks, blocks[member])]
        entropy = node.entropy(f"ready {version}")
        with workers.within(node, entropy):
            made = secagg_tasks.make_secrets(
                place,
                opening,
                node.peer,
                tuple((m.peer, m.sealing_key) for m in whole),
                self.world.spec.threshold(len(whole)),
            )
        self.spy.own(Secrets.from_bytes(made.secret))
        return node.sealed(place.job, place.round, place.attempt, made.ready)

    def roster(self, place: Context, envelopes: Iterable[Envelope]) -> tuple[bytes, int]:
        """Store a roster of these Ready messages."""
        ordered = sorted(envelopes, key=lambda e: self.member(e.sender))
        digest, size = self.store(lists.encode_roster(ordered))
        self.rosters.append((place, digest, tuple(self.member(e.sender) for e in ordered)))
        return digest, size

    def freeze(
        self, place: Context, opening: bytes, roster: tuple[bytes, int], nodes: Iterable[Node]
    ) -> None:
        self.tell(nodes, place, Freeze(opening, (Roster(0, *roster),)))

    def list_of(self, roster: bytes, members: Sequence[int]) -> lists.ContributionList:
        """What a commitment could list: true batches where they are known, none where not."""
        batches = []
        for member in members:
            body = self.contributions.get((roster, member))
            batches.append(blob_digest(b"no batch") if body is None else body.batch_digest)
        block = lists.BlockList(0, roster, tuple(members), tuple(batches))
        return lists.ContributionList((block,))

    def commit(
        self,
        place: Context,
        model: bytes,
        listed: lists.ContributionList,
        nodes: Iterable[Node],
        on_chain: bool,
    ) -> None:
        """Sign a commitment, show it to some, and put it on the chain or not."""
        world, requester = self.world, self.requester
        root = lists.contributions_root(self.spy.cohort, listed)
        count, until = len(lists.leaves(listed)), world.clock.now // 1000 + 50
        terms = place.round, root, count, model, until
        signature = account_signature(
            requester.account_key,
            commitment_digest(world.domain, Commitment(place.job, *terms)),
        )
        stored = self.store(lists.encode_contributions(listed))
        if on_chain:
            mark = f"x/commit/{place.round}/{root.hex()[:16]}/{until}"
            args: tuple[Any, ...] = (place.job, *terms, signature)
            world.chain.submit(mark, requester.account, "commit", args)
        self.tell(nodes, place, Committed(root, count, model, until, signature, *stored))

    # --- what it gains ----------------------------------------------------------------------

    def least(self) -> int:
        """Honest members of the smallest sum that the job lets it open."""
        spec = self.world.spec
        return spec.quorum(len(self.world.owners)) - len(self.corrupt)

    def gains(self) -> list[int]:
        """Of how many owners' numbers each sum is that it can open by now."""
        self.spy.learn()
        return sorted(len(opened.parts) for opened in self.spy.opened())

    def check(self) -> None:
        """Nothing less than the honest part of a whole block's sum can be opened."""
        gained = self.gains()
        assert all(parts >= self.least() for parts in gained), gained

    def truth(self, sender: bytes, round_: int, attempt: int) -> Any:
        """An honest owner's numbers, as it masked them."""
        node = next(n for n in self.honest if n.peer == sender)
        return node.integers[round_, attempt]

    def check_truth(self) -> None:
        """What is said to open does open: the numbers come out."""
        held = self.spy.held()
        for opened in self.spy.opened():
            total = np.zeros(self.world.spec.parameter_count, dtype=np.int64)
            for index, factor in opened.recipe.items():
                each = held[index]
                place = each.place
                total += int(factor) * self.truth(each.sender, place.round, place.attempt)
            assert np.array_equal(self.spy.compute(opened), total)

    def play(self, round_: int, attempt: int, model: bytes) -> tuple[Context, bytes]:
        """An attempt as an honest requester runs it, up to everybody's contribution."""
        place = self.place(round_, attempt)
        opening = self.open(round_, attempt, model, self.honest)
        self.wait(1_500)
        own = [self.own_ready(place, opening, node) for node in self.corrupt]
        theirs = [self.readys[opening, m] for m in self.members(self.honest)]
        roster = self.roster(place, [*own, *theirs])
        self.freeze(place, opening, roster, self.honest)
        self.wait(2_500)
        return place, roster[0]


def _take_over(node: Node) -> None:
    """From here on the node says nothing by itself; what it holds it still serves."""
    node.epoch += 1
    node.feed = lambda *args: None  # type: ignore[method-assign,assignment,misc]
