"""What a block deals: this node's own dealing, rosters of who left, lists of dealings, boxes.

Arithmetic runs in workers; lists are read in threads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import trio

from node.engine.engine import Machine, Wanted
from node.engine.services import Services
from node.store import records
from node.store.blobs import BlobRef
from node.store.store import Transaction
from node.work import proofs as proof_tasks
from node.work import tasks
from node.workers.compute import in_worker
from protocol.books import dealings, lists
from protocol.books.dealings import Dealer
from protocol.books.enrolment import block_members
from protocol.errors import FatalError, Malformed
from protocol.layout.shares import SharesLayout
from protocol.machines import effects, inputs, proving
from protocol.machines.machine import one_line
from protocol.requester.state import RequesterState
from protocol.wire.envelope import Envelope, reopen_envelope
from protocol.wire.messages import Contribution


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A block of an attempt as this node sees it: its members, and this one's place among them."""

    members: tuple[int, ...]
    member: int
    position: int


def whole_block(machine: Machine, round_: int, block: int) -> tuple[int, ...]:
    return block_members(machine.blocks(round_), block)


def my_place(machine: Machine, round_: int, block: int) -> Place:
    whole, me = whole_block(machine, round_, block), None
    if machine.context.cohort is not None:
        me = machine.context.cohort.index_of(machine.context.me)
    if me is None or me not in whole:
        raise FatalError(f"this owner is no member of block {block}")
    return Place(whole, me, whole.index(me))


async def work_of(services: Services, machine: Machine) -> tasks.Work:
    return tasks.Work(services.home.blobs, await services.spec_bytes(machine.context))


def envelopes_of(tx: Transaction, digests: Sequence[bytes]) -> list[Envelope]:
    found = []
    for digest in digests:
        message = records.load_message(tx, digest)
        if message is None:
            raise FatalError(f"message {digest.hex()} is gone from the store")
        found.append(reopen_envelope(message.body))
    return found


# --- the dealer's side


async def deal(
    services: Services,
    machine: Machine,
    effect: effects.ComputeContribution,
    work: tasks.Work,
    gradient: tasks.Gradient,
    private: bytes,
) -> tasks.Result:
    """This owner's dealing. Nothing of an earlier try can have left: no box's name was told."""
    cohort = machine.context.require_cohort()
    whole = whole_block(machine, effect.round, effect.block)
    keys = proof_tasks.Keys(private, tuple(cohort.members[m].sealing_key for m in whole))
    place = services.place(machine.key, effect.round, effect.attempt)
    roster, me = effect.roster_digest, machine.context.me
    return await in_worker(
        services.compute, proof_tasks.contribution, work, gradient, place, roster, me, keys
    )


async def check(
    services: Services, machine: Machine, effect: effects.ComputeCheck, work: tasks.Work
) -> tasks.Result:
    """Whether a received dealing is its sender's own, and complete."""
    blocks = machine.blocks(effect.round)
    members = len(block_members(blocks, blocks[effect.member]))
    place = services.place(machine.key, effect.round, effect.attempt)
    peer = machine.context.require_cohort().members[effect.member].peer
    blob = services.blob(effect.batch_digest)
    return await in_worker(services.compute, proof_tasks.check, work, blob, members, place, peer)


# --- rosters


def proven_roster(services: Services, machine: Machine, block: int, ready: list[Envelope]) -> bytes:
    """The blob of a roster; without noise with what shows of those who left that they cheated."""
    cheats, state, cohort = [], machine.state, machine.context.require_cohort()
    if isinstance(state, RequesterState) and not machine.context.spec.privacy.noisy:
        for cheat in state.cheats:
            if cheat.block == block:
                data = services.blobs.get(services.blob(cheat.digest))
                then = services.place(machine.key, cheat.round, cheat.attempt)
                cheats.append(dealings.cut_to(data, then, cohort, cheat.member))
    return lists.encode_proven_roster(ready, cheats)


