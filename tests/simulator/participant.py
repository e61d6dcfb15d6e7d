"""A node, simulated: what node/engine/engine.py and its neighbours do, without disks and sockets.

Durable is what survives a crash: encoded states, effects that are not done, messages, blobs,
results of computations, intents. Every step stores what it changed, and goes on with what is
stored.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast, get_args

from simulator.entropy import stream
from simulator.executor import Executor
from simulator.stored import Stored
from simulator.tricks import Tricks
from simulator.watch import Watch

from protocol import params
from protocol.arith.numbers.fixedpoint import Integers
from protocol.books.enrolment import job_id
from protocol.errors import Malformed, StateError
from protocol.machines import inputs
from protocol.machines.effects import Effect, Fetch, Notify
from protocol.machines.machine import JobContext, kind_of
from protocol.machines.round import Role
from protocol.owner import machine as owner
from protocol.owner.state import OwnerState
from protocol.requester import machine as requester
from protocol.requester.state import RequesterState
from protocol.spec.job import JobSpec, decode_spec, spec_digest
from protocol.wire import gossip
from protocol.wire.blobs import blob_digest
from protocol.wire.codec import decode, decode_tagged, encode, encode_tagged
from protocol.wire.envelope import Context, Envelope, Frame, envelope_digest, open_envelope, seal
from protocol.wire.messages import Announce, Ask, Body, Contribution, Release, Told
from protocol.wire.parts import head
from protocol.wire.topics import JOBS_TOPIC
from protocol.wire.verdict import Verdict

if TYPE_CHECKING:
    from simulator.world import World

#: What an Ask is answered with, in an order in which each can still be taken.
TOLD = ("Committed", "Result", "Open", "Freeze", "Finished")

TICK_MS = 500

_EFFECTS = get_args(Effect)
_INPUTS = get_args(inputs.Input)
_MAX = 1 << 24

State = RequesterState | OwnerState


class Node:
    """One daemon. `up` is False between a crash and the restart; `epoch` tells lives apart."""

    def __init__(self, world: World, name: str, peer_key: Any, account_key: Any) -> None:
        self.world, self.name = world, name
        self.peer_key, self.account_key = peer_key, account_key
        from protocol.wire.identity import peer_id

        self.peer = peer_id(peer_key.public_key().public_bytes_raw())
        self.account: bytes = account_key.public_key.to_canonical_address()
        self.payout = hashlib.sha256(b"payout" + self.account).digest()[:20]
        self.up, self.epoch = True, 0
        # durable
        self.jobs: dict[bytes, Stored] = {}
        self.messages: dict[bytes, Envelope] = {}
        self.latest: dict[tuple[bytes, str, bytes], Envelope] = {}
        self.blobs: dict[bytes, bytes] = {}
        self.results: dict[bytes, bytes] = {}
        self._next_effect = 0
        self._drawn = 0
        self._fetching: dict[bytes, list[tuple[bytes, int]]] = {}
        # durable, and in no backup: sealing keys and the secrets of attempts
        self.vault: dict[str, bytes] = {}
        #: Which kind of share of whom has left: (job, round, member) to (attempt, kind).
        self.given: dict[tuple[bytes, int, int], tuple[int, str]] = {}
        self.releases: dict[tuple[bytes, int, int], Release] = {}
        #: Noisy draws by (job, round, model), and each of them once more as it was paid for.
        self.gradients: dict[tuple[bytes, int, bytes], bytes] = {}
        self.charged: list[tuple[bytes, int, bytes]] = []
        #: Every attempt's secrets that were ever drawn: for tests to hand to a spy.
        self.made: list[bytes] = []
        #: What went into contributions, by (round, attempt): for tests to compare with.
        self.integers: dict[tuple[int, int], Integers] = {}
        self.tricks = Tricks()
        # of one life
        self.contexts: dict[bytes, JobContext] = {}
        self._states: dict[bytes, State] = {}
        self._topics: tuple[str, ...] | None = None
        self.executor = Executor(self)
        #: Called after every step with (node, state): tests crash nodes here.
        self.hooks: list[Callable[[Node, State], None]] = []
        self.notices: list[Notify] = []
        self.blamed: list[tuple[bytes, str]] = []
        self.watch = Watch(self)
        self._tick_soon()

    # --- life -------------------------------------------------------------------------------

    def crash(self) -> None:
        """Lose everything that is not on disk."""
        self.world.note(self.name, "crashes")
        self.up, self.epoch = False, self.epoch + 1
        self.contexts.clear()
        self._states.clear()
        self._fetching.clear()
        self._topics = None

    def restart(self) -> None:
        """Load the machines, do again what was not done, look at the chain."""
        self.world.note(self.name, "restarts")
        self.up, self.epoch = True, self.epoch + 1
        for job, stored in self.jobs.items():
            self._load_context(job, stored)
        for job, stored in self.jobs.items():
            for id_, data in sorted(stored.effects.items()):
                self._start(job, id_, data)
        self.watch.chain_grew()
        self._tick_soon()

    def _tick_soon(self) -> None:
        epoch = self.epoch

        def tick() -> None:
            if self.up and self.epoch == epoch:
                for job in list(self.jobs):
                    self.feed(job, inputs.Tick(self.now))
                self._tick_soon()

        self.world.clock.after(TICK_MS, tick)

    @property
    def now(self) -> int:
        return self.world.clock.now

    def entropy(self, purpose: str) -> Callable[[int], bytes]:
        """A stream of its own for every draw, also across restarts."""
        self._drawn += 1
        return stream(f"{self.world.settings.seed} {self.name} {purpose} {self._drawn}")

    # --- machines ---------------------------------------------------------------------------

    def state(self, job: bytes) -> State:
        if job not in self._states:
            stored = self.jobs[job]
            cls: type[Any] = RequesterState if stored.role is Role.REQUESTER else OwnerState
            self._states[job] = cast(State, stored.read(cls))
        return self._states[job]

    def take_job(self, role: Role, content: bytes) -> bytes:
        """Begin to follow a job; its history on the chain comes first."""
        spec = decode_spec(content)
        job = self._job_of(spec, content)
        if job in self.jobs:
            return job
        first: State = RequesterState() if role is Role.REQUESTER else OwnerState()
        self.jobs[job] = Stored(role, content, head(first))
        self.blobs[spec_digest(content)] = content
        self._load_context(job, self.jobs[job])
        self._topics = None
        self.watch.catch_up(job)
        return job

    def _job_of(self, spec: JobSpec, content: bytes) -> bytes:
        return job_id(self.world.domain, spec.requester.account, spec_digest(content))

    def _load_context(self, job: bytes, stored: Stored) -> None:
        spec = decode_spec(stored.spec)
        digest = spec_digest(stored.spec)
        context = JobContext(job, spec, len(stored.spec), digest, self.peer, self.account)
        self.contexts[job] = context
        state = self.state(job)
        held = state.cohort_digest
        if isinstance(state, RequesterState):
            held = state.next_cohort_digest
        elif not state.cohort_roots:
            held = state.held_cohort
        if held:
            self.learn_cohort(job, self.blobs[held])

    def learn_cohort(self, job: bytes, data: bytes) -> None:
        context = self.contexts[job]
        cohort = self.world.cohort(context.spec, job, data)
        self.contexts[job] = dataclasses.replace(context, cohort=cohort)

    def feed(self, job: bytes, input_: inputs.Input, completes: int | None = None) -> None:
        """One step, what it changed stored, then its effects."""
        stored = self.jobs[job]
        if not (self.world.settings.lean or isinstance(input_, inputs.Tick | inputs.ChainHead)):
            input_ = cast(inputs.Input, decode_tagged(_INPUTS, encode_tagged(input_), _MAX))
        before, context = self.state(job), self.contexts[job]
        if completes is not None:
            stored.effects.pop(completes, None)
        kind = _name(input_)
        try:
            if isinstance(before, RequesterState):
                after: State
                after, effects = requester.step(context, before, input_)
            else:
                after, effects = owner.step(context, before, input_)
        except StateError as error:
            if not isinstance(input_, inputs.Tick | inputs.ChainHead):
                self.world.note(self.name, f"{kind} refused: {error}")
            return
        if after == before and not effects:
            return
        if isinstance(input_, inputs.ReceiveMessage):
            self.keep(input_.envelope)
        self._states[job], mark = after, ""
        if not self.world.settings.lean:
            # What goes on is what the disk holds, not what the step returned.
            stored.keep(before, after)
            self._states[job] = cast(State, stored.read(type(after)))
            assert self._states[job] == after
            mark = hashlib.sha256(encode(after)).hexdigest()[:12]
        self.world.note(self.name, f"{kind} -> {mark} {' '.join(map(_name, effects))}")
        self._topics = None
        begun = []
        for effect in effects:
            if isinstance(effect, Notify):
                self.notices.append(effect)
                self.world.note(self.name, f"  {effect.kind}: {effect.text}")
                continue
            self._next_effect += 1
            stored.effects[self._next_effect] = encode_tagged(effect)
            begun.append(self._next_effect)
        for id_ in begun:
            self._start(job, id_, stored.effects[id_])
        for hook in list(self.hooks):
            hook(self, after)

    def _start(self, job: bytes, id_: int, data: bytes) -> None:
        """Carry out an effect a moment later; a crash may come in between."""
        effect, epoch = cast(Effect, decode_tagged(_EFFECTS, data, _MAX)), self.epoch

        def go() -> None:
            if self.up and self.epoch == epoch:
                self.executor.perform(job, id_, effect)

        self.world.clock.after(1, go)

    def done(self, job: bytes, id_: int) -> None:
        """An effect without an outcome is done."""
        self.jobs[job].effects.pop(id_, None)

    def later(self, delay: float, call: Callable[[], None]) -> None:
        """In this life only."""
        epoch = self.epoch
        self.world.clock.after(delay, lambda: call() if self.up and self.epoch == epoch else None)

    # --- messages ---------------------------------------------------------------------------

    def place(self, job: bytes, round_: int = 0, attempt: int = 0) -> Context:
        domain = self.world.domain
        return Context(domain.chain_id, domain.contract, job, round_, attempt)

    def sealed(self, job: bytes, round_: int, attempt: int, body: Body) -> Envelope:
        return seal(self.place(job, round_, attempt), self.peer, body, self.peer_key.sign)

    def keep(self, envelope: Envelope) -> None:
        self.messages[envelope_digest(envelope)] = envelope
        key = envelope.context.job, kind_of(envelope.body), envelope.sender
        self.latest[key] = envelope

    def frame(self, envelope: Envelope, attachment: bytes) -> bytes:
        content = self.blobs[attachment] if attachment else b""
        if len(content) > params.MAX_INLINE_BATCH_BYTES:
            content = b""
        return encode(Frame(encode(envelope), content))

    def topics(self) -> tuple[str, ...]:
        if not self.up:
            return ()
        if self._topics is None:
            wanted = [JOBS_TOPIC]
            for job in self.jobs:
                state, context = self.state(job), self.contexts[job]
                if isinstance(state, RequesterState):
                    wanted += requester.topics(context, state)
                else:
                    wanted += owner.topics(context, state)
            self._topics = tuple(wanted)
        return self._topics

    def hear(self, topic: str, data: bytes) -> None:
        """Gossip, judged as a node judges it; what was seen before is judged again, so that the
        machines meet it twice."""
        if not self.up:
            return
        domain = self.world.domain
        here = gossip.Place(domain.chain_id, domain.contract)
        judged = gossip.judge(topic, data, here, self._view, gossip.Seen())
        if judged.verdict is Verdict.REJECT:
            self.world.rejected.append((self.name, judged.reason))
        if judged.verdict is Verdict.ACCEPT and judged.envelope is not None:
            self._accept(judged.envelope, judged.attachment)

    def _view(self, job: bytes) -> gossip.JobView | None:
        context = self.contexts.get(job)
        if context is None:
            return None
        cohort = context.cohort
        members = None if cohort is None else frozenset(m.peer for m in cohort.members)
        return gossip.JobView(context.requester, members)

    def answer(self, peer: bytes, data: bytes) -> bytes | None:
        """A private message and its reply, which is empty where receiving it is all there is to
        say; None where the connection would break."""
        try:
            frame = decode(Frame, data, params.MAX_STREAM_MESSAGE_BYTES)
            envelope = open_envelope(frame.envelope)
        except Malformed as error:
            self.world.rejected.append((self.name, str(error)))
            return None
        job, domain = envelope.context.job, self.world.domain
        here = (envelope.context.chain_id, envelope.context.contract)
        if envelope.sender != peer or here != (domain.chain_id, domain.contract):
            self.world.rejected.append((self.name, "not its bearer's, or of another chain"))
            return None
        if isinstance(envelope.body, Ask):
            found = self._told(job, envelope.body.held)
            told = self.sealed(job, 0, 0, Told(tuple(found)))
            return encode(Frame(encode(told), b"")) if found else b""
        if job in self.jobs:
            self._accept(envelope, frame.attachment)
        return b"" if self.up else None

    def _told(self, job: bytes, held: tuple[bytes, ...]) -> list[bytes]:
        if job not in self.contexts:
            return []
        sender = self.contexts[job].requester
        kinds = [kind for kind in TOLD if not (held and kind == "Announce")]
        found = (self.latest.get((job, kind, sender)) for kind in kinds)
        return [
            encode(Frame(encode(each), b""))
            for each in found
            if each is not None and envelope_digest(each)[: params.HELD_BYTES] not in held
        ]

    def answered(self, job: bytes, data: bytes) -> None:
        """The reply to a private message of ours."""
        if not data:
            return
        envelope = open_envelope(decode(Frame, data, params.MAX_STREAM_MESSAGE_BYTES).envelope)
        if isinstance(envelope.body, Told):
            for each in envelope.body.frames:
                told = decode(Frame, each, params.MAX_STREAM_MESSAGE_BYTES)
                self._accept(open_envelope(told.envelope), told.attachment)

    def _accept(self, envelope: Envelope, attachment: bytes) -> None:
        job, body = envelope.context.job, envelope.body
        if attachment:
            named = body.spec_digest if isinstance(body, Announce) else b""
            named = body.batch_digest if isinstance(body, Contribution) else named
            if blob_digest(attachment) != named:
                self.world.rejected.append((self.name, "its attachment is not what it names"))
                return
            self.blobs[named] = attachment
        if isinstance(body, Announce):
            if job not in self.jobs and attachment and self.world.owns_data(self):
                self.take_job(Role.OWNER, attachment)
        elif job in self.jobs:
            attached, digest = bool(attachment), envelope_digest(envelope)
            self.feed(job, inputs.ReceiveMessage(self.now, envelope, digest, attached))

    # --- blobs ------------------------------------------------------------------------------

    def fetch(self, job: bytes, id_: int, effect: Fetch) -> None:
        waiting = self._fetching.setdefault(effect.digest, [])
        waiting.append((job, id_))
        if len(waiting) == 1:
            self.world.network.fetch(self, effect)

    def fetched(self, digest: bytes, here: bool) -> None:
        for job, id_ in self._fetching.pop(digest, []):
            if here:
                self.feed(job, inputs.BlobArrived(self.now, digest), id_)
            else:
                self.feed(job, inputs.BlobMissing(self.now, digest, "nobody had it in time"), id_)


def _name(value: object) -> str:
    if isinstance(value, inputs.ReceiveMessage):
        return f"Receive{kind_of(value.envelope.body)}"
    body = getattr(value, "body", None)
    return type(value).__name__ + (f"({kind_of(body)})" if body is not None else "")
