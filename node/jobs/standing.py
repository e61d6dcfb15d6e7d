"""A job's standing and that of each owner, with the reason, from what this node has stored.

`look` reads what is needed in one snapshot; everything else here is a function of that.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from node.chain import events
from node.control import job_results as j
from node.engine.engine import Machine
from node.jobs.audits import Lists
from node.jobs.awaiting import awaited, moment
from node.jobs.timeline import part_in
from node.privacy import ledger as privacy_ledger
from node.store import jobs, records, versions
from node.store.jobs import StoredEvent
from node.store.store import Transaction
from protocol.addresses import to_checksum
from protocol.books.evidence import Evidence
from protocol.machines.job import OVER, JobPhase
from protocol.owner.state import OwnerState
from protocol.requester.pay import PAID, WINDING_UP, awaits_rest
from protocol.requester.state import RequesterState
from protocol.wire import identity
from protocol.wire.envelope import reopen_envelope
from protocol.wire.messages import DeclinedTerm, Refuse

#: Events that say how the latest attempt went; the newest of them counts.
_ENDS: Final = ("attempt-failed", "contributed", "committed", "commitment-final", "round-applied")

#: A job that no policy was asked about yet, or that they are asked about again.
_LOOKED_AT: Final = {
    JobPhase.SEEN: "its terms are being compared with the chain's",
    JobPhase.CONSIDERING: "it is being held against your policies and data",
}

#: Nobody trains any more. A job that was not cancelled has had all of its rounds, or ended early.
_TRAINED: Final = (JobPhase.FINISHING, JobPhase.PAYING, JobPhase.CLOSED)


def runs(machine: Machine) -> bool:
    """Whether this node has something to do in the job."""
    idle = (*OVER, JobPhase.SEEN, JobPhase.CONSIDERING, JobPhase.WAITING)
    return not machine.broken and machine.state.phase not in idle


@dataclass(frozen=True, slots=True)
class Known:
    """One job as the store has it.

    `told` are the contract's events. `failed` says how the latest attempt failed; it is empty if
    that went well. `halted` says why no further round runs on this node's data, though the job goes
    on. `fits` says how many rows of this owner's data sets the job can use.
    """

    told: list[StoredEvent]
    failed: str = ""
    halted: str = ""
    fits: tuple[versions.Fit, ...] = ()

    @property
    def committed(self) -> int:
        """Rounds whose commitment the chain holds."""
        return sum(isinstance(each.event, events.Committed) for each in self.told)


def look(tx: Transaction, machine: Machine) -> Known:
    """Read it, in a snapshot."""
    latest = records.latest_event(tx, machine.key, _ENDS)
    failed = ""
    if latest is not None and latest.kind == "attempt-failed":
        place = f"round {latest.facts['round']}, attempt {latest.facts['attempt']}"
        failed = f"{place} failed: {latest.facts['text']}"
    told = jobs.contract_events(tx, machine.key)
    halted = _left(tx, machine) or _halted(tx, machine)
    return Known(told, failed, halted, versions.fits_of(tx, machine.key))


def _left(tx: Transaction, machine: Machine) -> str:
    """Why no attempt begins here any more, as its owner said."""
    taken = isinstance(machine.state, OwnerState) and machine.state.dataset
    over = machine.state.phase in (*OVER, *_TRAINED)
    return jobs.left(tx, machine.key) if taken and not over else ""


def _halted(tx: Transaction, machine: Machine) -> str:
    state = machine.state
    if not isinstance(state, OwnerState) or machine.context.spec.privacy.epsilon is None:
        return ""
    if state.phase in (*OVER, *_TRAINED) or not is_halted(tx, machine.key):
        return ""
    limit = privacy_ledger.limit_of(tx, state.dataset)
    return (
        f"no further round runs on {state.dataset}: its budget, epsilon {limit.epsilon:g} at delta "
        f"{limit.delta:g}, no longer holds this job (assay privacy {state.dataset})"
    )


def is_halted(tx: Transaction, job: bytes) -> bool:
    """Whether a job's reserve does not fit its data set's budget any more (node.privacy.ledger)."""
    held = privacy_ledger.entry(tx, job)
    if held is None or held.released is not None:
        return False
    return not privacy_ledger.limit_of(tx, held.dataset).allows(held.limit)


def fits(machine: Machine, known: Known) -> tuple[j.RowsFit, ...]:
    """What this owner is to know of its rows: of the data set that trains, or that may be asked."""
    state = machine.state
    if not isinstance(state, OwnerState):
        return ()
    return tuple(
        j.RowsFit(each.dataset, each.rows, each.usable, each.why)
        for each in known.fits
        if state.dataset in ("", each.dataset)
    )


def ended_early(machine: Machine, known: Known) -> bool:
    """Whether training is over, by no cancellation, before every round was committed."""
    over = machine.state.phase in _TRAINED and not machine.broken
    return over and known.committed < machine.context.spec.training.rounds


def reason(machine: Machine, known: Known) -> str:
    """Why a job stands where it stands; for a job that is wound up, what is still to come."""
    if machine.broken:
        return machine.broken
    state = machine.state
    if isinstance(state, OwnerState):
        return _owners_reason(machine, state, known)
    if state.phase is JobPhase.ENROLLING:
        return _gathering(machine, state)
    if state.phase is JobPhase.TRAINING:
        parts = [state.reason or known.failed, awaited(machine)]
        return "; ".join(part for part in parts if part)
    if state.phase in PAID and awaits_rest(machine.context, state) and state.cancel_effective:
        rest = (
            f"what no contribution is owed comes back after {moment(state.cancel_effective)}: keep "
            "the daemon up until then, or start it again later"
        )
        return f"{state.reason}; {rest}" if state.reason else rest
    if state.phase not in WINDING_UP or not state.posted_block or not state.cancel_effective:
        return state.reason
    if state.withdrawals:
        rest = "everybody is paid, and what is left comes back"
    elif state.closed_block:
        rest = "the contract has closed it: pay follows, then what is left comes back"
    else:
        rest = f"the contract closes it at {moment(state.cancel_effective)}, then it is settled"
    return f"{state.reason}; {rest}" if state.reason else rest


def _owners_reason(machine: Machine, state: OwnerState, known: Known) -> str:
    if state.phase in _LOOKED_AT:
        return _LOOKED_AT[state.phase]
    if state.phase is JobPhase.WAITING:
        return state.reason
    parts = [state.reason, known.halted]
    if ended_early(machine, known):
        rounds = machine.context.spec.training.rounds
        parts.append(f"its requester ended it after {known.committed} of {rounds} rounds")
        parts.append(known.failed)
    elif state.phase is JobPhase.TRAINING and not known.halted:
        parts.append(known.failed)
    return "; ".join(part for part in parts if part)


def _gathering(machine: Machine, state: RequesterState) -> str:
    cohort, expires = machine.context.spec.cohort, machine.context.spec.expires_at
    there, least, most = len(state.enrolments), cohort.min_owners, cohort.max_owners
    if least == most:
        starts = f"it starts when all {most} are there"
    else:
        until = moment(state.enrol_until // 1000)
        starts = f"it starts when {most} are there, or {least} after {until}"
    return (
        f"{there} of {most} owners; {_said_no(state)}{starts}, else expires {moment(expires)}; "
        "assay job cancel ends it"
    )


def _said_no(state: RequesterState) -> str:
    """What owners said of their policies: '2 refused: epsilon too large (2); '."""
    if not state.declined:
        return ""
    told = ", ".join(f"{each.why} ({each.owners})" for each in declined(state))
    return f"{len(state.declined)} refused: {told}; "


#: What owners may say of their policies, for the requester.
_DECLINED: Final[dict[DeclinedTerm, str]] = {
    DeclinedTerm.NO_NOISE: "adds no noise",
    DeclinedTerm.EPSILON: "epsilon too large",
    DeclinedTerm.PAID_IN: "pays in another token",
    DeclinedTerm.PRICE: "pays too little",
    DeclinedTerm.PURPOSE: "another purpose",
    DeclinedTerm.SEALED: "its model is sealed",
    DeclinedTerm.OPEN: "its model is open",
    DeclinedTerm.BLOCK: "blocks too small",
    DeclinedTerm.CORRUPT: "privacy.corrupt too small",
    DeclinedTerm.FINALITY: "finality_blocks too few",
    DeclinedTerm.ROUNDS: "too many rounds",
    DeclinedTerm.SECONDS: "contribute_seconds too short",
    DeclinedTerm.SUMS: "publishes sums of blocks without noise",
    DeclinedTerm.ENCODER: "another encoder",
}


def decliners(state: RequesterState | OwnerState) -> int:
    """How many owners said something of that."""
    return len(state.declined) if isinstance(state, RequesterState) else 0


def declined(state: RequesterState | OwnerState) -> tuple[j.Declined, ...]:
    """What owners said of their policies, most often said first; a requester alone hears it."""
    if not isinstance(state, RequesterState):
        return ()
    said = Counter(term for each in state.declined for term in each.terms)
    return tuple(
        j.Declined(term.value, _DECLINED[term], owners) for term, owners in said.most_common()
    )


@dataclass(frozen=True, slots=True)
class Refusal:
    """A member's latest reason for staying out."""

    round: int
    attempt: int
    text: str


