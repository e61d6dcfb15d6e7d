"""Effects on lists of signed messages: assemble, examine, settle. Long lists run in a thread."""

from __future__ import annotations

import dataclasses
import logging

import trio

from node.engine.engine import Machine, Wanted
from node.engine.services import Services
from node.perform import dealt, publishing
from node.perform.sealing import held_sealing_key
from node.store import records
from node.store.blobs import BlobRef
from node.store.store import Transaction
from node.work import apply as apply_tasks
from node.work import secagg as secagg_tasks
from node.work import tasks
from node.workers.compute import in_worker
from protocol.addresses import to_checksum
from protocol.books import evidence, lists
from protocol.books.enrolment import Cohort, block_members, build_cohort, cohort_order
from protocol.errors import FatalError, Malformed
from protocol.machines import inputs
from protocol.machines.effects import Assemble, BlobKind, Examine, Settle
from protocol.machines.machine import JobContext, one_line
from protocol.owner.state import OwnerState
from protocol.requester.state import RequesterState
from protocol.wire.envelope import Envelope, reopen_envelope

log = logging.getLogger("assay.lists")


async def assemble(services: Services, wanted: Wanted, effect: Assemble) -> None:
    """Build a list from stored messages; the cohort's goes into the context as well."""
    machine = wanted.machine
    envelopes = await services.store.read(lambda tx: _load(tx, effect.messages))

    def build() -> tuple[bytes, bytes, Cohort | None]:
        context = machine.context
        if effect.kind is BlobKind.COHORT:
            groups, at = [], 0
            for count in effect.groups:
                group = envelopes[at : at + count]
                groups.append(cohort_order(context.spec, context.job, group))
                at += count
            cohort = build_cohort(context.spec, context.job, groups)
            return lists.encode_cohort(groups), cohort.root, cohort
        if effect.kind is BlobKind.ROSTER and machine.context.spec.proves:
            return dealt.proven_roster(services, machine, effect.block, envelopes), b"", None
        if effect.kind is BlobKind.ROSTER:
            return lists.encode_roster(envelopes), b"", None
        listed = lists.contribution_list(machine.blocks(effect.round), envelopes)
        root = lists.contributions_root(context.require_cohort(), listed)
        return lists.encode_contributions(listed), root, None

    data, root, cohort = await trio.to_thread.run_sync(build)
    ref = await trio.to_thread.run_sync(services.blobs.put, data)
    if cohort is not None:
        machine.context = dataclasses.replace(machine.context, cohort=cohort)
    outcome = _assembled(services.clock.ms(), effect, ref, root)
    await services.engine.feed(machine.key, outcome, wanted.id)


def _assembled(at: int, effect: Assemble, ref: BlobRef, root: bytes) -> inputs.Input:
    place = effect.round, effect.attempt
    match effect.kind:
        case BlobKind.COHORT:
            return inputs.AssembledCohort(at, ref.digest, ref.size, root)
        case BlobKind.ROSTER:
            block = effect.block
            return inputs.AssembledRoster(at, *place, block, ref.digest, ref.size)
        case BlobKind.CONTRIBUTIONS:
            return inputs.AssembledContributions(at, *place, ref.digest, ref.size, root)


def _load(tx: Transaction, digests: tuple[bytes, ...]) -> list[Envelope]:
    found = []
    for digest in digests:
        message = records.load_message(tx, digest)
        if message is None:
            raise FatalError(f"message {digest.hex()} is gone from the store")
        found.append(reopen_envelope(message.body))
    return found


async def examine(services: Services, wanted: Wanted, effect: Examine) -> None:
    """Verify a fetched list whole, signatures and roots included."""
    machine = wanted.machine
    outcome: inputs.Input
    try:
        outcome, cohort = await trio.to_thread.run_sync(_examine, services, machine, effect)
        if cohort is not None:
            _follow(machine, effect.digest, cohort)
        if isinstance(outcome, inputs.ExaminedRoster) and machine.context.spec.proves:
            await dealt.check_left(services, machine, effect, outcome.members)
    except Malformed as error:
        outcome = _rejected(services.clock.ms(), effect, one_line(str(error)))
    await services.engine.feed(machine.key, outcome, wanted.id)


def _rejected(at: int, effect: Examine, reason: str) -> inputs.Input:
    place = effect.round, effect.attempt, effect.digest
    match effect.kind:
        case BlobKind.COHORT:
            return inputs.RejectedCohort(at, effect.digest, reason)
        case BlobKind.ROSTER:
            return inputs.RejectedRoster(at, *place, reason)
        case BlobKind.CONTRIBUTIONS:
            return inputs.RejectedContributions(at, *place, reason)


def _follow(machine: Machine, digest: bytes, cohort: Cohort) -> None:
    """From now on this cohort list says which member an index means.

    The machine compares the list with the chain later, maybe much later. Until then rounds that are
    still due are examined and released by this list. So it must contain, unchanged, every list by
    which rounds were run: otherwise an index in a commitment would come to mean another member, and
    the released shares would open one contribution alone. Raises Malformed if it does not.
    """
    state = machine.state
    if not isinstance(state, OwnerState) or state.cohort_digest != digest:
        return  # looked at for longer than its opening lasted: a later one names another list
    if state.held_groups:
        held = machine.context.require_cohort().first(state.held_groups)
        if not cohort.continues(held):
            raise Malformed("it is not the list that rounds were run by before, continued")
    machine.context = dataclasses.replace(machine.context, cohort=cohort)


