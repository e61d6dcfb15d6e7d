"""One requester, five owners, and whoever wishes them ill: whatever happens, books and money hold.

Honest rules let time pass, crash nodes and reorganise the chain. Hostile rules speak as an
outsider, as an owner that misbehaves, as a requester that tells owners different things, and as the
network, which says again whatever was ever said.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_keys import keys as eth_keys
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from kits.examples import examples
from simulator.checks import check_money, check_paid
from simulator.network import Weather
from simulator.participant import Node
from simulator.world import Settings, World

from protocol.books.lists import encode_roster
from protocol.books.typed_data import Commitment, commitment_digest
from protocol.machines.job import JobPhase
from protocol.machines.round import Phase
from protocol.owner.state import OwnerState
from protocol.requester.state import RequesterRound
from protocol.wire.blobs import blob_digest
from protocol.wire.codec import encode
from protocol.wire.envelope import Envelope, Frame
from protocol.wire.messages import (
    Announce,
    Ask,
    Body,
    Committed,
    Contribution,
    Finished,
    Freeze,
    Open,
    Ready,
    Release,
    Result,
    Roster,
)
from protocol.wire.topics import block_topic, job_topic

ROUNDS = 2

owners = st.integers(0, 4)
garbage = st.binary(max_size=120)


def digest(text: object) -> bytes:
    return hashlib.sha256(str(text).encode()).digest()


class Hostile(RuleBasedStateMachine):
    """Rules act on a running world; time passes only in `wait`."""

    @initialize(seed=st.integers(0, 10**6), loss=st.sampled_from([0.0, 0.1]), early=st.booleans())
    def begin(self, seed: int, loss: float, early: bool) -> None:
        weather = Weather(loss=loss, duplicates=0.1, delay_ms=(5, 150))
        self.world = World(
            Settings(
                seed=seed,
                rounds=ROUNDS,
                ready_seconds=4,
                contribute_seconds=6,
                weather=weather,
            )
        )
        self.said: list[tuple[str, bytes, bytes]] = []  # topic (or none), frame, who said it
        self.marks = 0
        # Somebody with keys, a job file, and no place in the job.
        self.outsider = _outsider(self.world)
        self._listen()
        if not early:
            self.world.clock.run(self.world.clock.now + 60_000, lambda: self.round is not None)

    def _listen(self) -> None:
        network = self.world.network
        gossip, request = network.gossip, network.request

        def overheard_gossip(topic: str, data: bytes, origin: Node) -> None:
            self.said.append((topic, data, origin.peer))
            gossip(topic, data, origin)

        def overheard_request(origin: Node, peer: bytes, data: bytes, *rest: Any) -> None:
            self.said.append(("", data, origin.peer))
            request(origin, peer, data, *rest)

        network.gossip = overheard_gossip  # type: ignore[method-assign]
        network.request = overheard_request  # type: ignore[method-assign]

    # --- honest -----------------------------------------------------------------------------

    @rule(ms=st.sampled_from([30, 150, 600, 2_500]))
    def wait(self, ms: int) -> None:
        self.world.clock.run(self.world.clock.now + ms)

    @rule(phase=st.sampled_from([Phase.READY, Phase.CONTRIBUTE, Phase.COMMIT]))
    def wait_for(self, phase: Phase) -> None:
        """Until the requester's attempt is there: the short phases are where it matters."""
        until = self.world.clock.now + 20_000
        self.world.clock.run(until, lambda: self.round is not None and self.round.phase is phase)

    @rule(who=st.integers(0, 5), ms=st.sampled_from([10, 1_000, 9_000]))
    def crash(self, who: int, ms: int) -> None:
        node = (self.world.requester, *self.world.owners)[who]
        if node.up:
            node.crash()
            self.world.clock.after(ms, node.restart)

    @rule(depth=st.integers(1, 2))
    def reorganise(self, depth: int) -> None:
        self.world.chain.reorganise(depth)

    # --- the network ------------------------------------------------------------------------

    @precondition(lambda self: self.said)
    @rule(data=st.data(), to=st.integers(0, 5))
    def replay(self, data: st.DataObject, to: int) -> None:
        """Anything that was ever said, again, to anybody, stale or not."""
        topic, frame, bearer = data.draw(st.sampled_from(self.said))
        self._hand(to, topic, frame, bearer)

    @rule(content=garbage, to=st.integers(0, 5), private=st.booleans())
    def babble(self, content: bytes, to: int, private: bool) -> None:
        topic = "" if private else job_topic(self.world.job)
        self._hand(to, topic, content, self.outsider.peer)

    @precondition(lambda self: self.said)
    @rule(data=st.data(), to=st.integers(0, 5))
    def misdeliver(self, data: st.DataObject, to: int) -> None:
        """On a topic where it does not belong, or carried by somebody who did not sign it."""
        _, frame, _ = data.draw(st.sampled_from(self.said))
        topic = data.draw(st.sampled_from(["", block_topic(self.world.job, 0), "assay/1/jobs"]))
        self._hand(to, topic, frame, self.outsider.peer)

    # --- an outsider ------------------------------------------------------------------------

    @rule(who=owners, own_payout=st.booleans())
    def forge_an_enrolment(self, who: int, own_payout: bool) -> None:
        """Somebody else's account, or its signed enrolment in the outsider's envelope."""
        victim, me = self.world.owners[who], self.outsider
        body = victim.executor.enrolment(self.world.job, victim.payout, 40)
        if own_payout:
            body = dataclasses.replace(body, payout=me.payout)
        self._tell_requester(me, body, 0, 0)

    @rule(kind=st.integers(0, 3))
    def intrude(self, kind: int) -> None:
        """A round's messages from somebody who is not enrolled."""
        round_ = self.round
        bodies: list[Body] = [
            _ready(round_.opening_digest if round_ else digest("no opening")),
            Contribution(0, 0, digest("roster"), digest("batch"), 524),
            Open(digest(1), 9, digest(2), 9, self.world.clock.now + 9_000, 2**50),
            Result(digest(3), 9),
        ]
        self._tell_requester(self.outsider, bodies[kind])
        self._gossip(self.outsider, bodies[kind])

    @rule()
    def announce_a_job_that_is_none(self) -> None:
        self._gossip(self.outsider, Announce(digest("spec"), 100), "assay/1/jobs")
        self._tell_requester(self.outsider, Ask())

    # --- an owner that misbehaves -----------------------------------------------------------

    @rule(who=owners, what=st.integers(0, 5))
    def contribute_nonsense(self, who: int, what: int) -> None:
        """Wrong size, copied, another's index, another roster, not encrypted, twice."""
        round_, cohort = self.round, self.world.requester.contexts.get(self.world.job)
        if round_ is None or cohort is None or round_.phase is not Phase.CONTRIBUTE:
            return
        me, spec = self.world.owners[who], self.world.spec
        member = cohort.require_cohort().index_of(me.peer)
        if member is None:
            return
        size = spec.packing.batch_bytes(spec.parameter_count)
        content = b"assay" + bytes([self._mark() % 256]) * (size - 5)
        me.blobs[blob_digest(content)] = content
        roster = next(iter(round_.rosters)).digest
        honest = Contribution(0, member, roster, blob_digest(content), size)
        others = [c.batch for c in round_.contributions] or [digest("nobody's")]
        changes: list[dict[str, Any]] = [
            {"batch_size": size - 1},
            {"batch_digest": others[0]},
            {"member": (member + 1) % 5},
            {"roster_digest": digest("another roster")},
            {},
            {"block": 1},
        ]
        self._tell_requester(me, dataclasses.replace(honest, **changes[what]))

    @rule(who=owners)
    def be_ready_for_something_else(self, who: int) -> None:
        self._tell_requester(self.world.owners[who], _ready(digest(self._mark())))

    @rule(who=owners, size=st.sampled_from([5, 6]))
    def be_ready_with_boxes_for_nobody(self, who: int, size: int) -> None:
        """Boxes that do not open: the roster with them is refused by all others."""
        if self.round is not None and self.round.phase is Phase.READY:
            self._tell_requester(self.world.owners[who], _ready(self.round.opening_digest, size))

    @rule(who=owners, right=st.booleans())
    def release_nonsense(self, who: int, right: bool) -> None:
        """Shares of nothing, for this commitment or another."""
        round_ = self.round
        if round_ is not None and round_.phase in (Phase.COMMIT, Phase.UNMASK, Phase.APPLY):
            root = round_.root if right and round_.root else digest("root")
            self._tell_requester(self.world.owners[who], Release(root, 0, (digest("share"),) * 5))

    # --- a requester that tells owners different things ---------------------------------------

    @rule(who=owners, late=st.booleans())
    def open_twice(self, who: int, late: bool) -> None:
        """Another model, for one owner; an honest node never has it."""
        round_, now = self.round, self.world.clock.now
        if round_ is not None and round_.phase in (Phase.READY, Phase.CONTRIBUTE):
            until = now + (60_000 if late else 4_000)
            changed = dataclasses.replace(
                round_.opening,
                model_digest=digest(self._mark()),
                ready_until=until,
                contribute_until=until + 6_000,
            )
            self._tell_owner(who, changed)

    @rule(who=owners, partial=st.booleans(), block=st.integers(0, 1))
    def freeze_twice(self, who: int, partial: bool, block: int) -> None:
        """A roster of few, one that leaves a member of the block out, or one without any block."""
        round_, requester = self.round, self.world.requester
        if round_ is None or not round_.ready:
            return
        kept = [requester.messages[r.message] for r in [*round_.ready][: 4 if partial else 1]]
        content = encode_roster(kept)
        requester.blobs[blob_digest(content)] = content
        roster = Roster(block, blob_digest(content), len(content))
        self._tell_owner(who, Freeze(round_.opening_digest, (roster,)))

    @rule(who=owners, other=owners)
    def replace_a_key(self, who: int, other: int) -> None:
        """A roster with a member's Ready as its requester would like it, signed by itself."""
        round_, requester = self.round, self.world.requester
        if round_ is None or len(round_.ready) < 5:
            return
        kept = [requester.messages[r.message] for r in sorted(round_.ready, key=lambda r: r.member)]
        assert isinstance(kept[other].body, Ready)
        forged = dataclasses.replace(kept[other].body, mask_key=digest(self._mark()))
        kept[other] = requester.sealed(self.world.job, round_.number, round_.attempt, forged)
        content = encode_roster(kept)
        requester.blobs[blob_digest(content)] = content
        roster = Roster(0, blob_digest(content), len(content))
        self._tell_owner(who, Freeze(round_.opening_digest, (roster,)))

    @rule(who=owners, signed=st.booleans())
    def commit_twice(self, who: int, signed: bool) -> None:
        """Another root for one owner: signed by the account, or not at all."""
        round_, requester = self.round, self.world.requester
        if round_ is None or round_.phase is not Phase.COMMIT:
            return
        root, until = digest(self._mark()), self.world.clock.now // 1000 + 30
        model = round_.opening.model_digest
        statement = Commitment(self.world.job, round_.number, root, 5, model, until)
        raw = requester.account_key.sign_msg_hash(
            commitment_digest(self.world.domain, statement)
        ).to_bytes()
        signature = raw[:64] + bytes([raw[64] + 27]) if signed else bytes(65)
        self._tell_owner(who, Committed(root, 5, model, until, signature, digest("list"), 100))

    @rule(who=owners)
    def finish_with_other_books(self, who: int) -> None:
        body = Finished(digest("model"), 100, digest("books"), 100)
        self._tell_owner(who, body, 0, 0)

    # --- what holds -------------------------------------------------------------------------

    @invariant()
    def money_is_conserved(self) -> None:
        if hasattr(self, "world") and self.world.job in self.world.chain.state.jobs:
            check_money(self.world)

    @invariant()
    def only_owners_are_enrolled(self) -> None:
        if hasattr(self, "world"):
            enrolled = {r.peer for r in self.world.books.enrolments}
            assert enrolled <= {o.peer for o in self.world.owners}
            payouts = {r.payout for r in self.world.books.enrolments}
            assert payouts <= {o.payout for o in self.world.owners}

    @invariant()
    def a_model_is_contributed_to_in_one_round(self) -> None:
        for owner in self.world.owners if hasattr(self, "world") else ():
            state = owner.state(self.world.job) if self.world.job in owner.jobs else None
            if isinstance(state, OwnerState):
                models = [model for model, _ in state.contributed]
                assert len(set(models)) == len(models)

    def teardown(self) -> None:
        """Once hostility ends, so does the job: with everybody paid, and nobody waiting."""
        if not hasattr(self, "world"):
            return
        self.world.settings.weather.loss = 0.0
        assert self.world.run(900), "stuck:\n" + "\n".join(self.world.log[-30:])
        assert self.world.books.phase is JobPhase.CLOSED, self.world.books.reason
        check_money(self.world)
        check_paid(self.world)
        phases = {self.world.owner_state(owner).phase for owner in self.world.owners}
        assert phases == {JobPhase.CLOSED}

    # --- how --------------------------------------------------------------------------------

    @property
    def round(self) -> RequesterRound | None:
        return self.world.books.round

    def _mark(self) -> int:
        self.marks += 1
        return self.marks

    def _place(self) -> tuple[int, int]:
        return (self.round.number, self.round.attempt) if self.round else (0, 0)

    def _signed(self, by: Node, body: Body, *place: int) -> bytes:
        number, attempt = place or self._place()
        envelope: Envelope = by.sealed(self.world.job, number, attempt, body)
        return encode(Frame(encode(envelope), b""))

    def _tell_requester(self, by: Node, body: Body, *place: int) -> None:
        self._hand(5, "", self._signed(by, body, *place), by.peer)

    def _tell_owner(self, who: int, body: Body, *place: int) -> None:
        frame = self._signed(self.world.requester, body, *place)
        self._hand(who, job_topic(self.world.job), frame, self.world.requester.peer)

    def _gossip(self, by: Node, body: Body, topic: str = "") -> None:
        frame = self._signed(by, body)
        for to in range(6):
            self._hand(to, topic or job_topic(self.world.job), frame, by.peer)

    def _hand(self, to: int, topic: str, frame: bytes, bearer: bytes) -> None:
        node = (*self.world.owners, self.world.requester)[to]
        if not node.up:
            return
        if topic:
            node.hear(topic, frame)
        else:
            node.answer(bearer, frame)


def _ready(opening: bytes, size: int = 5) -> Ready:
    """Ready in form alone."""
    hashes = (digest("share")[:16],) * size
    keys = digest("mask key"), digest("share key"), digest("seed")
    return Ready(opening, *keys, hashes, hashes, (b"no box".ljust(64),) * size)


def _outsider(world: World) -> Node:
    secret = digest("outsider")
    node = Node(
        world, "x", Ed25519PrivateKey.from_private_bytes(secret), eth_keys.PrivateKey(secret)
    )
    node.crash()  # it has keys, and no daemon
    return node


TestHostile = Hostile.TestCase
TestHostile.settings = examples(0.12, steps=30, allow=[HealthCheck.data_too_large])
