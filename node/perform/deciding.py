"""Words on a block's dealings, what they come to, and the commitment that stands on them.

Words are recorded once and for ever before they leave (store/proofs.py).
"""

from __future__ import annotations

import hashlib
import logging

import trio

from node.engine.engine import Machine, Wanted
from node.engine.services import Services
from node.perform.dealt import (
    dealers_of,
    envelopes_of,
    held_boxes,
    my_place,
    work_of,
)
from node.perform.sealing import held_sealing_key
from node.store import proofs as kept
from node.store import records
from node.store.blobs import BlobRef
from node.store.store import Transaction
from node.work import proofs as proof_tasks
from node.workers.compute import in_worker
from protocol import params
from protocol.books import dealings, lists
from protocol.books.dealings import Dealer
from protocol.books.enrolment import block_members
from protocol.errors import FatalError, Malformed
from protocol.machines import inputs, proving
from protocol.machines.machine import one_line
from protocol.wire.codec import decode_tagged, encode_tagged
from protocol.wire.envelope import Envelope
from protocol.wire.messages import Words

log = logging.getLogger("assay.proving")


async def say_words(services: Services, wanted: Wanted, effect: proving.ComputeWords) -> None:
    """Say one word on each dealer: the first that are stored are the only ones, for ever."""
    machine, place = wanted.machine, (effect.round, effect.attempt)
    ident = hashlib.sha256(machine.key + encode_tagged(effect)).digest()
    stored = await services.store.read(lambda tx: records.load_result(tx, ident))
    if stored is not None:
        outcome = decode_tagged((inputs.WordsMade,), stored, params.MAX_STREAM_MESSAGE_BYTES)
    else:
        dealers = await dealers_of(
            services, machine, *place, effect.block, effect.dealt_digest, effect.roster_digest
        )
        mine = my_place(machine, effect.round, effect.block)
        key = await trio.to_thread.run_sync(held_sealing_key, services, machine.key)
        if key is None:
            log.warning("no words are said in round %d: the sealing key is gone", effect.round)
            await services.engine.complete(wanted.id)
            return
        held = await held_boxes(services, machine, effect, dealers)
        work = await work_of(services, machine)
        found = await in_worker(
            services.compute,
            proof_tasks.words,
            work,
            len(mine.members),
            mine.position,
            key[0],
            held,
        )
        blob = found.result.blob
        if blob is None:
            raise FatalError("words without a blob")
        outcome = inputs.WordsMade(
            services.clock.ms(), *place, found.hashes, blob.digest, blob.size, found.missing
        )

    def keep(tx: Transaction) -> None:
        records.save_result(tx, ident, "ComputeWords", encode_tagged(outcome))
        said = machine.key, *place, effect.dealt_digest, outcome.digest
        kept.record_words(tx, *said)

    await services.engine.feed(machine.key, outcome, wanted.id, keep)


async def make_verdict(services: Services, wanted: Wanted, effect: proving.ComputeVerdict) -> None:
    """Put a block's words together, and see what they come to."""
    machine = wanted.machine
    cohort = machine.context.require_cohort()
    place = services.place(machine.key, effect.round, effect.attempt)
    blocks = machine.blocks(effect.round)
    envelopes = await services.store.read(lambda tx: envelopes_of(tx, effect.messages))

    def member_of(envelope: Envelope) -> int:
        member = cohort.index_of(envelope.sender)
        if member is None:
            raise FatalError("a stored message that was counted is no member's")
        return member

    def build() -> tuple[BlobRef, tuple[Dealer, ...], tuple[dealings.Said, ...], list[int]]:
        dealt = services.blobs.get(services.blob(effect.dealt_digest))
        said, words, bad = [], [], []
        for envelope in sorted(envelopes, key=member_of):
            if not isinstance(envelope.body, Words):
                raise FatalError("a stored message that was counted has no words")
            data = services.blobs.get(services.blob(envelope.body.words_digest))
            try:
                told = dealings.decode_words(data)
            except Malformed:
                told = ()
            if dealings.word_hashes(told) != envelope.body.words:
                bad.append(member_of(envelope))
                continue
            said.append(envelope)
            words.append(told)
        if not said:
            return BlobRef(b"", 0), (), (), bad
        data = dealings.encode_verdict(dealt, said, words)
        roster = effect.roster_digest
        dealers, read = dealings.examine_verdict(cohort, blocks, effect.block, place, data, roster)
        return services.blobs.put(data), dealers, read, bad

    ref, dealers, said, bad = await trio.to_thread.run_sync(build)
    whole = len(block_members(blocks, effect.block))
    judged = proof_tasks.Judged((), (), (), ())
    if said:
        work = await work_of(services, machine)
        judged = await in_worker(services.compute, proof_tasks.judge, work, whole, dealers, said)
    else:
        ref = await trio.to_thread.run_sync(services.blobs.put, b"no words")
    outcome = inputs.VerdictMade(
        services.clock.ms(),
        effect.round,
        effect.attempt,
        effect.block,
        ref.digest,
        ref.size,
        judged.passed,
        judged.failed,
        judged.able,
        tuple(bad),
        tuple((member, one_line(reason)) for member, reason in judged.reasons),
    )
    await services.engine.feed(machine.key, outcome, wanted.id)