def _examine(
    services: Services, machine: Machine, effect: Examine
) -> tuple[inputs.Input, Cohort | None]:
    """What a list says; the cohort if it is one. Raises Malformed where it does not hold."""
    data = services.blobs.get(services.blob(effect.digest))
    match effect.kind:
        case BlobKind.COHORT:
            return _examine_cohort(services, machine.context, effect, data)
        case BlobKind.ROSTER:
            return _examine_roster(services, machine, effect, data), None
        case BlobKind.CONTRIBUTIONS:
            return _examine_contributions(services.clock.ms(), machine, effect, data), None


def _examine_cohort(
    services: Services, context: JobContext, effect: Examine, data: bytes
) -> tuple[inputs.Input, Cohort]:
    cohort = lists.examine_cohort(context.spec, context.job, data)
    me, mine = cohort.index_of(context.me), b""
    key = held_sealing_key(services, context.job)
    if me is not None and key is not None and cohort.members[me].sealing_key == key[1]:
        mine = cohort.members[me].digest
    elif me is not None:
        # A restored node: others seal their shares to a key that it no longer has.
        log.warning("job %s: this node's sealing key is not the enrolled one", context.job.hex())
    if me is not None and _pays_others(cohort, me):
        log.warning(
            "job %s: payout account %s stands for another owner too: a round pays it once",
            context.job.hex(),
            to_checksum(cohort.members[me].payout),
        )
    count = len(cohort.members)
    told = inputs.ExaminedCohort(services.clock.ms(), effect.digest, cohort.roots, count, mine)
    return told, cohort


def _pays_others(cohort: Cohort, me: int) -> bool:
    """Whether another member names this one's payout account."""
    account = cohort.members[me].payout
    return any(index != me and each.payout == account for index, each in enumerate(cohort.members))


def _examine_roster(
    services: Services, machine: Machine, effect: Examine, data: bytes
) -> inputs.Input:
    """The whole roster holds, and every member's box opens to the shares that it hashed."""
    context, cohort = machine.context, machine.context.require_cohort()
    blocks = machine.blocks(effect.round)
    place = services.place(context.job, effect.round, effect.attempt)
    entries = lists.examine_roster(
        context.spec, cohort, blocks, effect.block, place, effect.binding, data
    )
    members = tuple(entry.member for entry in entries)
    me = cohort.index_of(context.me)
    mine = next((lists.ready_digest(e.ready) for e in entries if e.member == me), b"")
    whole = block_members(blocks, effect.block)
    key = held_sealing_key(services, context.job)
    if me is not None and mine and key is not None and not context.spec.proves:
        peers = {member: cohort.members[member].peer for member in whole}
        secagg_tasks.open_shares(key[0], place, entries, peers, me, whole.index(me))
    about = effect.round, effect.attempt, effect.digest
    return inputs.ExaminedRoster(services.clock.ms(), *about, members, mine)


def _examine_contributions(at: int, machine: Machine, effect: Examine, data: bytes) -> inputs.Input:
    """A commitment's list, and what it says of this owner's block under its own roster."""
    context, cohort = machine.context, machine.context.require_cohort()
    blocks = machine.blocks(effect.round)
    listed, root = lists.examine_contributions(context.spec, cohort, blocks, data)
    own = next((b for b in listed.blocks if b.block == effect.block), None)
    members: tuple[int, ...] = ()
    mine = b""
    if own is not None and own.roster_digest == effect.binding:
        members = own.members
        batches = dict(zip(own.members, own.batches, strict=True))
        me = cohort.index_of(context.me)
        mine = b"" if me is None else batches.get(me, b"")
    count, about = len(lists.leaves(listed)), (effect.round, effect.attempt, effect.digest)
    return inputs.ExaminedContributions(at, *about, root, members, count, mine)


async def settle(services: Services, wanted: Wanted, effect: Settle) -> None:
    """Close the books: evidence and merit tree over all rounds."""
    machine = wanted.machine
    context, state = machine.context, machine.state
    if not isinstance(state, RequesterState):
        raise FatalError("only a requester settles a job")

    cohort = context.require_cohort().first(state.adopted)
    worths = None
    if effect.worth:
        work = tasks.Work(services.home.blobs, await services.spec_bytes(context))
        record = services.blob(effect.worth)
        worths = await in_worker(
            services.compute, apply_tasks.worths, work, record, len(cohort.members)
        )

    # A job that is wound up shares its pot equally, whatever was measured.
    holdout = None if state.settling else await publishing.publish(services, machine)

    def build() -> tuple[bytes, bytes, tuple[bytes, ...]]:
        rounds = [
            lists.leaves(
                lists.decode_contributions(services.blobs.get(services.blob(r.list_digest)))
            )
            for r in state.records
        ]
        pot = context.spec.payment.merit
        books = evidence.close_books(
            context.job, context.spec_digest, pot, state, cohort, rounds, worths, effect.withheld
        )
        if holdout is not None:
            record = services.blob(effect.worth) if effect.worth else BlobRef(b"", 0)
            books = dataclasses.replace(
                books,
                holdout_digest=holdout.digest,
                holdout_size=holdout.size,
                record_digest=record.digest,
                record_size=record.size,
            )
        data = evidence.encode_evidence(books)
        return data, evidence.merit_tree(books).root.hash, evidence.payouts(cohort, rounds)

    data, root, accounts = await trio.to_thread.run_sync(build)
    ref = await trio.to_thread.run_sync(services.blobs.put, data)
    outcome = inputs.Settled(services.clock.ms(), ref.digest, ref.size, root, accounts)
    await services.engine.feed(machine.key, outcome, wanted.id)
