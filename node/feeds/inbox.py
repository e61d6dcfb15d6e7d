"""What comes in: gossip and private messages, judged, stored, and given to the job's machine.

Every byte here is hostile. A frame that does not hold is dropped and counted against the peer that
brought it; nothing a peer sends ends anything.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Mapping

import trio

from node.cards.shelf import Shelf
from node.engine.engine import Machine
from node.engine.services import Services
from node.feeds.announcements import Announcements, Introduce
from node.net.guard import Buckets
from node.net.swarm import Judge
from node.perform.messages import PROTOCOL, sealed
from node.store import jobs, records
from node.store.blobs import BlobsFull
from node.store.store import Transaction
from protocol import params
from protocol.errors import InputError, Malformed, PeerError
from protocol.machines import inputs
from protocol.machines.job import OVER
from protocol.machines.machine import kind_of
from protocol.machines.round import Role
from protocol.requester.attempt import awaits
from protocol.requester.state import RequesterState
from protocol.wire import gossip, identity
from protocol.wire.blobs import blob_digest
from protocol.wire.codec import decode, encode
from protocol.wire.envelope import (
    NO_JOB,
    Envelope,
    Frame,
    envelope_digest,
    open_envelope,
    reopen_envelope,
)
from protocol.wire.gossip import JobView, Judged, Place, Seen
from protocol.wire.messages import (
    OF_CARDS,
    Announce,
    Ask,
    AskCards,
    Body,
    Committed,
    Contribution,
    RefusalCode,
    Refuse,
    Told,
)
from protocol.wire.topics import CARDS_TOPIC, JOBS_TOPIC
from protocol.wire.verdict import Verdict

log = logging.getLogger("assay.inbox")

#: Judged messages between the judge and the reader of their topic.
_JUDGED = 256

#: How often this node looks whom to ask for jobs, seconds. A new peer is asked at that look, where
#: fewer than so many were asked within so many seconds. Any of them is asked again, sooner while no
#: job is followed here: gossip may not come through, and an answer may be worth a whole job.
_LOOK_SECONDS = 2.0
_ASKED_AT_ONCE, _ASK_SECONDS = 4, 20.0
_ASK_AGAIN_SECONDS, _ASK_AGAIN_IDLE_SECONDS = 300.0, 60.0

#: Private messages of one peer to machines, a second (four times that at once). Each is answered,
#: and stored before that; an honest peer sends a few a round.
_TELLS_PER_SECOND = 4.0

#: The kinds that an Ask is answered with, in the order in which they matter.
#: The commitment of a round comes before the opening of the next: an owner that was away verifies
#: the one before it follows the other.
_TOLD = (
    "Announce",
    "Decided",
    "Committed",
    "Result",
    "Open",
    "Freeze",
    "Dealt",
    "Finished",
)

#: The reply that says: received and stored. The stream is authenticated and its status says OK, so
#: that there is nothing left to sign: an owner says three things in private a round, and a
#: requester answers every owner.
ACKNOWLEDGED = b""


class Inbox:
    """Follows the topics that the machines need, and answers private messages."""

    def __init__(self, services: Services, introduce: Introduce) -> None:
        self._services = services
        self._announcements = Announcements(services, introduce)
        self.shelf = Shelf(services)
        self._seen = Seen()
        self._judged: OrderedDict[bytes, Judged] = OrderedDict()
        self._followed: set[str] = set()
        self._changed = trio.Event()
        self._tells = Buckets(_TELLS_PER_SECOND, 4 * _TELLS_PER_SECOND)
        self._nursery: trio.Nursery | None = None

    # --- gossip -----------------------------------------------------------------------------

    def machines_changed(self) -> None:
        """Look again which topics are needed."""
        self._changed.set()

    async def run(self) -> None:
        """Follow topics as machines come and go, and ask what was missed; until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await self.shelf.open()
            nursery.start_soon(self._ask_around)
            nursery.start_soon(self.shelf.run)
            while True:
                self._changed = trio.Event()
                needed = {JOBS_TOPIC, CARDS_TOPIC}
                for machine in self._services.engine.machines.values():
                    needed.update(machine.topics())
                for topic in sorted(self._followed - needed):
                    self._followed.discard(topic)
                    await self._services.swarm.unsubscribe(topic)
                for topic in sorted(needed - self._followed):
                    self._followed.add(topic)
                    try:
                        swarm = self._services.swarm
                        channel = await swarm.subscribe(topic, self.judge_for(topic))
                    except InputError as error:
                        # Too many jobs at once: this one is followed by asking, not by gossip.
                        log.warning("topic %s is not followed: %s", topic, error)
                        continue
                    nursery.start_soon(self._read, channel)
                await self._changed.wait()

    def relay_judge(self, topic: str) -> Judge | None:
        """A judge for topics of others, where this node has no part in any job: it relays."""
        machines = self._services.engine.machines.values()
        if any(m.role is Role.REQUESTER or m.topics()[1:] for m in machines):
            return None
        return self.judge_for(topic)

    def judge_for(self, topic: str) -> Judge:
        """The judge of one topic, as the swarm calls it."""

        def judge(data: bytes, source: str) -> Verdict:
            found = gossip.judge(
                topic, data, self._place(), self._view, self._seen, self.shelf.refusal
            )
            if found.verdict is Verdict.ACCEPT:
                self._judged[blob_digest(data)] = found
                while len(self._judged) > _JUDGED:
                    self._judged.popitem(last=False)
            elif found.verdict is Verdict.REJECT:
                log.info("gossip of %s on %s is refused: %s", source, topic, found.reason)
            return found.verdict

        return judge

    def _place(self) -> Place:
        domain = self._services.domain
        return Place(domain.chain_id, domain.contract)

    def _view(self, job: bytes) -> JobView | None:
        machine = self._services.engine.machines.get(job)
        if machine is None:
            return None
        cohort = machine.context.cohort
        members = None if cohort is None else cohort.peers
        return JobView(machine.context.requester, members)

    async def _read(self, channel: trio.MemoryReceiveChannel[tuple[bytes, str]]) -> None:
        async with channel:
            async for data, author in channel:
                judged = self._judged.pop(blob_digest(data), None)
                if judged is None or judged.envelope is None:
                    continue  # it was judged so long ago that it was forgotten: gossip is lossy
                if isinstance(judged.envelope.body, OF_CARDS):
                    # Here alone: what is told or said in private is held to other limits.
                    await self.shelf.take([judged.envelope])
                    continue
                try:
                    source = identity.parse_peer_id(author)
                    await self._accept(judged.envelope, judged.attachment, len(data), source)
                except (PeerError, BlobsFull) as error:
                    log.info("gossip of %s is dropped: %s", author, error)

    async def _ask_around(self) -> None:
        """Ask one peer after the other for jobs that were announced while this node was away.

        Each peer is asked as soon as it is there, and then, as what is new is announced, one of
        them rarely.
        """
        asked: dict[str, float] = {}
        while True:
            await trio.sleep(_LOOK_SECONDS)
            there = set(self._services.swarm.connected())
            asked = {peer: at for peer, at in asked.items() if peer in there}
            machines = self._services.engine.machines.values()
            idle = all(each.state.phase in OVER for each in machines)
            peer = next_asked(there, asked, trio.current_time(), idle)
            if peer is None:
                continue
            asked[peer] = trio.current_time()
            try:
                await self._ask(peer)
            except PeerError as error:
                log.debug("peer %s was asked in vain: %s", peer, error)

    async def _ask(self, peer: str) -> None:
        question = encode(sealed(self._services, NO_JOB, 0, 0, Ask()))
        data = await self._services.swarm.request(peer, PROTOCOL, encode(Frame(question, b"")), 10)
        if not data:
            return  # nothing to tell
        frame = decode(Frame, data, params.MAX_STREAM_MESSAGE_BYTES)
        body = open_envelope(frame.envelope).body
        if isinstance(body, Told):
            for told in body.frames:
                await self.take(told, identity.parse_peer_id(peer))

    # --- private messages -------------------------------------------------------------------

    async def answer(self, peer: str, data: bytes) -> bytes:
        """A private message and its reply. Raises PeerError for what no honest peer sends."""
        frame = decode(Frame, data, params.MAX_STREAM_MESSAGE_BYTES)
        envelope = open_envelope(frame.envelope)
        if identity.peer_id_text(envelope.sender) != peer:
            raise Malformed("a private message that its bearer did not sign")
        context = envelope.context
        if (context.chain_id, context.contract) != (self._place().chain_id, self._place().contract):
            return self._reply(context.job, _refusal("this node is on another chain or contract"))
        if isinstance(envelope.body, Ask):
            held = frozenset(envelope.body.held)
            told = await self._told(context.job, envelope.sender, held)
            return self._reply(context.job, told) if told.frames else ACKNOWLEDGED
        if isinstance(envelope.body, AskCards):
            return await self.shelf.answer(peer, envelope.body.mark)
        if context.job not in self._services.engine.machines:
            return self._reply(context.job, _refusal("this node does not know the job"))
        _check_attachment(envelope, frame.attachment)
        if not self._tells.allows(peer, trio.current_time()):
            raise PeerError("too many messages: say it again in a second")
        await self._accept(envelope, frame.attachment, len(data), envelope.sender)
        return ACKNOWLEDGED

    def _reply(self, job: bytes, body: Body) -> bytes:
        return encode(Frame(encode(sealed(self._services, job, 0, 0, body)), b""))

    async def _told(self, job: bytes, asker: bytes, held: frozenset[bytes]) -> Told:
        """The newest of what a job's requester said and the asker does not hold; for job zero,
        announcements.

        A member that owes shares is also told of the commitment for which it owes them, because it
        may have been away while later ones were made.
        """
        machines = self._services.engine.machines
        asked = [machines[job]] if job in machines else []
        kinds: tuple[str, ...] = _TOLD
        if held:
            kinds = tuple(
                kind for kind in _TOLD if kind != "Announce"
            )  # it follows the job already
        if job == NO_JOB:
            live = [m for m in machines.values() if m.state.phase not in OVER]
            asked, kinds = live[-params.MAX_TOLD_FRAMES :], ("Announce",)

        def load(tx: Transaction) -> list[bytes]:
            found = (
                jobs.latest_message(tx, m.key, kind, m.context.requester)
                for m in asked
                for kind in kinds
            )
            owed = (_owed_commitment(tx, m, asker) for m in asked if m.key == job)
            return [each for each in (*owed, *found) if each is not None]

        messages = await self._services.store.read(load)
        frames = [
            encode(Frame(message, b""))
            for message in dict.fromkeys(messages)
            if hashlib.sha256(message).digest()[: params.HELD_BYTES] not in held
        ]
        return Told(tuple(frames[: params.MAX_TOLD_FRAMES]))

    # --- both -------------------------------------------------------------------------------

    async def take(self, data: bytes, source: bytes) -> None:
        """A frame that a peer handed on; whoever signed it said it."""
        try:
            frame = decode(Frame, data, params.MAX_STREAM_MESSAGE_BYTES)
            envelope = open_envelope(frame.envelope)
            context, place = envelope.context, self._place()
            if (context.chain_id, context.contract) != (place.chain_id, place.contract):
                raise Malformed("of another chain or contract")
            _check_attachment(envelope, frame.attachment)
            await self._accept(envelope, frame.attachment, len(data), source)
        except (PeerError, BlobsFull) as error:
            log.info("what %s told is dropped: %s", identity.peer_id_text(source), error)

    async def _accept(
        self, envelope: Envelope, attachment: bytes, size: int, source: bytes
    ) -> None:
        job, body = envelope.context.job, envelope.body
        machine = self._services.engine.machines.get(job)
        if isinstance(body, Announce):
            if machine is None and self._nursery is not None:
                self._announcements.heard(self._nursery, envelope, body, attachment, source)
            return
        if machine is None:
            return
        attached = bool(attachment) and _awaits(machine, envelope, len(attachment))
        if attached:
            await trio.to_thread.run_sync(self._services.blobs.put, attachment)
        digest = envelope_digest(envelope)
        input_ = inputs.ReceiveMessage(self._services.clock.ms(), envelope, digest, attached)
        kind = kind_of(body)
        await self._services.engine.feed(
            job, input_, also=lambda tx: records.count_bytes(tx, job, "in", kind, size)
        )


