"""Whole rounds that are too dear to pay in one call: nothing is sent, and claims pay instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import trio
from kits.chain.devnet import CHAIN_ID, Devnet, LocalSigner, Proxy, failure, post_args, result
from test_claim_gas import BATCH, MODEL, ROSTER, burner, deployed

from node.chain.client import ChainClient
from node.chain.fees import GWEI
from node.chain.intents.intents import Intent, IntentOutcome, Intents
from node.chain.intents.sequencer import IntentPolicy
from node.store.store import Store
from protocol.books.evidence import RoundClaim, encode_payments
from protocol.books.trees import IndexTree, contribution_detail, contribution_leaf
from protocol.books.typed_data import Commitment, Domain, commitment_digest
from protocol.books.whole import encode_whole

RATE = 100
#: Writes four words when it is paid, some 88,000 gas: what a payee gets, almost to the last.
BURNER = burner(4)


async def carried_out(
    client: ChainClient, signer: LocalSigner, store: Store, *steps: Intent
) -> list[IntentOutcome]:
    """The ends of intents, one after the other."""
    intents, ends = Intents(client, signer, store, IntentPolicy(depth=1, interval=0.05)), []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(intents.run)
        for step in steps:
            await intents.submit(step)
            ends.append(await intents.settled(step.id))
        nursery.cancel_scope.cancel()
    return ends


async def committed(
    client: ChainClient, signer: LocalSigner, store: Store, name: bytes, payouts: Sequence[bytes]
) -> tuple[Intent, list[Intent]]:
    """A job of one round, which is committed: the payment of it, and everybody's claim."""
    contract = client.contract
    assert contract is not None
    spec = signer.account + name.ljust(12, b"\0")
    job = await client.call("job_id", signer.account, spec)
    tree = IndexTree([contribution_leaf(each, 0, ROSTER, BATCH) for each in payouts])
    count, until = len(payouts), (await client.head()).timestamp + 1000
    words = job, 0, tree.root, count, MODEL, until
    signature = signer.sign_digest(
        commitment_digest(Domain(CHAIN_ID, contract), Commitment(*words))
    )
    posting = post_args(spec, rounds=1, cohort=count, rate=RATE)
    name_ = name.decode()
    ends = await carried_out(
        client,
        signer,
        store,
        Intent(f"{name_}/post", "post", posting, RATE * count),
        Intent(f"{name_}/commit", "commit", (*words, signature)),
    )
    assert [each.state for each in ends] == ["final", "final"], [each.error for each in ends]
    detail = contribution_detail(0, ROSTER, BATCH)
    call = encode_whole(0, [[(each, detail) for each in payouts]])
    args = (job, call.first, call.rounds, call.accounts, call.merits, call.lists)
    claims = []
    for n, each in enumerate(payouts):
        payment = encode_payments([RoundClaim(0, n, 0, ROSTER, BATCH, tree.proof(n))])
        claims.append(Intent(f"{name_}/claim/{n}", "claim", (job, each, payment, (0, 0, []))))
    return Intent(f"{name_}/pay", "pay", args), claims


def honest(signer: LocalSigner, number: int) -> bytes:
    """An account that nobody else pays."""
    return signer.account[:18] + number.to_bytes(2, "big")


@pytest.mark.parametrize(("burners", "state"), [(2, "final"), (12, "failed")])
async def test_many_burners_make_a_payment_too_dear_and_claims_pay_everybody(
    burners: int,
    state: str,
    client: ChainClient,
    shared: Devnet,
    signer: LocalSigner,
    store: Store,
) -> None:
    payouts = [await deployed(client, shared, signer, BURNER) for _ in range(burners)]
    payouts += [honest(signer, 256 * burners + n) for n in range(2)]
    pay, claims = await committed(client, signer, store, b"dear%d" % burners, payouts)
    nonce = shared.nonce(signer.account)
    (paid,) = await carried_out(client, signer, store, pay)
    assert paid.state == state, paid.error
    if state == "failed":
        assert "it would use" in paid.error
        assert shared.nonce(signer.account) == nonce, "nothing was spent on it"
        ends = await carried_out(client, signer, store, *claims)
        assert {each.state for each in ends} == {"final"}
    assert [await client.balance(each) for each in payouts] == [RATE] * len(payouts)


def estimates(proxy: Proxy, answer: Callable[[dict[str, Any]], bytes]) -> None:
    """The node says this of what `pay` would use."""

    def rule(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes | int | None:
        pays = request["method"] == "eth_estimateGas" and len(request["params"][0]["data"]) > 500
        return answer(request) if pays else forward()

    proxy.rule = rule


def payment(number: int) -> Intent:
    """A call that says of itself to pay so many accounts."""
    args = (bytes(32), 0, 1, number, 0, bytes(45 * number))
    return Intent(f"pay/{number}", "pay", args)


@pytest.mark.parametrize(
    "says",
    [
        "gas required exceeds allowance (16777216)",
        "Out of gas: gas required exceeds allowance: 30000000",
        "transaction gas limit too high",
    ],
)
async def test_what_no_transaction_has_gas_for_is_refused_and_does_not_wait(
    says: str, proxy: Proxy, contract: bytes, signer: LocalSigner, store: Store
) -> None:
    estimates(proxy, lambda request: failure(request, -32000, says))
    client = await ChainClient.open(proxy.url, CHAIN_ID, contract)
    with trio.fail_after(30):
        (end,) = await carried_out(client, signer, store, payment(40))
    assert (end.state, end.error) == ("failed", f"pay was refused: {says}")
    client.close()


@pytest.mark.parametrize(("used", "sent"), [(14_000_000, True), (2**24 + 1, False)])
async def test_a_payment_never_has_more_gas_than_one_transaction_may(
    used: int,
    sent: bool,
    proxy: Proxy,
    shared: Devnet,
    contract: bytes,
    signer: LocalSigner,
    store: Store,
) -> None:
    """A node takes no transaction of more (EIP-7825), and its nonce would hold up all others."""
    estimates(proxy, lambda request: result(request, hex(used)))
    client = await ChainClient.open(proxy.url, CHAIN_ID, contract)
    nonce = shared.nonce(signer.account)
    (end,) = await carried_out(client, signer, store, payment(256))
    assert end.state == "failed", "such a job is not there"
    assert shared.nonce(signer.account) == nonce + sent
    if sent:
        assert end.tx_hash is not None
        signed = shared.rpc("eth_getTransactionByHash", "0x" + end.tx_hash.hex())
        assert int(signed["gas"], 16) == 2**24
        assert int(signed["maxFeePerGas"], 16) < 200 * GWEI
    client.close()
