"""A job's whole life on the devnet through intents and watcher: every event, every view, typed."""

from __future__ import annotations

import pytest
import trio
from kits.chain.devnet import CHAIN_ID, Devnet, LocalSigner, post_args, until

from node.chain.client import ChainClient
from node.chain.cursor import Cursor
from node.chain.events import (
    EVENTS,
    Cancelled,
    Claimed,
    Committed,
    ContractEvent,
    Enrolled,
    Finished,
    Paid,
    Posted,
    Withdrawn,
    claims_of,
)
from node.chain.intents.intents import Intent, Intents
from node.chain.intents.sequencer import IntentPolicy
from node.chain.views import RoundView
from node.chain.watch import Batch, Watcher
from node.store.store import Store
from protocol.books.evidence import RoundClaim, encode_payments
from protocol.books.trees import IndexTree, Merit, SumTree, contribution_detail, contribution_leaf
from protocol.books.typed_data import Commitment, Domain, commitment_digest
from protocol.books.whole import encode_whole

RATE, MERIT = 100, 1_000


async def test_from_posting_to_withdrawal(
    client: ChainClient, contract: bytes, shared: Devnet, signer: LocalSigner, store: Store
) -> None:
    owners = [bytes([n]) * 20 for n in (0xA1, 0xA2)]
    spec = signer.account + b"life".ljust(12, b"\0")
    other = signer.account + b"other".ljust(12, b"\0")
    job = await client.call("job_id", signer.account, spec)
    cancelled = await client.call("job_id", signer.account, other)
    seen: list[ContractEvent] = []

    async def take(batch: Batch) -> None:
        seen.extend(event.event for event in batch.events if event.job in (job, cancelled))

    def order(event: ContractEvent) -> tuple[int, bytes]:
        account = event.account if isinstance(event, Claimed) else b""
        return list(EVENTS.values()).index(type(event)), account

    leaves = [contribution_leaf(owner, 0, bytes(32), bytes([9]) * 32) for owner in owners]
    tree = IndexTree(leaves)
    merit = SumTree([Merit(owners[0], 600), Merit(owners[1], 400)])
    valid_until = (await client.head()).timestamp + 1000
    commitment = Commitment(job, 0, tree.root, 2, b"\x05" * 32, valid_until)
    signature = signer.sign_digest(commitment_digest(Domain(CHAIN_ID, contract), commitment))
    posted = post_args(spec, rate=RATE)
    posted = (*posted[:5], MERIT, posted[6])
    later = (*post_args(other)[:6], posted[6] + 7200)

    def claim(position: int) -> Intent:
        payment = RoundClaim(0, position, 0, bytes(32), bytes([9]) * 32, tree.proof(position))
        proof = [(node.hash, node.total) for node in merit.proof(position)]
        amount = (600, 400)[position]
        args = (job, owners[position], encode_payments([payment]), (position, amount, proof))
        return Intent(f"claim/{position}", "claim", args)

    detail = contribution_detail(0, bytes(32), bytes([9]) * 32)
    call = encode_whole(
        0,
        [[(owner, detail) for owner in owners]],
        [Merit(owners[0], 600), Merit(owners[1], 400)],
    )
    args = (job, call.first, call.rounds, call.accounts, call.merits, call.lists)
    whole = Intent("pay", "pay", args, needs="claim/0")

    steps = [
        Intent("post", "post", posted, 15 * RATE + MERIT),
        Intent("enrol", "enrol", (job, b"\x04" * 32, 2)),
        Intent("commit", "commit", (job, 0, tree.root, 2, b"\x05" * 32, valid_until, signature)),
        Intent("finish", "finish", (job, b"\x06" * 32, b"\x07" * 32, merit.root.hash, MERIT)),
        claim(0),
        whole,
        Intent("withdraw", "withdraw", (job,)),
        Intent("post other", "post", later, 1500),
        Intent("cancel", "cancel", (cancelled,)),
    ]
    intents = Intents(client, signer, store, IntentPolicy(depth=1, interval=0.05))
    watcher = Watcher(client, Cursor(shared.number), take, interval=0.05)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(intents.run)
        nursery.start_soon(watcher.run)
        for step in steps:
            if step.function == "withdraw":
                # It would overtake `commit`, and find nothing.
                await intents.settled("commit")
            await intents.submit(step)
        for step in steps:
            outcome = await intents.settled(step.id)
            assert outcome.state == "final", outcome
        await until(lambda: len(seen) == len(steps))
        nursery.cancel_scope.cancel()
    words = [int.from_bytes(owner, "big") << 96 for owner in owners]
    [finished] = (event for event in seen if isinstance(event, Finished))
    # The first was claimed for already.
    [paid] = (event for event in seen if isinstance(event, Paid))
    assert claims_of(paid, RATE) == (Claimed(job, owners[1], RATE + 400, 1, 400),)
    # Claims may overtake each other, and the other job overtakes what waits for its forerunner.
    assert sorted((e for e in seen if e.job == job), key=order) == [
        Posted(job, signer.account, spec, bytes(20), 3, 5, RATE, MERIT, posted[6]),
        Enrolled(job, 0, b"\x04" * 32, 2),
        Committed(job, 0, tree.root, 2, b"\x05" * 32, signer.account),
        Finished(job, b"\x06" * 32, b"\x07" * 32, merit.root.hash, MERIT, finished.effective),
        Claimed(job, owners[0], RATE + 600, 1, 600),
        Withdrawn(job, 3 * RATE),
        Paid(job, 0, 1, True, (words[0], 0, words[1] | 1, 400)),
    ]
    # Two more rounds may still come until the notice is over.
    assert valid_until < finished.effective <= posted[6]
    first, last = (event for event in seen if event.job == cancelled)
    assert first == Posted(cancelled, signer.account, other, bytes(20), 3, 5, 100, 0, later[6])
    assert isinstance(last, Cancelled)
    assert {type(event) for event in seen} == set(EVENTS.values())
    assert await client.balance(owners[0]) == RATE + 600
    assert await client.balance(owners[1]) == RATE + 400
    view = await client.job(job)
    assert view is not None
    assert (view.requester, view.finished, view.held, view.unpaid) == (
        signer.account,
        True,
        10 * RATE,
        0,
    )
    assert view.merit_root == merit.root.hash
    assert await client.round(job, 0) == RoundView(tree.root[:30], 2)
    assert await client.paid(job, owners[0]) == 1 | 1 << 255
    with pytest.raises(KeyError):
        await intents.settled("nothing")