def refusals(tx: Transaction, machine: Machine) -> dict[bytes, Refusal]:
    """Peer id to its latest refusal of an attempt; only the requester hears refusals."""
    found = {}
    if isinstance(machine.state, RequesterState):
        for body in jobs.latest_messages(tx, machine.key, Refuse.__name__):
            envelope = reopen_envelope(body)
            if isinstance(envelope.body, Refuse):
                place, text = envelope.context, envelope.body.reason
                found[envelope.sender] = Refusal(place.round, place.attempt, text)
    return found


def members(
    machine: Machine,
    told: list[StoredEvent],
    lists: Lists,
    books: Evidence | None,
    refused: dict[bytes, Refusal],
) -> tuple[j.Member, ...]:
    """All enrolled members that are known here; at the requester also owners that wait for a
    block."""
    cohort, state, spec = machine.context.cohort, machine.state, machine.context.spec
    if cohort is None:
        return _waiting(state, frozenset())
    number = state.round.number if state.round is not None else 0
    blocks = machine.blocks(number)
    listed = Counter(leaf.member for _, leaves in lists.values() for leaf in leaves)
    withheld = set(books.withheld) if books is not None else set()
    owed: dict[int, int] = {}
    cheated: dict[int, int] = {}
    if isinstance(state, RequesterState):
        withheld |= state.withholding
        cheated = {each.member: each.round for each in state.cheats}
        if books is None:
            owed = {each.member: each.round for each in state.owed}
    claimed: Counter[bytes] = Counter()
    merit: Counter[bytes] = Counter()
    for stored in told:
        for claim in events.claims_of(stored.event, spec.payment.rate):
            claimed[claim.account] += claim.amount
            merit[claim.account] += claim.merit
    size = spec.packing.batch_bytes(spec.parameter_count)
    # The members of the last group have no block until the hash that draws it is final.
    drawn = (*blocks, *(None for _ in range(len(cohort.members) - len(blocks))))
    found = tuple(
        j.Member(
            account=to_checksum(member.payout),
            peer_id=identity.peer_id_text(member.peer),
            block=drawn[index],
            part=part_in(state, index, drawn[index]),
            refusal=_said(refused.get(member.peer), state),
            withheld=index in withheld,
            owes=owed.get(index),
            cheated=cheated.get(index),
            contributions=listed[index],
            bytes=listed[index] * size,
            rate=listed[index] * spec.payment.rate,
            merit=merit[member.payout],
            claimed=claimed[member.payout],
        )
        for index, member in enumerate(cohort.members)
    )
    return found + _waiting(state, frozenset(member.peer for member in cohort.members))


def _said(refusal: Refusal | None, state: RequesterState | OwnerState) -> str:
    """A refusal of the present attempt; an earlier one has been overtaken."""
    now = state.round
    if refusal is None or now is None:
        return ""
    here = (refusal.round, refusal.attempt) == (now.number, now.attempt)
    return refusal.text if here else ""


def _waiting(state: RequesterState | OwnerState, listed: frozenset[bytes]) -> tuple[j.Member, ...]:
    """Enrolled owners who stand in no list yet."""
    if not isinstance(state, RequesterState):
        return ()
    return tuple(
        j.Member(
            account=to_checksum(each.payout),
            peer_id=identity.peer_id_text(each.peer),
            block=None,
            part="enrolled",
            refusal="",
            withheld=False,
            owes=None,
            cheated=None,
            contributions=0,
            bytes=0,
            rate=0,
            merit=0,
            claimed=0,
        )
        for each in state.enrolments
        if each.peer not in listed
    )
