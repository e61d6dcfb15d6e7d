"""The engine: feeds inputs to machines, stores what they decide, has their effects carried out.

Store, then say: a step's state and effects are one transaction, and no effect is carried out before
it is on disk. Inputs that wait while a transaction runs share the next one, so that the number of
disk syncs does not grow with the load. After a crash every effect that was not done is carried out
again.

A machine that breaks stops alone: its state stays as it was, its job says why, all others go on.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, cast, get_args

import trio

from node.store import outbox, records
from node.store.blobs import BlobsFull
from node.store.room import is_full
from node.store.store import Store, Transaction
from node.workers.compute import WorkerDied
from protocol import params
from protocol.addresses import to_checksum
from protocol.errors import FatalError, StateError
from protocol.machines import inputs
from protocol.machines.effects import ComputeUnmask, Effect, Notify
from protocol.machines.job import JobPhase
from protocol.machines.machine import JobContext, one_line
from protocol.machines.round import Role
from protocol.owner import machine as owner
from protocol.owner.state import OwnerState
from protocol.requester import machine as requester
from protocol.requester.state import RequesterState
from protocol.wire.codec import Wire, decode_tagged, encode_tagged
from protocol.wire.parts import Part, changes, head, join

log = logging.getLogger("assay.engine")

#: How often an effect that found no room on the disk is tried again.
_ROOM_SECONDS: Final = 1.0

#: After how long an effect is carried out again whose worker was killed three times in a row; each
#: time after twice as long, up to the second figure.
_DIED_SECONDS: Final = 5.0
_LONGEST_SECONDS: Final = 300.0

#: Inputs that may wait; a feeder of more is held back.
_QUEUE: Final = 1024

#: Inputs that share one transaction.
_BATCH: Final = 64

#: Phases in which an owner awaits nothing. Evidence of closed and cancelled jobs is still fetched.
ENDED: Final = (JobPhase.DECLINED, JobPhase.FAILED)

#: The head of a stored state: all of it but the entries of its tables.
_MAX_HEAD_BYTES: Final = 1024 * 1024

State = RequesterState | OwnerState
_EFFECTS: Final[tuple[type[Wire], ...]] = get_args(Effect)


@dataclass
class Machine:
    """A job's machine in memory. `broken` says why it was stopped; empty while it runs."""

    role: Role
    context: JobContext
    state: State
    seq: int = 0
    broken: str = ""
    #: The state that is on disk, None before the first step: what is stored is what changed.
    kept: State | None = None

    @property
    def key(self) -> bytes:
        return self.context.job

    def blocks(self, round_: int) -> tuple[int, ...]:
        """Each member's block in a round, by index."""
        return self.context.blocks(self.state.seeds, round_)

    def topics(self) -> tuple[str, ...]:
        """The topics that the job needs now; none once its machine broke."""
        if self.broken:
            return ()
        try:
            if isinstance(self.state, RequesterState):
                return requester.topics(self.context, self.state)
            return owner.topics(self.context, self.state)
        except FatalError as error:
            log.exception("job %s stops: its topics are not known", self.key.hex()[:16])
            self.broken = one_line(str(error))
            return ()


@dataclass(frozen=True)
class Wanted:
    """A stored effect to be carried out."""

    id: int
    machine: Machine
    effect: Effect

    @property
    def pointless(self) -> bool:
        """Whether nothing can come of the job any more, so that there is no use in sending or
        fetching."""
        return isinstance(self.machine.state, OwnerState) and self.machine.state.phase in ENDED


@dataclass
class _Turn:
    """What is to be done in one transaction: inputs, a finished effect, something else to store."""

    inputs: tuple[tuple[bytes, inputs.Input], ...]
    completes: int | None
    also: Callable[[Transaction], None] | None
    stored: trio.Event = field(default_factory=trio.Event)


