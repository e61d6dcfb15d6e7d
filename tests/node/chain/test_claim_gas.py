"""A payout account whose code burns gas costs nobody else anything, and holds up nobody."""

from __future__ import annotations

import pytest
import trio
from kits.chain.devnet import CHAIN_ID, Devnet, LocalSigner, post_args

from node.chain.client import ChainClient
from node.chain.intents.intents import Intent, Intents
from node.chain.intents.sequencer import IntentPolicy
from node.store.store import Store
from protocol.books.evidence import RoundClaim, encode_payments
from protocol.books.trees import IndexTree, contribution_detail, contribution_leaf
from protocol.books.typed_data import Commitment, Domain, commitment_digest
from protocol.books.whole import encode_whole

ROSTER, BATCH, MODEL = bytes(32), b"\x09" * 32, b"\x05" * 32


def burner(words: int) -> bytes:
    """Creation code of a contract that writes so many words of storage whenever it is paid."""
    #         PUSH2 n, then: JUMPDEST DUP1 DUP1 SSTORE, n - 1, until it is 0; STOP
    runtime = b"\x61" + words.to_bytes(2, "big") + bytes.fromhex("5b8080556001900380600357" + "00")
    return bytes.fromhex(f"60{len(runtime):02x}80600b6000396000f3") + runtime


async def deployed(client: ChainClient, devnet: Devnet, signer: LocalSigner, code: bytes) -> bytes:
    """The address of a contract with this creation code."""
    transaction = {
        "chainId": CHAIN_ID,
        "nonce": devnet.nonce(signer.account),
        "gas": 1_000_000,
        "maxFeePerGas": 10**10,
        "maxPriorityFeePerGas": 10**9,
        "value": 0,
        "data": code,
        "type": 2,
    }
    sent = devnet.rpc("eth_sendRawTransaction", "0x" + signer.sign_transaction(transaction).hex())
    devnet.rpc("evm_mine")
    receipt = await client.receipt(bytes.fromhex(sent[2:]))
    assert receipt is not None
    assert receipt.contract is not None
    return receipt.contract


# One that takes a block's whole gas could not be sent at all, and jams the nonce behind it.
@pytest.mark.parametrize("words", [60, 1_100], ids=["dear", "more than a block holds"])
async def test_who_burns_gas_is_not_paid_at_anothers_expense(
    words: int,
    client: ChainClient,
    contract: bytes,
    shared: Devnet,
    signer: LocalSigner,
    store: Store,
) -> None:
    hostile = await deployed(client, shared, signer, burner(words))
    payouts = [hostile, signer.account[:19] + b"\x01"]
    spec = signer.account + b"burner".ljust(12, b"\0")
    job = await client.call("job_id", signer.account, spec)
    tree = IndexTree([contribution_leaf(each, 0, ROSTER, BATCH) for each in payouts])
    until = (await client.head()).timestamp + 1000
    commitment = Commitment(job, 0, tree.root, 2, MODEL, until)
    signature = signer.sign_digest(commitment_digest(Domain(CHAIN_ID, contract), commitment))

    def claim(position: int) -> Intent:
        payment = RoundClaim(0, position, 0, ROSTER, BATCH, tree.proof(position))
        args = (job, payouts[position], encode_payments([payment]), (0, 0, []))
        return Intent(f"claim/{position}", "claim", args)

    detail = contribution_detail(0, ROSTER, BATCH)
    call = encode_whole(0, [[(each, detail) for each in payouts]])
    args = (job, call.first, call.rounds, call.accounts, call.merits, call.lists)
    whole = Intent("pay", "pay", args)

    intents = Intents(client, signer, store, IntentPolicy(depth=1, interval=0.05))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(intents.run)
        for step in (
            Intent("post", "post", post_args(spec), 1500),
            Intent("commit", "commit", (job, 0, tree.root, 2, MODEL, until, signature)),
        ):
            await intents.submit(step)
            assert (await intents.settled(step.id)).state == "final"
        await intents.submit(claim(0))
        refused = await intents.settled("claim/0")
        await intents.submit(whole)
        paid = await intents.settled("pay")
        nursery.cancel_scope.cancel()
    assert (paid.state, refused.state) == ("final", "failed")
    assert refused.gas_used is None
    assert paid.gas_used is not None
    assert paid.gas_used < 300_000
    assert await client.balance(payouts[1]) == 100
    # It stays owed: whoever wants to pay for that gas can still claim it.
    assert await client.paid(job, hostile) == 0
