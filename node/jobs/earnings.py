"""What this node's owners have earned: by job and round, what is due, what was paid, and by which
transaction.

Everything follows from the contract's events and from what the job's machine holds. Nothing here
changes a machine.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.chain import events
from node.engine.engine import Machine
from node.engine.services import Services
from node.jobs.audits import held_evidence
from node.store import jobs
from node.store.jobs import StoredEvent
from node.store.store import Transaction
from protocol.books.lists import decode_contributions, leaves
from protocol.owner.state import EarnedRound, OwnerState


@dataclass(frozen=True, slots=True)
class Earned:
    """Pay of one committed round (`round` from 0), or merit (None), a line for each claim of it.

    `due` and `paid` are in the smallest unit of `token` (20 bytes; zero for ether). `batch` is the
    digest of what left this node for the round, of `size` bytes; empty where the list is not here.
    `transaction` claimed it; empty while nobody has. `at` is the chain block that binds the
    contract to it, or that paid merit; 0 for merit that waits.
    """

    job: bytes
    dataset: str
    token: bytes
    round: int | None
    account: bytes
    batch: bytes
    size: int
    due: int
    paid: int
    transaction: bytes
    at: int


def earned(
    services: Services, told: dict[bytes, list[StoredEvent]], batches: bool = True
) -> list[Earned]:
    """Every line of every job here, job by job in the order of their first block, then by round.

    `told` are the contract's events by job, of the jobs that are asked for. Without `batches` no
    round's list is read for what left this node. Blocks on the disk: to be called in a thread.
    """
    found = []
    for job, said in told.items():
        lines = _of_job(services, services.engine.machines[job], said, batches)
        if lines:
            found.append(lines)
    found.sort(key=lambda lines: (lines[0].at, lines[0].job))
    return [line for lines in found for line in lines]


def told_of(tx: Transaction, wanted: tuple[bytes, ...]) -> dict[bytes, list[StoredEvent]]:
    """The contract's events of some jobs."""
    return {job: jobs.contract_events(tx, job) for job in wanted}


def _of_job(
    services: Services, machine: Machine, told: list[StoredEvent], batches: bool
) -> list[Earned]:
    state, spec = machine.state, machine.context.spec
    if not isinstance(state, OwnerState) or not state.payout:
        return []
    claims = [
        (stored.tx_hash, stored.block, claim)
        for stored in told
        for claim in events.claims_of(stored.event, spec.payment.rate)
        if claim.account == state.payout
    ]
    size = spec.packing.batch_bytes(spec.parameter_count)

    def line(round_: int | None, batch: bytes, due: int, paid: int, by: bytes, at: int) -> Earned:
        left = size if round_ is not None else 0
        token, data = spec.payment.token, state.dataset
        key, to = machine.key, state.payout
        return Earned(key, data, token, round_, to, batch, left, due, paid, by, at)

    lines, rate = [], spec.payment.rate
    for each in sorted((e for e in state.earned if e.block), key=lambda e: e.round):
        by = next((tx for tx, _, claim in claims if claim.rounds_bits >> each.round & 1), b"")
        batch = _batch(services, machine, each) if batches else b""
        lines.append(line(each.round, batch, rate, rate if by else 0, by, each.block))
    # By a sum tree merit comes with one claim; in equal shares with each claim that shows rounds.
    merit = [line(None, b"", c.merit, c.merit, tx, at) for tx, at, c in claims if c.merit]
    if not merit and (due := _merit(services, machine, state)):
        merit = [line(None, b"", due, 0, b"", 0)]
    return lines + merit


def _merit(services: Services, machine: Machine, state: OwnerState) -> int:
    """The merit that the evidence on the chain has for this owner."""
    if not state.evidence_on_chain:
        return 0
    books = held_evidence(services, machine)
    shares = () if books is None else books.merit
    return sum(share.amount for share in shares if share.account == state.payout)


def _batch(services: Services, machine: Machine, of: EarnedRound) -> bytes:
    """The digest of this owner's batch of a round, from the round's list."""
    cohort, me = machine.context.cohort, machine.context.me
    if cohort is None or services.blobs.size(of.list_digest) is None:
        return b""
    listed = leaves(decode_contributions(services.blobs.get(services.blob(of.list_digest))))
    mine = (leaf for leaf in listed if cohort.members[leaf.member].peer == me)
    return next((leaf.batch_digest for leaf in mine), b"")
