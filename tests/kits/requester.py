"""A requester's machine, brought to a moment of a job (machine_kit)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from functools import cache

from kits.books import REQUESTER, Job, digest_of, enrol, make_job
from kits.machine import START, Effects, Kit, context_of, ready_of
from protocol.books.enrolment import block_members
from protocol.layout.packing import model_bytes
from protocol.machines import inputs
from protocol.machines.job import JobPhase
from protocol.machines.round import Phase
from protocol.requester import machine as requester
from protocol.requester.state import BlockRecord, RequesterRound, RequesterState
from protocol.wire.envelope import Envelope, envelope_digest
from protocol.wire.messages import Contribution, Release

#: Finality in the kit's jobs, blocks.
DEPTH = 3

#: How long others' shares are waited for once there are enough, milliseconds.
GRACE_MS = 1_000


class RequesterKit(Kit[RequesterState]):
    """Members are named by their index in the cohort."""

    machine = requester

    def __init__(self, job: Job) -> None:
        super().__init__(job, REQUESTER, context_of(job, REQUESTER), RequesterState())

    @property
    def round(self) -> RequesterRound:
        assert self.state.round is not None
        return self.state.round

    @property
    def place(self) -> tuple[int, int]:
        return self.round.number, self.round.attempt

    def block(self, number: int) -> BlockRecord:
        """A committed block."""
        return next(b for b in self.round.blocks if b.block == number)

    def members(self, block: int) -> tuple[int, ...]:
        return block_members(self.job.blocks_in(self.round.number), block)

    @property
    def going(self) -> tuple[int, ...]:
        """Everybody in a frozen roster."""
        return tuple(m for roster in self.round.rosters for m in roster.members)

    # --- to the training

    def posted(self) -> Effects:
        self.step(inputs.ActionPost(self.now))
        block = self.state.head + 1
        self.step(inputs.ChainPosted(self.now, block))
        return self.step(inputs.ChainHead(self.now, block + DEPTH, 0))

    def enrolment(self, member: int) -> Envelope:
        return enrol(self.job.spec, self.job.id, self.job.people[member])

    def enrol(self, member: int) -> Effects:
        return self.step(self.message(self.enrolment(member)))

    def group(self, index: int) -> range:
        """The members of a group."""
        counts = self.job.cohort.counts
        return range(sum(counts[:index]), sum(counts[: index + 1]))

    def listed(self, groups: int = 1, **changes: object) -> Effects:
        """The cohort's list is stored, with so many groups."""
        root = self.job.cohort.roots[groups - 1]
        digest = digest_of("cohort", groups)
        told = inputs.AssembledCohort(self.now, digest, 2000, root)
        return self.step(dataclasses.replace(told, **changes))  # type: ignore[arg-type]

    def rooted(self, index: int = 0) -> Effects:
        cohort, block = self.job.cohort, self.state.head + 1
        return self.step(
            inputs.ChainEnrolled(self.now, block, index, cohort.roots[index], cohort.counts[index])
        )

    def seeded(self, index: int = 0) -> Effects:
        block = self.state.groups[index].block
        self.step(inputs.ChainHead(self.now, block + 1 + DEPTH, 0))
        return self.step(inputs.ChainBlockHash(self.now, block + 1, self.job.seeds[index]))

    def initial_model(self) -> Effects:
        size = model_bytes(self.job.spec.parameter_count)
        model = digest_of("model", 0)
        done = inputs.InitialModelMade(self.now, model, size)
        return self.step(done)

    def rooting(self) -> None:
        """The first group is enrolled and its root final."""
        for member in self.group(0):
            self.enrol(member)
        if self.state.phase is JobPhase.ENROLLING:
            self.tick(self.state.enrol_until)
        self.listed()
        self.initial_model()
        self.rooted()

    # --- a round

    def ready(self, member: int, /, **changes: object) -> Effects:
        body = ready_of(self.job, member, self.round.opening_digest, self.round.number, **changes)
        return self.hear(self.job.people[member], body)

    def ready_digest(self, member: int) -> bytes:
        """Of the signed message."""
        body = ready_of(self.job, member, self.round.opening_digest, self.round.number)
        return envelope_digest(self.said(self.job.people[member], body))

    def all_ready(self, without: Iterable[int] = ()) -> Effects:
        """Whoever is not left out; without some, its time runs out."""
        absent = set(without)
        wanted: Effects = ()
        for member in range(len(self.job.blocks_in(self.round.number))):
            if member not in absent and self.round.phase is Phase.READY:
                wanted = self.ready(member)
        if self.round.phase is Phase.READY:
            wanted = self.tick(self.round.opening.ready_until)
        return wanted

    def roster_stored(self, block: int) -> Effects:
        digest = digest_of("roster", self.round.number, self.round.attempt, block)
        told = inputs.AssembledRoster(self.now, *self.place, block, digest, 900)
        return self.step(told)

    def rosters_stored(self) -> Effects:
        wanted: Effects = ()
        for roster in self.round.rosters:
            wanted = self.roster_stored(roster.block)
        return wanted

    def batch(self, member: int) -> bytes:
        return digest_of("batch", *self.place, member)

    def header(self, member: int, /, **changes: object) -> Contribution:
        spec, block = self.job.spec, self.job.blocks_in(self.round.number)[member]
        roster = self.round.roster(block)
        digest = roster.digest if roster else digest_of("no roster")
        size = spec.packing.batch_bytes(spec.parameter_count)
        body = Contribution(block, member, digest, self.batch(member), size)
        return dataclasses.replace(body, **changes)  # type: ignore[arg-type]

    def contribute(self, member: int, /, **changes: object) -> Effects:
        """Its header is heard."""
        return self.hear(self.job.people[member], self.header(member, **changes))

    def arrive(self, batch: bytes) -> Effects:
        return self.step(inputs.BlobArrived(self.now, batch))

    def sound(self, member: int) -> Effects:
        return self.step(inputs.BatchSound(self.now, *self.place, member))

    def unsound(self, member: int, reason: str = "ciphertext 0 is no unit") -> Effects:
        return self.step(inputs.BatchUnsound(self.now, *self.place, member, reason))

    def contributed(self, member: int) -> Effects:
        """Heard, fetched and found sound."""
        self.contribute(member)
        self.arrive(self.batch(member))
        return self.sound(member)

    def all_contributed(self, without: Iterable[int] = ()) -> Effects:
        absent = set(without)
        wanted: Effects = ()
        for member in self.going:
            if member not in absent:
                wanted = self.contributed(member)
        if self.round.phase is Phase.CONTRIBUTE:
            wanted = self.tick(self.round.opening.contribute_until)
        return wanted

    # --- a commitment

    def list_stored(self) -> Effects:
        digest, root = digest_of("list", *self.place), digest_of("root", *self.place)
        told = inputs.AssembledContributions(self.now, *self.place, digest, 1000, root)
        return self.step(told)

    def signed(self) -> Effects:
        round_ = self.round
        terms = round_.number, round_.root, round_.valid_until, b"\x07" * 65
        return self.step(inputs.CommitmentSigned(self.now, *terms))

    def committed(self, **changes: object) -> Effects:
        """It is on the chain."""
        round_ = self.round
        told = inputs.ChainCommitted(
            self.now,
            self.state.head + 1,
            round_.number,
            round_.root,
            round_.count,
            round_.opening.model_digest,
        )
        return self.step(dataclasses.replace(told, **changes))  # type: ignore[arg-type]

    def deep(self, depth: int = DEPTH) -> Effects:
        return self.step(inputs.ChainHead(self.now, self.round.committed_block + depth, 0))

    def summed(self, block: int) -> Effects:
        digest = digest_of("sum", *self.place, block)
        return self.step(inputs.SumMade(self.now, *self.place, block, digest))

    def final(self) -> Effects:
        """Listed, signed, mined, deep, and summed."""
        self.list_stored()
        self.signed()
        for block in self.round.blocks:
            self.summed(block.block)
        self.committed()
        return self.deep()

    # --- unmasking

    def release_of(self, member: int, /, **changes: object) -> Release:
        block = next(b for b in self.round.blocks if member in b.members)
        roster = self.round.roster(block.block)
        assert roster is not None
        shares = tuple(digest_of("share", member, of) for of in roster.members)
        fields = {"root": self.round.root, "block": block.block, "shares": shares} | changes
        return Release(**fields)  # type: ignore[arg-type]

    def release(self, member: int, /, **changes: object) -> Effects:
        return self.hear(self.job.people[member], self.release_of(member, **changes))

    def released(self, member: int) -> bytes:
        """The digest of its signed release."""
        return envelope_digest(self.said(self.job.people[member], self.release_of(member)))

    def unmasked(
        self,
        block: int,
        *,
        good: tuple[int, ...] = (),
        bad: tuple[int, ...] = (),
        liars: tuple[int, ...] = (),
        opens: bool = True,
        place: tuple[int, int] | None = None,
    ) -> Effects:
        """What a try at a block gave."""
        where = place or self.place
        digest = digest_of("unmask", *where, block) if opens else b""
        return self.step(inputs.Unmasked(self.now, *where, block, digest, good, bad, liars))

    def all_released(self, without: Iterable[int] = ()) -> Effects:
        """Everybody listed releases good shares; each block opens, or its time runs out."""
        absent = set(without)
        wanted: Effects = ()
        for block in [b.block for b in self.round.blocks]:
            there = [m for m in self.block(block).members if m not in absent]
            for member in there:
                self.release(member)
            if not self.block(block).trying:
                self.tick(self.now + GRACE_MS)
            if self.block(block).trying:
                wanted = self.unmasked(block, good=tuple(there))
        if self.round.phase is Phase.UNMASK:
            wanted = self.tick(self.round.unmask_until)
        return wanted

    def applied(self, contributors: float = 5.0) -> Effects:
        """The model moved, by so many contributions; by none, under another digest."""
        number, size = self.round.number, model_bytes(self.job.spec.parameter_count)
        facts = (("contributors", contributors),)
        model, worth = digest_of("model", number + 1), digest_of("worth", number)
        done = inputs.ModelMoved(self.now, number, model, size, digest_of("momentum"), facts, worth)
        return self.step(done)


