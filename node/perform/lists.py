"""Effects on lists of signed messages: assemble, examine, settle. Long lists run in a thread."""

from __future__ import annotations

import dataclasses

import trio

from node import records
from node.engine import Wanted, unix_ms
from node.perform.services import Services
from node.store import Transaction
from protocol import evidence, inputs, lists
from protocol.effects import Assemble, BlobKind, Examine, Settle
from protocol.enrolment import Cohort, cohort_order, draw_blocks
from protocol.envelope import Envelope, envelope_digest, open_envelope
from protocol.errors import FatalError, Malformed
from protocol.machine import JobContext, one_line
from protocol.messages import Contribution
from protocol.owner_state import OwnerState
from protocol.requester_state import RequesterState
from protocol.trees import index_root


async def assemble(services: Services, wanted: Wanted, effect: Assemble) -> None:
    """Build a list from stored messages; the cohort's goes into the context as well."""
    machine = wanted.machine
    envelopes = await services.store.read(lambda tx: _load(tx, effect.messages))

    def build() -> tuple[bytes, bytes, Cohort | None]:
        context, ordered, cohort, root = machine.context, list(envelopes), None, b""
        if effect.kind is BlobKind.COHORT:
            ordered = cohort_order(context.spec, context.job, ordered)
            data = lists.encode_list(ordered)
            cohort = lists.examine_cohort(context.spec, context.job, data)
            root = cohort.root
        else:
            data = lists.encode_list(ordered)
        if effect.kind is BlobKind.CONTRIBUTIONS:
            tree = [lists.contribution_leaf_of(context.require_cohort(), e) for e in ordered]
            root = index_root(tree)
        return data, root, cohort

    data, root, cohort = await trio.to_thread.run_sync(build)
    ref = await trio.to_thread.run_sync(services.blobs.put, data)
    if cohort is not None:
        machine.context = dataclasses.replace(machine.context, cohort=cohort)
    outcome = inputs.Assembled(
        unix_ms(), effect.kind, effect.round, effect.attempt, ref.digest, ref.size, root
    )
    await services.engine.feed(machine.key, outcome, wanted.id)


def _load(tx: Transaction, digests: tuple[bytes, ...]) -> list[Envelope]:
    found = []
    for digest in digests:
        message = records.load_message(tx, digest)
        if message is None:
            raise FatalError(f"message {digest.hex()} is gone from the store")
        found.append(open_envelope(message.body))
    return found


async def examine(services: Services, wanted: Wanted, effect: Examine) -> None:
    """Verify a fetched list whole, signatures and root included."""
    machine = wanted.machine
    place = effect.kind, effect.round, effect.attempt, effect.digest
    data = await trio.to_thread.run_sync(services.blobs.get, services.blob(effect.digest))
    outcome: inputs.Examined | inputs.Rejected
    try:
        found = await trio.to_thread.run_sync(
            _examine, machine.context, machine.state, services, effect, data
        )
    except Malformed as error:
        outcome = inputs.Rejected(unix_ms(), *place, one_line(str(error)))
    else:
        root, members, mine, cohort = found
        if cohort is not None:
            machine.context = dataclasses.replace(machine.context, cohort=cohort)
        outcome = inputs.Examined(unix_ms(), *place, root, members, mine)
    await services.engine.feed(machine.key, outcome, wanted.id)


def _examine(
    context: JobContext,
    state: OwnerState | RequesterState,
    services: Services,
    effect: Examine,
    data: bytes,
) -> tuple[bytes, tuple[int, ...], bytes, Cohort | None]:
    """Root, members in order, what it lists for this node, and the cohort if it is one."""
    mine = b""
    if effect.kind is BlobKind.COHORT:
        cohort = lists.examine_cohort(context.spec, context.job, data)
        for envelope in lists.decode_list(data):
            if envelope.sender == context.me:
                mine = envelope_digest(envelope)
        return cohort.root, tuple(range(len(cohort.members))), mine, cohort
    cohort = context.require_cohort()
    blocks = draw_blocks(cohort, context.spec.cohort, state.seed)
    place = services.place(context.job, effect.round, effect.attempt)
    if effect.kind is BlobKind.FROZEN:
        listed = lists.examine_frozen(cohort, blocks, place, effect.binding, data)
    else:
        listed = lists.examine_contributions(cohort, blocks, place, effect.binding, data)
    for envelope in lists.decode_list(data):
        if envelope.sender == context.me:
            body = envelope.body
            mine = envelope_digest(envelope)
            if isinstance(body, Contribution):
                mine = body.batch_digest
    return listed.root, listed.members, mine, None


async def settle(services: Services, wanted: Wanted, effect: Settle) -> None:
    """Close the books: evidence and merit tree over all rounds."""
    machine = wanted.machine
    context, state = machine.context, machine.state
    if not isinstance(state, RequesterState):
        raise FatalError("only a requester settles a job")

    def build() -> tuple[bytes, bytes, tuple[bytes, ...]]:
        cohort = context.require_cohort()
        rounds = [
            lists.decode_list(services.blobs.get(services.blob(record.list_digest)))
            for record in state.records
        ]
        pot = context.spec.payment.merit
        books = evidence.close_books(context.job, context.spec_digest, pot, state, cohort, rounds)
        data = evidence.encode_evidence(books)
        return data, evidence.merit_tree(books).root.hash, evidence.payouts(cohort, rounds)

    data, root, accounts = await trio.to_thread.run_sync(build)
    ref = await trio.to_thread.run_sync(services.blobs.put, data)
    outcome = inputs.Settled(unix_ms(), ref.digest, ref.size, root, accounts)
    await services.engine.feed(machine.key, outcome, wanted.id)
