"""A requester's own work on a job, all of it but arithmetic and the network's.

python -m simulator.storing 16 64: one JSON object a size, a line each. Run by scripts/bench.

The inbox, the engine, the store and the blobs on the disk, the machine, the lists and what signs
messages are the daemon's. Messages come in as signed frames, one after the other, from owners that
are all honest. Workers, the chain and peers answer at once, with outcomes that cost nothing to
make. Bytes that are sent are counted by the rules of simulator/meter.py.
"""

from __future__ import annotations

import dataclasses
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

import trio
from kits.books import REQUESTER, Job, digest_of, enrol, make_job
from kits.machine import ready_of
from simulator.meter import DEGREE

from node.engine.clock import Clock
from node.engine.engine import Engine, Machine, Wanted
from node.feeds.inbox import ACKNOWLEDGED, Inbox
from node.perform import lists, messages
from node.store import records
from node.store.blobs import BlobLost, BlobRef, Blobs
from node.store.store import Store
from protocol.books.enrolment import spec_domain
from protocol.layout.packing import model_bytes
from protocol.machines import effects, inputs
from protocol.machines.job import OVER
from protocol.machines.machine import JobContext
from protocol.machines.round import Phase, Role
from protocol.requester.state import RequesterRound, RequesterState
from protocol.spec.job import encode_spec
from protocol.wire.blobs import blob_digest
from protocol.wire.codec import encode
from protocol.wire.envelope import Frame
from protocol.wire.identity import peer_id_text
from protocol.wire.messages import Body, Contribution, Release

#: The time that everything is told. A deadline would end what a slow machine does.
START: Final = Clock().ms()

#: Owners in a block.
BLOCK: Final = 16

#: Rounds of the job: the second one also puts away the first one's tables.
ROUNDS: Final = 2

#: Messages between two ticks of the clock: a daemon that takes 500 a second ticks once a second.
_PER_TICK: Final = 500

#: Seconds after which effects lead nowhere. The largest job pays thousands of claims in one go.
_GIVEN_UP: Final = 300.0

#: Who says it, and the frame.
Said = tuple[bytes, bytes]


@dataclass
class Spent:
    """What was spent: seconds on the clock (the disk's included) and of the processor, bytes handed
    to the disk, commits, bytes sent. `phases` has the seconds by what they went into."""

    seconds: float = 0.0
    cpu: float = 0.0
    stored: int = 0
    commits: int = 0
    sent: int = 0
    phases: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def on(self, what: str, store: Store) -> Iterator[None]:
        """Count what happens meanwhile."""
        clock, cpu, stored, commits = _now(store)
        yield
        after = _now(store)
        self.seconds += after[0] - clock
        self.cpu += after[1] - cpu
        self.stored += after[2] - stored
        self.commits += after[3] - commits
        self.phases[what] = self.phases.get(what, 0.0) + after[0] - clock


def _now(store: Store) -> tuple[float, float, int, int]:
    return time.perf_counter(), time.process_time(), _written(), _commits(store)


def _written() -> int:
    """Bytes that this process has handed to the system so far: the log, the database, blobs."""
    with open("/proc/self/io") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("wchar:"))


def _commits(store: Store) -> int:
    return cast("Counted", store).commits


class Counted(Store):
    """A store that counts its commits: each waits once for the disk."""

    commits = 0

    async def run(self, function: Callable[..., Any]) -> Any:
        self.commits += 1
        return await super().run(function)