# --- the commitment


async def assemble_listed(
    services: Services, wanted: Wanted, effect: proving.AssembleListed
) -> None:
    """The list of those that passed, each block under its verdict."""
    machine = wanted.machine
    envelopes = await services.store.read(lambda tx: envelopes_of(tx, effect.messages))
    verdicts = dict(zip(effect.blocks, effect.verdicts, strict=True))

    def build() -> tuple[BlobRef, bytes]:
        listed = lists.contribution_list(machine.blocks(effect.round), envelopes, verdicts)
        root = lists.contributions_root(machine.context.require_cohort(), listed)
        return services.blobs.put(lists.encode_contributions(listed)), root

    ref, root = await trio.to_thread.run_sync(build)
    place = effect.round, effect.attempt
    outcome = inputs.AssembledContributions(services.clock.ms(), *place, ref.digest, ref.size, root)
    await services.engine.feed(machine.key, outcome, wanted.id)


async def examine_verdict(
    services: Services, wanted: Wanted, effect: proving.ExamineVerdict
) -> None:
    """The list holds, stands under these words, and lists of this block exactly who passed."""
    outcome: inputs.Input
    try:
        outcome = await _examined(services, wanted.machine, effect)
    except Malformed as error:
        place = effect.round, effect.attempt, effect.list_digest
        reason = one_line(str(error))
        outcome = inputs.RejectedContributions(services.clock.ms(), *place, reason)
    await services.engine.feed(wanted.machine.key, outcome, wanted.id)


async def _examined(
    services: Services, machine: Machine, effect: proving.ExamineVerdict
) -> inputs.ExaminedVerdict:
    context, cohort = machine.context, machine.context.require_cohort()
    blocks, mine = machine.blocks(effect.round), my_place(machine, effect.round, effect.block)
    place = services.place(machine.key, effect.round, effect.attempt)

    def read() -> tuple[
        lists.ContributionList, bytes, tuple[Dealer, ...], tuple[dealings.Said, ...]
    ]:
        data = services.blobs.get(services.blob(effect.list_digest))
        listed, root = lists.examine_contributions(context.spec, cohort, blocks, data)
        words = services.blobs.get(services.blob(effect.verdict_digest))
        told = dealings.examine_verdict(
            cohort, blocks, effect.block, place, words, effect.roster_digest
        )
        return listed, root, *told

    listed, root, dealers, said = await trio.to_thread.run_sync(read)
    work = await work_of(services, machine)
    whole = len(mine.members)
    judged = await in_worker(services.compute, proof_tasks.judge, work, whole, dealers, said)
    own = next((each for each in listed.blocks if each.block == effect.block), None)
    members: tuple[int, ...] = ()
    dealt = b""
    if own is not None:
        if own.roster_digest != effect.verdict_digest:
            raise Malformed("the commitment lists this block under other words")
        if own.members != judged.passed:
            raise Malformed(_unlike(own.members, judged.passed))
        members = own.members
        dealt = dict(zip(own.members, own.batches, strict=True)).get(mine.member, b"")
    return inputs.ExaminedVerdict(
        services.clock.ms(),
        effect.round,
        effect.attempt,
        effect.list_digest,
        root,
        members,
        judged.failed,
        len(lists.leaves(listed)),
        dealt,
        mine.member in judged.able,
    )


def _unlike(listed: tuple[int, ...], passed: tuple[int, ...]) -> str:
    """What is wrong with a list that is not the one of those that passed."""
    if out := sorted(set(passed) - set(listed)):
        return f"the commitment leaves out member {out[0]}, which has proven its norm"
    more = sorted(set(listed) - set(passed))
    return f"the commitment lists member {more[0]}, which has proven nothing"
