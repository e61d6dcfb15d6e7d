"""An owner's machine, brought to a moment of a job (machine_kit)."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

from kits.books import REQUESTER, Job, digest_of, make_job
from kits.machine import START, Effects, Kit, context_of, ready_of
from protocol.books.enrolment import block_members, spec_domain
from protocol.books.lists import ready_digest
from protocol.books.typed_data import Commitment, commitment_digest
from protocol.layout.packing import model_bytes
from protocol.machines import effects, inputs
from protocol.machines.job import JobPhase
from protocol.machines.round import Phase
from protocol.owner import machine as owner
from protocol.owner.state import OwnerRound, OwnerState
from protocol.wire.messages import Committed, Enrolled, Freeze, Open, Result, Roster

#: Finality in the kit's jobs, blocks.
DEPTH = 3

COHORT = digest_of("cohort list")


class OwnerKit(Kit[OwnerState]):
    """`member` is the owner's index in the cohort."""

    machine = owner

    def __init__(self, job: Job, member: int = 0) -> None:
        me = job.people[member]
        super().__init__(job, me, context_of(job, me), OwnerState())
        self.member = member

    @property
    def round(self) -> OwnerRound:
        assert self.state.round is not None
        return self.state.round

    @property
    def mates(self) -> tuple[int, ...]:
        """The members of its block in the present round."""
        blocks = self.job.blocks_in(self.round.number)
        return block_members(blocks, blocks[self.member])

    # --- to the training

    def terms(self, **changes: object) -> Effects:
        spec = self.job.spec
        told = inputs.ChainJob(
            self.now,
            True,
            spec.requester.account,
            self.job.spec_digest,
            spec.payment.token,
            spec.training.rounds,
            spec.cohort.max_owners,
            spec.payment.rate,
            spec.payment.merit,
            spec.expires_at,
        )
        return self.step(dataclasses.replace(told, **changes))  # type: ignore[arg-type]

    def consent(self, **changes: Any) -> Effects:
        return self.step(inputs.ActionConsent(self.now, "rows", self.me.payout, 100, **changes))

    def enrolled(self) -> Effects:
        return self.hear(REQUESTER, Enrolled(digest_of("enrolment")), 0, 0)

    def rooted(self, index: int = 0, **changes: object) -> Effects:
        """A root is on the chain."""
        cohort, block = self.job.cohort, self.state.head + 1
        told = inputs.ChainEnrolled(
            self.now, block, index, cohort.roots[index], cohort.counts[index]
        )
        return self.step(dataclasses.replace(told, **changes))  # type: ignore[arg-type]

    def seeded(self, index: int = 0) -> Effects:
        """And final, with the block that draws its group's blocks."""
        block = self.state.roots[index].block
        self.step(inputs.ChainHead(self.now, block + 1 + DEPTH, 0))
        return self.step(inputs.ChainBlockHash(self.now, block + 1, self.job.seeds[index]))

    # --- a round

    def opening(self, number: int = 0, **changes: object) -> Open:
        timing, size = self.job.spec.timing, model_bytes(self.job.spec.parameter_count)
        ready_until = self.now + 1000 * timing.ready_seconds
        opening = Open(
            COHORT,
            len(self.job.cohort_list),
            digest_of("model", number),
            size,
            ready_until,
            ready_until + 1000 * timing.contribute_seconds,
        )
        return dataclasses.replace(opening, **changes)  # type: ignore[arg-type]

    def open(self, number: int = 0, attempt: int = 0, **changes: object) -> Effects:
        return self.hear(REQUESTER, self.opening(number, **changes), number, attempt)

    def cohort_examined(self, **changes: object) -> Effects:
        """The list of the opening holds, and has a place for this owner."""
        told = inputs.ExaminedCohort(
            self.now,
            self.state.cohort_digest,
            self.job.cohort.roots,
            len(self.job.people),
            self.job.cohort.members[self.member].digest,
        )
        return self.step(dataclasses.replace(told, **changes))  # type: ignore[arg-type]

    def model_here(self) -> Effects:
        return self.step(inputs.BlobArrived(self.now, self.round.opening.model_digest))

    def ready(self) -> Any:
        return ready_of(self.job, self.member, self.round.opening_digest, self.round.number)

    def secrets_made(self) -> Effects:
        place = self.round.number, self.round.attempt
        return self.step(inputs.SecretsMade(self.now, *place, self.ready()))

    def frozen(self, **changes: object) -> Freeze:
        round_ = self.round
        roster = Roster(round_.block, digest_of("roster", round_.number, round_.attempt), 900)
        freeze = Freeze(round_.opening_digest, (roster,))
        return dataclasses.replace(freeze, **changes)  # type: ignore[arg-type]

    def freeze(self, **changes: object) -> Effects:
        return self.hear(REQUESTER, self.frozen(**changes))

    def roster_examined(self, **changes: object) -> Effects:
        round_ = self.round
        told = inputs.ExaminedRoster(
            self.now,
            round_.number,
            round_.attempt,
            round_.roster_digest,
            self.mates,
            ready_digest(self.ready()),
        )
        return self.step(dataclasses.replace(told, **changes))  # type: ignore[arg-type]

    def trained(self, **changes: object) -> Effects:
        round_ = self.round
        place = round_.number, round_.attempt
        batch = digest_of("batch", *place, self.member)
        done = inputs.ContributionMade(self.now, *place, batch, 500, ())
        return self.step(dataclasses.replace(done, **changes))  # type: ignore[arg-type]

    # --- its commitment; `round_` is the present one or, where it is due, the one before

    def commitment(self, round_: OwnerRound | None = None, **changes: Any) -> Committed:
        """One that the requester's account signed."""
        about = round_ or self.round
        terms = {
            "root": digest_of("root", about.number),
            "count": 5,
            "model_digest": about.opening.model_digest,
            "valid_until": self.now // 1000 + 30,
            **changes,
        }
        statement = Commitment(self.job.id, about.number, *terms.values())
        signature = REQUESTER.sign_digest(commitment_digest(spec_domain(self.job.spec), statement))
        listed = digest_of("list", about.number)
        return Committed(**terms, signature=signature, list_digest=listed, list_size=1000)

    def committed(self, round_: OwnerRound | None = None, **changes: Any) -> Effects:
        about = round_ or self.round
        body = self.commitment(about, **changes)
        return self.hear(REQUESTER, body, about.number, about.attempt)

    def list_examined(self, round_: OwnerRound | None = None, **changes: object) -> Effects:
        about = round_ or self.round
        told = inputs.ExaminedContributions(
            self.now,
            about.number,
            about.attempt,
            digest_of("list", about.number),
            digest_of("root", about.number),
            about.roster,
            5,
            about.batch_digest,
        )
        return self.step(dataclasses.replace(told, **changes))  # type: ignore[arg-type]

    def on_chain(self, round_: OwnerRound | None = None, **changes: object) -> Effects:
        about = round_ or self.round
        told = inputs.ChainCommitted(
            self.now,
            self.state.head + 1,
            about.number,
            digest_of("root", about.number),
            5,
            about.opening.model_digest,
        )
        return self.step(dataclasses.replace(told, **changes))  # type: ignore[arg-type]

    def deep(self, depth: int = DEPTH) -> Effects:
        """So many blocks on top of the latest commitment."""
        block = self.state.commitments[-1].block
        return self.step(inputs.ChainHead(self.now, block + depth, 0))

    def result(self) -> Effects:
        size = model_bytes(self.job.spec.parameter_count)
        return self.hear(REQUESTER, Result(digest_of("model", self.round.number + 1), size))