class Engine:
    """All machines of a node. `perform` carries one effect out; `observe` hears what changed."""

    def __init__(
        self,
        store: Store,
        perform: Callable[[Wanted], Awaitable[None]],
        observe: Callable[[Machine, Sequence[records.Event]], None],
    ) -> None:
        self._store = store
        self._perform = perform
        self.observe = observe
        self._send, self._receive = trio.open_memory_channel[_Turn](_QUEUE)
        self._nursery: trio.Nursery | None = None
        self.machines: dict[bytes, Machine] = {}
        self.late = 0

    # --- for callers ------------------------------------------------------------------------

    async def feed(
        self,
        job: bytes,
        input_: inputs.Input,
        completes: int | None = None,
        also: Callable[[Transaction], None] | None = None,
    ) -> None:
        """Give one machine one input; returns when its outcome is on disk.

        `completes` is the stored effect that this is the outcome of. An unknown job is ignored.
        """
        await self.feed_all(((job, input_),), completes, also)

    async def feed_all(
        self,
        given: Iterable[tuple[bytes, inputs.Input]],
        completes: int | None = None,
        also: Callable[[Transaction], None] | None = None,
    ) -> None:
        """Several inputs, and `also` in the same transaction."""
        turn = _Turn(tuple(given), completes, also)
        await self._send.send(turn)
        await turn.stored.wait()

    async def complete(self, effect_id: int) -> None:
        """An effect is done and has no outcome that a machine waits for."""
        await self.feed_all((), effect_id)

    def add(self, machine: Machine) -> None:
        """Take a machine in; `restore` does so for stored ones."""
        self.machines[machine.key] = machine

    async def restore(self, contexts: Sequence[tuple[Role, JobContext]]) -> None:
        """Load the machines of these jobs as they were stored."""
        for role, context in contexts:
            stored, parts = await self._store.read(partial(_load, role.value, context.job))
            cls: type[Any] = RequesterState if role is Role.REQUESTER else OwnerState
            if stored is None:
                self.add(Machine(role, context, cls()))
            else:
                state = join(cls, stored.state, parts, _MAX_HEAD_BYTES)
                self.add(Machine(role, context, state, stored.seq, kept=state))

    async def drain(self) -> None:
        """Wait until everything that was fed so far is on disk."""
        await self.feed_all(())

    # --- the loop ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Carry on until cancelled: first what a crash left undone, then what comes."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await self._resume()
            while True:
                turns = [await self._receive.receive()]
                while len(turns) < _BATCH:
                    try:
                        turns.append(self._receive.receive_nowait())
                    except trio.WouldBlock:
                        break
                await self._take(turns)

    async def _resume(self) -> None:
        after = 0
        while pending := await self._store.read(partial(outbox.pending, after=after)):
            for each in pending:
                after = each.id
                machine = self.machines.get(each.key)
                if machine is None:
                    log.warning("an effect of a job that is not known here any more: %d", each.id)
                    continue
                self._start(Wanted(each.id, machine, _decode_effect(each.effect)))

    async def _take(self, turns: list[_Turn]) -> None:
        """Step every input, store all outcomes at once, then have the effects carried out."""
        changed: dict[bytes, tuple[Machine, list[Effect]]] = {}
        messages: list[records.StoredMessage] = []
        for turn in turns:
            for job, input_ in turn.inputs:
                machine = self.machines.get(job)
                if machine is None or machine.broken:
                    continue
                before = machine.state
                effects = self._step(machine, input_)
                if effects is None:
                    continue
                changed.setdefault(job, (machine, []))[1].extend(effects)
                if isinstance(input_, inputs.ReceiveMessage) and (
                    machine.state != before or _needed(input_.digest, effects)
                ):
                    messages.append(records.stored(input_.envelope))

        seqs: dict[bytes, int] = {}

        def write(tx: Transaction) -> tuple[list[Wanted], list[tuple[Machine, records.Event]]]:
            # On a full disk this runs again: what is counted counts once it is stored.
            wanted: list[Wanted] = []
            events: list[tuple[Machine, records.Event]] = []
            for message in messages:
                records.save_message(tx, message)
            for machine, effects in changed.values():
                lasting = [e for e in effects if not isinstance(e, Notify)]
                stored = outbox.put(
                    tx,
                    machine.role.value,
                    machine.key,
                    machine.seq + 1,
                    [encode_tagged(e) for e in lasting],
                )
                wanted += [
                    Wanted(row.id, machine, e) for row, e in zip(stored, lasting, strict=True)
                ]
                seq = seqs[machine.key] = machine.seq + len(lasting)
                records.save_machine(
                    tx,
                    records.Machine(machine.role.value, machine.key, seq, head(machine.state)),
                    changes(machine.kept, machine.state),
                )
                events += [
                    (machine, add_notice(tx, machine.key, e))
                    for e in effects
                    if isinstance(e, Notify)
                ]
            for turn in turns:
                if turn.completes is not None:
                    outbox.complete(tx, turn.completes)
                if turn.also is not None:
                    turn.also(tx)
            return wanted, events

        needed = changed or any(t.completes is not None or t.also is not None for t in turns)
        wanted, events = await self._store.run(write) if needed else ([], [])
        for machine, _ in changed.values():
            machine.seq, machine.kept = seqs[machine.key], machine.state
        for turn in turns:
            turn.stored.set()
        for machine, _ in changed.values():
            self.observe(machine, [event for at, event in events if at is machine])
        for each in wanted:
            self._start(each)

    def _step(self, machine: Machine, input_: inputs.Input) -> tuple[Effect, ...] | None:
        """One step; None where nothing changed and nothing is to be done."""
        before, place = machine.state, _phase(machine.state)
        try:
            if isinstance(before, RequesterState):
                machine.state, effects = requester.step(machine.context, before, input_)
            else:
                machine.state, effects = owner.step(machine.context, before, input_)
        except StateError as error:
            # Late, early or twice: ordinary where messages are lost and repeated.
            self.late += 1
            log.debug("job %s: %s", machine.key.hex()[:16], error)
            return None
        except Exception as error:
            log.exception("job %s stops: its machine broke", machine.key.hex()[:16])
            machine.broken = one_line(f"{type(error).__name__}: {error}")
            return (Notify("broken", 0, 0, machine.broken),)
        if machine.state == before and not effects:
            return None
        effects = _with_account(before, input_, effects)
        after = _phase(machine.state)
        if after is not None and after != place:
            # Kept so that anybody can see later where a round's time went.
            effects = (*effects, Notify("phase", after[0], after[1], after[2]))
        return effects

    def _start(self, wanted: Wanted) -> None:
        if self._nursery is None:
            raise RuntimeError("the engine does not run")
        self._nursery.start_soon(self._guarded, wanted)

    async def _until_done(self, wanted: Wanted) -> None:
        """Again, as after a crash, where there is no room on the disk or a worker was killed."""
        told, pause = False, _DIED_SECONDS
        while True:
            try:
                await self._perform(wanted)
            except WorkerDied as error:
                name = type(wanted.effect).__name__
                text = one_line(f"{name} is tried again in {pause:.0f} s: {error}")
                await self._tell(wanted.machine, Notify("worker-died", 0, 0, text))
                await trio.sleep(pause)
                pause = min(2 * pause, _LONGEST_SECONDS)
                continue
            except (BlobsFull, OSError) as error:
                if isinstance(error, OSError) and not is_full(error):
                    raise
                if not told:
                    job, name = wanted.machine.key.hex()[:16], type(wanted.effect).__name__
                    log.error("job %s: %s waits for room: %s", job, name, error)
                told = True
            else:
                return
            await trio.sleep(_ROOM_SECONDS)

    async def _guarded(self, wanted: Wanted) -> None:
        """A performer that breaks stops its job, never the daemon. The effect stays pending."""
        try:
            await self._until_done(wanted)
        except Exception as error:
            machine = wanted.machine
            name = type(wanted.effect).__name__
            log.exception("job %s stops: %s failed", machine.key.hex()[:16], name)
            machine.broken = one_line(f"{name}: {error}")
            await self._tell(machine, Notify("broken", 0, 0, machine.broken))

    async def _tell(self, machine: Machine, notice: Notify) -> None:
        event = await self._store.run(lambda tx: add_notice(tx, machine.key, notice))
        self.observe(machine, [event])