_ROUND = (
    (Phase.READY, RequesterKit.all_ready),
    (Phase.FREEZE, RequesterKit.rosters_stored),
    (Phase.CONTRIBUTE, RequesterKit.all_contributed),
    (Phase.COMMIT, RequesterKit.final),
    (Phase.UNMASK, RequesterKit.all_released),
    (Phase.APPLY, RequesterKit.applied),
)


def requester_at(where: JobPhase | Phase, job: Job | None = None, round_: int = 0) -> RequesterKit:
    """The requester in a phase of its job before the end, or of a round."""
    kit = RequesterKit(job or make_job(5))
    if where is JobPhase.POSTING:
        return kit
    kit.posted()
    if where is JobPhase.ENROLLING:
        return kit
    kit.rooting()
    if where is JobPhase.ROOTING:
        return kit
    kit.seeded()
    if where is JobPhase.TRAINING:
        return kit
    assert isinstance(where, Phase)
    while kit.round.number < round_:
        go_through(kit, Phase.APPLY)
        kit.applied()
    go_through(kit, where)
    return kit


def go_through(kit: RequesterKit, until: Phase) -> None:
    """The present attempt from where it stands to a phase, with everybody there."""
    for phase, do in _ROUND:
        if until is phase:
            return
        if kit.round.phase is phase:
            do(kit)
    assert until is Phase.DONE


