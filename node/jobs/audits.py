"""Lists and evidence that this node holds: contributors, claims, and the audit of the books.

Functions here block (disk, signatures): the caller runs them in a thread.
"""

from __future__ import annotations

from typing import Final

import trio

from node.chain import events
from node.chain.views import JobView
from node.engine.engine import Machine
from node.engine.services import Services
from node.jobs.remeasuring import remeasured
from node.store.jobs import StoredEvent
from protocol.books import evidence, lists
from protocol.books.audit import ChainBooks, ChainRound, Check, audit
from protocol.books.evidence import ClaimProof, Evidence
from protocol.books.lists import Leaf
from protocol.errors import Malformed, StateError
from protocol.machines.job import OVER, JobPhase
from protocol.owner.state import OwnerState
from protocol.requester.state import RequesterState

#: No further round will be committed.
_TRAINED: Final = (JobPhase.FINISHING, JobPhase.PAYING, *OVER)

Lists = dict[int, tuple[bytes, tuple[Leaf, ...]]]


def _read_lists(services: Services, machine: Machine, wanted: dict[int, bytes]) -> Lists:
    """The contribution lists of these digests that are here, by round: the blob, its contributors.

    Evidence is its requester's word, and may call anything a list: what is none is left out.
    """
    cohort = machine.context.cohort
    count = None if cohort is None else len(cohort.members)
    found: Lists = {}
    for number, digest in sorted(wanted.items()):
        if services.blobs.size(digest) is None:
            continue
        data = services.blobs.get(services.blob(digest))
        try:
            leaves = lists.leaves(lists.decode_contributions(data))
        except Malformed:
            continue
        if count is None or all(leaf.member < count for leaf in leaves):
            found[number] = data, leaves
    return found


def _own_lists(machine: Machine) -> dict[int, bytes]:
    """Digests of lists that were examined here, by round."""
    state = machine.state
    if isinstance(state, RequesterState):
        return {r.number: r.list_digest for r in state.records}
    # Nothing can be claimed for a round that the chain does not hold.
    return {e.round: e.list_digest for e in state.earned if e.block}


def _named_lists(books: Evidence | None) -> dict[int, bytes]:
    """Digests of lists as the evidence has them."""
    return {} if books is None else {r.number: r.list_digest for r in books.rounds}


def known_lists(services: Services, machine: Machine) -> Lists:
    """The lists of every committed round that this node can see."""
    named = _named_lists(held_evidence(services, machine)) | _own_lists(machine)
    return _read_lists(services, machine, named)


def held_evidence(services: Services, machine: Machine) -> Evidence | None:
    """The job's evidence if it is here. What a requester calls evidence and is none is as good as
    none: no view of this node, and no pay, hangs on it."""
    try:
        return _evidence(services, machine)
    except Malformed:
        return None


def _evidence(services: Services, machine: Machine) -> Evidence | None:
    """The same. Raises Malformed where its bytes are none."""
    digest = machine.state.evidence_digest
    if not digest or services.blobs.size(digest) is None:
        return None
    return evidence.decode_evidence(services.blobs.get(services.blob(digest)))


def claims(
    services: Services, machine: Machine, account: bytes | None, merit_root: bytes
) -> list[ClaimProof]:
    """Proofs for one account, or for everybody who has something to claim.

    Merit is proved for a job that was finished on the chain, where the contract has `merit_root`
    (32 bytes; empty: none). A job that closed otherwise has equal shares, which need no proof; and
    under another root none can be given, which is no reason to leave a round unpaid. Raises
    StateError if nothing is settled yet, or a list is missing here. An owner's own pay needs the
    lists alone that it examined itself: what the evidence says of others cannot hold it up.
    """
    cohort, state = machine.context.cohort, machine.state
    books, wanted = held_evidence(services, machine), _own_lists(machine)
    if not (wanted and isinstance(state, OwnerState) and account == state.payout):
        wanted = _named_lists(books) | wanted
    held = _read_lists(services, machine, wanted)
    if cohort is None or not held:
        raise StateError("nothing is committed yet that could be claimed")
    if books is not None:
        missing = [number for number in sorted(wanted) if number not in held]
        if missing:
            raise StateError(f"the contribution list of round {missing[0]} is not here yet")
    rounds = [(number, leaves) for number, (_, leaves) in held.items()]
    accounts = evidence.payouts(cohort, [leaves for _, leaves in rounds])
    if account is not None:
        if account not in accounts:
            raise StateError(f"0x{account.hex()} has contributed to no committed round")
        accounts = (account,)
    merit = books if _finished(machine) and _merit_root(books) == merit_root else None
    proved = evidence.Claims(cohort, rounds, merit)
    return [proved.of(each) for each in accounts]