class Desk:
    """A requester's engine, with its performers played."""

    def __init__(self, job: Job, store: Store, blobs: Blobs) -> None:
        self.job, self.store = job, store
        self.engine = Engine(store, self._perform, self.observe)
        context = JobContext(
            job.id, job.spec, 1000, job.spec_digest, REQUESTER.peer, REQUESTER.account
        )
        self.machine = Machine(Role.REQUESTER, context, RequesterState())
        self.engine.add(self.machine)

        def blob(digest: bytes) -> BlobRef:
            size = blobs.size(digest)
            if size is None:
                raise BlobLost(digest, "the desk")
            return BlobRef(digest, size)

        async def publish(_: str, frame: bytes) -> None:
            self.sent += DEGREE * len(frame)

        async def request(*given: Any) -> bytes:
            self.sent += len(given[2])
            return ACKNOWLEDGED

        self._services = cast(
            Any,
            SimpleNamespace(
                store=store,
                blobs=blobs,
                engine=self.engine,
                clock=Clock(),
                blob=blob,
                domain=spec_domain(job.spec),
                place=lambda _, round_, attempt: job.place(round_, attempt),
                keys=SimpleNamespace(account=REQUESTER.account, sign_peer=REQUESTER._peer_key.sign),
                swarm=SimpleNamespace(
                    publish=publish, request=request, peer_id_bytes=REQUESTER.peer
                ),
            ),
        )
        self._inbox = Inbox(self._services, _introduce)
        self._heard = self.sent = 0

    @property
    def state(self) -> RequesterState:
        assert isinstance(self.machine.state, RequesterState)
        return self.machine.state

    @property
    def round(self) -> RequesterRound:
        assert self.state.round is not None
        return self.state.round

    async def feed(self, input_: inputs.Input, completes: int | None = None) -> None:
        await self.engine.feed(self.job.id, input_, completes)

    def observe(self, machine: Machine, events: Sequence[records.Event]) -> None:
        """What a daemon does after every step: look which topics the job needs now."""
        self.machine.topics()

    async def hear(self, peer: bytes, frame: bytes) -> None:
        """A private message as it comes in."""
        self.sent += len(await self._inbox.answer(peer_id_text(peer), frame))
        self._heard += 1
        if self._heard % _PER_TICK == 0:
            await self.feed(inputs.Tick(START))

    def fetched(self, everybodys: int, once: int) -> None:
        """Blobs went out: what everybody needs to as many as a mesh has neighbours, who hand it on;
        what a block needs once to one of it, who does so, too."""
        self.sent += DEGREE * everybodys + once

    async def until(self, there: Callable[[RequesterState], bool]) -> None:
        """Until the effects that are under way have led there. Fails where they do not."""
        with trio.fail_after(_GIVEN_UP):
            while not there(self.state):
                assert not self.machine.broken, self.machine.broken
                await trio.sleep(0.001)

    async def _perform(self, wanted: Wanted) -> None:
        effect, services = wanted.effect, self._services
        if isinstance(effect, effects.Assemble):
            await lists.assemble(services, wanted, effect)
        elif isinstance(effect, effects.Publish):
            await messages.publish(services, wanted, effect)
        elif isinstance(effect, effects.Send):
            await messages.send(services, wanted, effect)
        elif isinstance(effect, effects.Settle):
            await lists.settle(services, wanted, effect)
        elif (outcome := self._outcome(effect)) is not None:
            await self.feed(outcome, wanted.id)
        else:
            await self.engine.complete(wanted.id)

    def _outcome(self, effect: effects.Effect) -> inputs.Input | None:
        """What workers and the chain answer; None where nothing is waited for."""
        digest = digest_of(repr(effect))
        size = model_bytes(self.job.spec.parameter_count)
        match effect:
            case effects.TransactPost():
                return inputs.ChainPosted(START, 1)
            case effects.TransactEnrol():
                return inputs.ChainEnrolled(START, 5, effect.index, effect.root, effect.count)
            case effects.ReadBlockHash():
                return inputs.ChainBlockHash(START, effect.number, self.job.seeds[0])
            case effects.ComputeInitialModel():
                return inputs.InitialModelMade(START, digest, size)
            case effects.ComputeCheck():
                place = effect.round, effect.attempt, effect.member
                return inputs.BatchSound(START, *place)
            case effects.ComputeSum():
                return inputs.SumMade(START, effect.round, effect.attempt, effect.block, digest)
            case effects.SignCommitment():
                terms = effect.round, effect.root, effect.valid_until
                return inputs.CommitmentSigned(START, *terms, b"\x07" * 65)
            case effects.TransactCommit():
                told = effect.round, effect.root, effect.count, effect.model_digest
                return inputs.ChainCommitted(START, 20 + 10 * effect.round, *told)
            case effects.ComputeUnmask():
                place = effect.round, effect.attempt, effect.block
                return inputs.Unmasked(START, *place, digest, effect.listed, (), ())
            case effects.ComputeApply():
                facts = (("contributors", 1.0),)
                return inputs.ModelMoved(START, effect.round, digest, size, digest, facts, b"")
            case effects.TransactFinish():
                return inputs.TransactionFinal(START, inputs.Call.FINISH, b"")
            case effects.TransactClaim():
                return inputs.TransactionFinal(START, inputs.Call.CLAIM, effect.account)
            case effects.TransactPay():
                return inputs.TransactionFinal(START, inputs.Call.PAY, b"")
            case effects.TransactWithdraw():
                return inputs.TransactionFinal(START, inputs.Call.WITHDRAW, b"")
        return None