async def check_left(
    services: Services, machine: Machine, effect: effects.Examine, members: tuple[int, ...]
) -> None:
    """Without noise, a roster's missing members must be proven to have cheated. Raises Malformed.

    Otherwise a sum without an honest member could be taken from one with it.
    """
    if machine.context.spec.privacy.noisy:
        return
    whole = whole_block(machine, effect.round, effect.block)
    missing = set(whole) - set(members)
    if not missing:
        return
    place = services.place(machine.key, effect.round, effect.attempt)
    cohort, blocks = machine.context.require_cohort(), machine.blocks(effect.round)

    def read() -> list[tuple[Dealer, tuple[tuple[int, bytes], ...]]]:
        cheats = lists.cheats_of(services.blobs.get(services.blob(effect.digest)))
        where = cohort, blocks, effect.block, place
        return [dealings.examine_cheat(*where, cheat) for cheat in cheats]

    work = await work_of(services, machine)
    for dealer, words in await trio.to_thread.run_sync(read):
        if dealer.member in missing and await in_worker(
            services.compute, proof_tasks.cheated, work, len(whole), dealer, words
        ):
            missing.discard(dealer.member)
    if missing:
        raise Malformed(
            f"member {min(missing)} is not in the roster, and nothing shows that it cheated"
        )


# --- dealings


async def assemble_dealings(
    services: Services, wanted: Wanted, effect: proving.AssembleDealings
) -> None:
    """A block's signed headers and what they name, as one blob."""
    envelopes = await services.store.read(lambda tx: envelopes_of(tx, effect.messages))

    def build() -> BlobRef:
        found = []
        for envelope in envelopes:
            if not isinstance(envelope.body, Contribution):
                raise FatalError("a stored message that was counted is no contribution")
            found.append(services.blobs.get(services.blob(envelope.body.batch_digest)))
        return services.blobs.put(dealings.encode_dealt(envelopes, found))

    ref = await trio.to_thread.run_sync(build)
    place = effect.round, effect.attempt, effect.block
    outcome = inputs.AssembledDealings(services.clock.ms(), *place, ref.digest, ref.size)
    await services.engine.feed(wanted.machine.key, outcome, wanted.id)


async def dealers_of(
    services: Services,
    machine: Machine,
    round_: int,
    attempt: int,
    block: int,
    dealt: bytes,
    roster: bytes,
) -> tuple[Dealer, ...]:
    """The dealers of a dealt list that is here. Raises Malformed."""
    place = services.place(machine.key, round_, attempt)
    cohort, blocks = machine.context.require_cohort(), machine.blocks(round_)

    def read() -> tuple[Dealer, ...]:
        data = services.blobs.get(services.blob(dealt))
        return dealings.examine_dealt(cohort, blocks, block, place, data, roster)

    return await trio.to_thread.run_sync(read)


async def examine_dealings(
    services: Services, wanted: Wanted, effect: proving.ExamineDealings
) -> None:
    """Every header is its member's own, for this attempt and roster; where this member's boxes
    are."""
    machine, place = wanted.machine, (effect.round, effect.attempt)
    mine = my_place(machine, effect.round, effect.block)
    outcome: inputs.Input
    try:
        dealers = await dealers_of(
            services, machine, *place, effect.block, effect.digest, effect.roster_digest
        )
        spec, count = machine.context.spec, len(mine.members)
        layout = SharesLayout(spec.parameter_count, spec.norm_bound, count, spec.threshold(count))
        boxes = tuple(dealer.dealing.boxes[mine.position] for dealer in dealers)
        members = tuple(dealer.member for dealer in dealers)
        outcome = inputs.ExaminedDealings(
            services.clock.ms(), *place, effect.digest, members, boxes, layout.box_bytes
        )
    except Malformed as error:
        reason = one_line(str(error))
        outcome = inputs.RejectedDealings(services.clock.ms(), *place, effect.digest, reason)
    await services.engine.feed(machine.key, outcome, wanted.id)


async def held_boxes(
    services: Services,
    machine: Machine,
    effect: proving.ComputeWords | proving.SendSum,
    dealers: Sequence[Dealer],
) -> tuple[proof_tasks.Held, ...]:
    """Each dealer with its key of the attempt, and its box if that is here."""
    cohort, blocks = machine.context.require_cohort(), machine.blocks(effect.round)
    position = my_place(machine, effect.round, effect.block).position

    def read() -> tuple[proof_tasks.Held, ...]:
        data = services.blobs.get(services.blob(effect.roster_digest))
        entries = lists.roster_entries(cohort, blocks, effect.block, data, proven=True)
        keys = {entry.member: entry.ready.mask_key for entry in entries}
        found = []
        for dealer in dealers:
            digest = dealer.dealing.boxes[position]
            size = services.blobs.size(digest)
            box = None if size is None or dealer.member not in keys else BlobRef(digest, size)
            found.append(proof_tasks.Held(dealer, keys.get(dealer.member, b""), box))
        return tuple(found)

    return await trio.to_thread.run_sync(read)