@cache
def moments() -> tuple[tuple[str, RequesterKit], ...]:
    """One requester in every phase that it can be in."""
    jobs = (JobPhase.POSTING, JobPhase.ENROLLING, JobPhase.ROOTING)
    found = [(phase.value, requester_at(phase)) for phase in jobs]
    found += [(phase.value, requester_at(phase)) for phase, _ in _ROUND]
    found.append(("owing", owing()))
    over = finishing()
    found.append(("finishing", over))
    found.append(("paying", paying()))
    cancelled = requester_at(Phase.COMMIT)
    cancelled.step(inputs.ChainCancelled(START, 99, START // 1000))
    found.append(("cancelled", cancelled))
    return tuple(found)


def owing() -> RequesterKit:
    """A round was opened without one member's shares, and the next has begun."""
    kit = requester_at(Phase.UNMASK)
    kit.all_released(without=(4,))
    kit.applied()
    return kit


def finishing(job: Job | None = None) -> RequesterKit:
    """The last round is applied, and the books are being closed."""
    kit = requester_at(Phase.APPLY, job or make_job(5, rounds=1))
    kit.applied()
    assert kit.state.phase is JobPhase.FINISHING
    return kit


def paying() -> RequesterKit:
    kit = finishing()
    settled = inputs.Settled(
        kit.now,
        digest_of("evidence"),
        900,
        digest_of("merit"),
        tuple(m.payout for m in kit.job.cohort.members),
    )
    kit.step(settled)
    kit.step(inputs.TransactionFinal(kit.now, inputs.Call.FINISH, b""))
    assert kit.state.phase is JobPhase.PAYING
    return kit