async def run(desk: Desk, spent: Spent) -> None:
    """A whole job, from its post to its last claim. What its owners say is signed beside."""
    job, store, batch = desk.job, desk.store, _batch_bytes(desk.job)
    order = random.Random(7)

    def said(of: Callable[[int], Body], round_: int, batch: int = 0) -> list[Said]:
        frames = []
        for member in everybody:
            person, attachment = job.people[member], _batch(round_, member, batch)
            frame = Frame(encode(person.say(job.place(round_), of(member))), attachment)
            frames.append((person.peer, encode(frame)))
        return frames

    everybody = list(range(len(job.people)))
    order.shuffle(everybody)
    people = [job.people[member] for member in everybody]
    enrolments = [
        (each.peer, encode(Frame(encode(enrol(job.spec, job.id, each)), b""))) for each in people
    ]
    with spent.on("enrol", store):
        await desk.feed(inputs.ActionPost(START))
        await desk.feed(inputs.ChainHead(START, 4, 0))
        await _hear(desk, enrolments)
        await desk.until(lambda state: bool(state.groups and state.groups[0].block))
        await desk.feed(inputs.ChainHead(START, 9, 0))
        await desk.until(lambda state: state.round is not None)
    desk.fetched(desk.state.cohort_size, 0)
    for number in range(ROUNDS):
        opening = desk.round.opening_digest
        order.shuffle(everybody)
        told = said(lambda m: ready_of(job, m, opening, number), number)  # noqa: B023
        with spent.on("ready", store):
            await _hear(desk, told)
            await desk.until(_in(Phase.CONTRIBUTE))
        told = said(partial(_contribution, job, desk.round), number, batch)
        with spent.on("contribute", store):
            await _hear(desk, told)
            await desk.until(lambda state: state.round is not None and state.round.committed_block)
        round_ = desk.round
        told = said(partial(_release, round_), number)
        with spent.on("release", store):
            await desk.feed(inputs.ChainHead(START, 25 + 10 * number, 0))
            await _hear(desk, told)
            await desk.until(lambda state: len(state.records) > number)  # noqa: B023
        desk.fetched(desk.state.model_size + round_.list_size, sum(r.size for r in round_.rosters))
    with spent.on("pay", store):
        await desk.until(lambda state: state.phase in OVER)
        await desk.engine.drain()
    spent.sent = desk.sent


async def _hear(desk: Desk, frames: list[Said]) -> None:
    for peer, frame in frames:
        await desk.hear(peer, frame)


async def _introduce(*_: object) -> bool:
    raise AssertionError("nobody announces a job here")


def _batch(round_: int, member: int, size: int) -> bytes:
    """So many bytes that no other member's batch has; none for a message without one."""
    return (digest_of("batch", round_, member) * (size // 32 + 1))[:size]


def _in(phase: Phase) -> Callable[[RequesterState], bool]:
    return lambda state: state.round is not None and state.round.phase is phase


def _contribution(job: Job, round_: RequesterRound, member: int) -> Contribution:
    block = job.blocks_in(round_.number)[member]
    roster = round_.roster(block)
    assert roster is not None
    size = _batch_bytes(job)
    batch = blob_digest(_batch(round_.number, member, size))
    return Contribution(block, member, roster.digest, batch, size)


def _batch_bytes(job: Job) -> int:
    return job.spec.packing.batch_bytes(job.spec.parameter_count)


def _release(round_: RequesterRound, member: int) -> Release:
    block = next(b for b in round_.blocks if member in b.members)
    shares = tuple(digest_of("share", member, of) for of in block.members)
    return Release(round_.root, block.block, shares)


async def measure(owners: int, folder: Path) -> dict[str, object]:
    """A job of so many owners in an empty folder: what it cost its requester."""
    job = make_job(owners, rounds=ROUNDS, block_size=BLOCK, min_owners=BLOCK)
    # Its list is made here again, as a daemon does: the machine begins without it.
    spent, held = Spent(), folder / "blobs"
    held.mkdir()
    with Counted.open(folder / "assay.db") as store:
        blobs = Blobs(held)
        blobs.put(encode_spec(job.spec))
        desk = Desk(job, store, blobs)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.engine.run)
            await run(desk, spent)
            nursery.cancel_scope.cancel()
    return {"owners": owners, "block": BLOCK, "rounds": ROUNDS, **dataclasses.asdict(spent)}


def main(sizes: Sequence[int]) -> None:
    # The first job pays for what is loaded and made once; beside the smallest it would be much, and
    # hide what grows.
    for number, owners in enumerate((BLOCK, *sizes)):
        with tempfile.TemporaryDirectory(prefix="assay-scale-") as folder:
            told = trio.run(measure, owners, Path(folder))
        if number:
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]])