def next_asked(
    there: set[str], asked: Mapping[str, float], now: float, idle: bool = False
) -> str | None:
    """Whom to ask for jobs, of the peers that are there: one that never was, else, once in a while,
    the one that was asked longest ago. `asked` has the moments, in seconds; `idle`: no job is
    followed here. None: nobody now.
    """
    if new := there - asked.keys():
        lately = sum(now - at < _ASK_SECONDS for at in asked.values())
        return min(new) if lately < _ASKED_AT_ONCE else None
    again = _ASK_AGAIN_IDLE_SECONDS if idle else _ASK_AGAIN_SECONDS
    if not asked or now - max(asked.values()) < again:
        return None
    return min(asked, key=asked.__getitem__)


def _owed_commitment(tx: Transaction, machine: Machine, asker: bytes) -> bytes | None:
    """This requester's message about the commitment for which `asker` owes shares; None if there is
    none."""
    state, cohort = machine.state, machine.context.cohort
    if not isinstance(state, RequesterState) or cohort is None:
        return None
    member = cohort.index_of(asker)
    owed = None if member is None else state.owed.at(member)
    if owed is None:
        return None
    said = records.messages_of(tx, machine.key, Committed.__name__)
    for message in reversed(said):  # of one that was signed twice, the later
        place = reopen_envelope(message.body).context
        if (place.round, place.attempt) == (owed.round, owed.attempt):
            return message.body
    return None


def _awaits(machine: Machine, envelope: Envelope, size: int) -> bool:
    """Whether an attached batch is one that this node's round waits for, of the size it names.

    Nobody may fill a disk by signing headers: only a member's first batch of the present attempt is
    kept, and only if it will be summed.
    """
    state, body = machine.state, envelope.body
    if not isinstance(body, Contribution) or not isinstance(state, RequesterState):
        return False
    return size == body.batch_size and awaits(machine.context, state, envelope)


def _check_attachment(envelope: Envelope, attachment: bytes) -> None:
    """Raise Malformed unless an attachment is the blob that the body names."""
    if not attachment:
        return
    body = envelope.body
    named = body.batch_digest if isinstance(body, Contribution) else None
    if isinstance(body, Announce):
        named = body.spec_digest
    if blob_digest(attachment) != named:
        raise Malformed("an attachment that is not what its message names")


def _refusal(reason: str) -> Refuse:
    return Refuse(RefusalCode.UNKNOWN, reason)