def _merit_root(books: Evidence | None) -> bytes | None:
    """The root of the evidence's merit; None where it makes no tree."""
    try:
        return None if books is None else evidence.merit_tree(books).root.hash
    except ValueError:
        return None


def _finished(machine: Machine) -> bool:
    """Whether the evidence that is here stands on the chain."""
    state = machine.state
    if isinstance(state, OwnerState):
        return bool(state.evidence_on_chain)
    return not state.settling


async def audit_job(
    services: Services, machine: Machine, told: list[StoredEvent], read_to: int
) -> tuple[Check, ...]:
    """All checks of a finished job. Raises StateError where the evidence is not here.

    `told` are the contract's events up to chain block `read_to`. What the contract holds is asked
    as of that block: a claim that was mined since would be money gone that nobody claimed.
    """
    context = machine.context
    if machine.state.phase in _TRAINED and not any(
        isinstance(stored.event, events.Committed) for stored in told
    ):
        raise StateError("the job ended and nothing was committed: there is nothing to audit")
    view = await services.chain.job(machine.key, at=read_to)
    blocks = [stored.block for stored in told if isinstance(stored.event, events.Enrolled)]
    if view is None or not blocks:
        raise StateError("the job has not come far enough to be audited")
    # If no chain block follows a root yet, its blocks are not drawn, and nobody of it is in a
    # round.
    hashes = [await services.chain.block_hash(block + 1) for block in blocks]
    seeds, tokens = tuple(found or b"" for found in hashes), services.tokens_shown()

    measured = await remeasured(services, machine)

    def check() -> tuple[Check, ...]:
        try:
            books = _evidence(services, machine)
        except Malformed as error:
            return (
                Check("evidence", False, f"what the requester calls evidence is none: {error}"),
            )
        if books is None or context.cohort is None:
            raise StateError("the job's evidence is not here: it is audited once it is finished")
        # What the evidence names is judged, whatever this node examined before.
        named = _own_lists(machine) | _named_lists(books)
        held = _read_lists(services, machine, named)
        on_chain = chain_books(view, told, seeds)
        groups = len(books.seeds)
        if len(context.cohort.roots) < groups <= len(on_chain.enrol_roots):
            raise StateError("the list of owners who came last is not here: they contributed too")
        return audit(
            context.spec,
            context.spec_digest,
            machine.key,
            context.cohort.first(groups),  # the last group may have taken part in no round
            books,
            machine.state.evidence_digest,
            held,
            on_chain,
            tokens,
            measured,
        )

    return await trio.to_thread.run_sync(check)


def chain_books(view: JobView, told: list[StoredEvent], seeds: tuple[bytes, ...]) -> ChainBooks:
    """The contract's events and state, as the audit reads them; `seeds` are those of the roots, in
    order."""
    said = [stored.event for stored in told]
    posted = next(e for e in said if isinstance(e, events.Posted))
    finished = next((e for e in said if isinstance(e, events.Finished)), None)
    claimed: dict[bytes, int] = {}
    for each in (claim for e in said for claim in events.claims_of(e, posted.rate)):
        claimed[each.account] = claimed.get(each.account, 0) + each.amount
    return ChainBooks(
        spec_digest=posted.spec_digest,
        enrol_roots=tuple(e.root for e in said if isinstance(e, events.Enrolled)),
        seeds=seeds,
        rounds={
            e.round: ChainRound(e.root, e.count, e.model_digest)
            for e in said
            if isinstance(e, events.Committed)
        },
        final_model=finished.model_digest if finished else b"",
        evidence_digest=finished.evidence_digest if finished else b"",
        merit_root=finished.merit_root if finished else b"",
        escrowed=posted.rounds * posted.cohort * posted.rate + posted.merit,
        claimed=claimed,
        withdrawn=sum(e.amount for e in said if isinstance(e, events.Withdrawn)),
        held=view.held,
    )