def _with_account(
    state: State, input_: inputs.Input, effects: tuple[Effect, ...]
) -> tuple[Effect, ...]:
    """A refusal is told with the account of its sender, because machines know members by their
    peers."""
    if not isinstance(state, RequesterState) or not isinstance(input_, inputs.ReceiveMessage):
        return effects
    enrolled = state.enrolments.find("peer", input_.envelope.sender)
    account = "" if enrolled is None else to_checksum(enrolled.payout)
    return tuple(
        dataclasses.replace(each, text=one_line(f"{account}: {each.text}"))
        if isinstance(each, Notify) and each.kind == "refusal"
        else each
        for each in effects
    )


def _load(kind: str, job: bytes, tx: Transaction) -> tuple[records.Machine | None, list[Part]]:
    return records.load_machine(tx, kind, job), records.load_parts(tx, kind, job)


def _needed(message: bytes, effects: Sequence[Effect]) -> bool:
    """Whether an effect reads a message that changed nothing yet: shares that come late.

    A message that only got a refusal in answer is not kept, because a stranger could repeat it for
    ever.
    """
    return any(isinstance(e, ComputeUnmask) and message in e.releases for e in effects)


def _phase(state: State) -> tuple[int, int, str] | None:
    """Round, attempt and phase; None before the first round."""
    if state.round is None:
        return None
    return state.round.number, state.round.attempt, state.round.phase.value


def add_notice(tx: Transaction, job: bytes, notice: Notify) -> records.Event:
    """Keep what a machine tells its user."""
    facts: dict[str, Any] = {"round": notice.round, "attempt": notice.attempt, "text": notice.text}
    return records.add_event(tx, job, notice.kind, facts | dict(notice.facts))


def _decode_effect(data: bytes) -> Effect:
    return cast(Effect, decode_tagged(_EFFECTS, data, params.MAX_LIST_BYTES))