def owner_domain(job: Job) -> Any:
    from protocol.books.enrolment import spec_domain

    return spec_domain(job.spec)


_TO_TRAINING = (
    (JobPhase.SEEN, OwnerKit.terms),
    (JobPhase.CONSIDERING, OwnerKit.consent),
    (JobPhase.ENROLMENT_SENT, OwnerKit.enrolled),
    (JobPhase.ENROLLED, OwnerKit.rooted),
)


def owner_at(
    where: JobPhase | Phase,
    job: Job | None = None,
    member: int = 0,
    round_: int = 0,
    **consent: Any,
) -> OwnerKit:
    """The owner in a phase of its job before the end, or of a round."""
    kit = OwnerKit(job or make_job(5), member)
    for phase, do in _TO_TRAINING:
        if where is phase:
            return kit
        if do is OwnerKit.consent:
            kit.consent(**consent)
        else:
            do(kit)
    if where is JobPhase.TRAINING:
        return kit
    assert isinstance(where, Phase)
    for index in range(len(kit.job.seeds)):
        if index:
            kit.rooted(index)
        kit.seeded(index)
    for number in range(round_ + 1):
        go_through(kit, number, where if number == round_ else Phase.DONE)
    return kit


def go_through(kit: OwnerKit, number: int, until: Phase, attempt: int = 0) -> None:
    """An attempt of a round, from its opening to a phase."""
    kit.open(number, attempt)
    if until is Phase.OPEN:
        return
    if not kit.state.cohort_here:
        kit.cohort_examined()
    kit.model_here()
    kit.secrets_made()
    for phase, do in (
        (Phase.READY, kit.freeze),
        (Phase.FREEZE, kit.roster_examined),
        (Phase.CONTRIBUTE, kit.trained),
    ):
        if until is phase:
            return
        do()
    if until is Phase.COMMIT:
        return
    release(kit)
    if until is Phase.APPLY:
        return
    assert until is Phase.DONE
    kit.result()


def release(kit: OwnerKit) -> effects.SendRelease:
    """The commitment is said, listed, mined and final."""
    kit.committed()
    kit.list_examined()
    kit.on_chain()
    wanted = kit.deep()
    (found,) = (e for e in wanted if isinstance(e, effects.SendRelease))
    return found


@cache
def moments() -> tuple[tuple[str, OwnerKit], ...]:
    """One owner in every phase that it can be in."""
    found: list[tuple[str, OwnerKit]] = []
    for phase, _ in _TO_TRAINING:
        found.append((phase.value, owner_at(phase)))
    for at in (Phase.OPEN, Phase.READY, Phase.FREEZE, Phase.CONTRIBUTE, Phase.COMMIT, Phase.APPLY):
        found.append((at.value, owner_at(at)))
    found.append(("done", owner_at(Phase.DONE)))
    found.append(("due", due()))
    finishing = owner_at(Phase.DONE)
    finishing.step(inputs.ChainFinished(START, 99, digest_of("m"), digest_of("evidence"), 7200))
    found.append(("finishing", finishing))
    over = owner_at(Phase.COMMIT)
    over.step(inputs.ChainCancelled(START, 99, START // 1000))
    found.append(("cancelled", over))
    return tuple(found)


def due(*, on_chain: bool = True) -> OwnerKit:
    """The next round opens before the commitment of the one before is final here."""
    kit = owner_at(Phase.COMMIT)
    kit.committed()
    kit.list_examined()
    if on_chain:
        kit.on_chain()
    kit.open(1)
    return kit
