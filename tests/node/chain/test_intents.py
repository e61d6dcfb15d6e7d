"""Intents against a devnet: once each, whatever chain, node and other users of the key do."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import trio
from kits.chain.devnet import (
    CHAIN_ID,
    ETHER,
    SIGNERS,
    Devnet,
    LocalSigner,
    Proxy,
    failure,
    post_args,
    result,
    until,
)
from kits.chain.intents import Opener, events, post, send_foreign, until_error

from node.chain.client import ChainClient
from node.chain.errors import Reverted
from node.chain.intents import rows as intent_rows
from node.chain.intents.intents import Intent, IntentOutcome
from node.chain.intents.sequencer import IntentPolicy
from node.store.store import Store
from protocol.addresses import to_checksum
from protocol.errors import InputError


async def test_an_intent_ends_as_one_final_transaction(
    opened: Opener, shared: Devnet, contract: bytes, signer: LocalSigner
) -> None:
    told: list[IntentOutcome] = []

    async def tell(outcome: IntentOutcome) -> None:
        told.append(outcome)

    async with opened(told=tell) as intents:
        intent = post()
        assert (await intents.submit(intent)).state == "queued"
        outcome = await intents.settled(intent.id)
        assert outcome.state == "final"
        assert outcome.gas_used is not None
        assert outcome.gas_used > 21_000
        again = await intents.submit(intent)
        assert again == outcome
    assert [o.state for o in told][-1] == "final"
    assert {o.state for o in told} <= {"mined", "final"}
    assert told[-1] == outcome
    assert len(await events(shared, contract, signer)) == 1
    receipt = shared.rpc("eth_getTransactionReceipt", "0x" + (outcome.tx_hash or b"").hex())
    assert int(receipt["gasUsed"], 16) == outcome.gas_used
    assert int(receipt["blockNumber"], 16) == outcome.block


async def test_an_id_stands_for_one_thing(opened: Opener) -> None:
    async with opened() as intents:
        await intents.submit(post(1))
        with pytest.raises(InputError, match="already stands for another post"):
            await intents.submit(Intent(post(1).id, "post", post_args(b"\x02" * 32), 1500))
        with pytest.raises(InputError, match="mint"):
            await intents.submit(Intent("x", "mint", ()))
        with pytest.raises(InputError, match="intent: 1 to"):
            await intents.submit(Intent("x" * 201, "cancel", (bytes(32),)))
        with pytest.raises(KeyError):
            await intents.settled("never")


async def test_a_doomed_call_is_refused_before_a_nonce_is_used(
    opened: Opener, shared: Devnet, signer: LocalSigner
) -> None:
    async with opened() as intents:
        await intents.submit(Intent("bad", "cancel", (b"\x09" * 32,)))
        outcome = await intents.settled("bad")
    assert outcome.state == "failed"
    assert outcome.error == "cancel was refused: bounty: unknown job"
    assert outcome.tx_hash is None
    assert shared.nonce(signer.account, "pending") == 0


async def test_a_chain_of_dependent_calls_goes_through_in_one_go(
    opened: Opener, shared: Devnet, contract: bytes, signer: LocalSigner
) -> None:
    """Each is refused on the state before its forerunner: that does not doom it."""
    async with opened() as intents:
        client = await ChainClient.open(shared.url, CHAIN_ID, contract)
        job = await client.call("job_id", signer.account, b"\x01" * 32)
        wanted = [
            post(1),
            Intent("enrol", "enrol", (job, b"\x02" * 32, 2)),
            Intent("finish", "finish", (job, bytes(32), bytes(32), bytes(32), 0)),
        ]
        for intent in wanted:
            await intents.submit(intent)
        assert [(await intents.settled(i.id)).state for i in wanted] == ["final"] * 3
    names = [type(event).__name__ for event in await events(shared, contract, signer)]
    assert names == ["Posted", "Enrolled", "Finished"]
    view = await client.job(job)
    assert view is not None
    assert (view.finished, view.enrolled, view.held) == (True, 2, 1500)


async def test_none_overtakes_another_that_waits_for_the_same_block(
    opened: Opener, shared: Devnet, contract: bytes, signer: LocalSigner
) -> None:
    """The block that both wait for comes between their simulations: the first keeps its place."""
    async with opened() as intents:
        client = intents._client
        job = await client.call("job_id", signer.account, b"\x01" * 32)
        estimate = client.estimate

        async def with_a_block_behind(*args: Any) -> int:
            try:
                return await estimate(*args)
            except Reverted:
                head = shared.number
                await until(lambda: shared.number > head + 1)
                raise

        client.estimate = with_a_block_behind  # type: ignore[method-assign]
        wanted = [
            post(1),
            Intent("enrol", "enrol", (job, b"\x02" * 32, 2)),
            Intent("finish", "finish", (job, bytes(32), bytes(32), bytes(32), 0)),
        ]
        for intent in wanted:
            await intents.submit(intent)
        assert [(await intents.settled(i.id)).state for i in wanted] == ["final"] * 3
    names = [type(event).__name__ for event in await events(shared, contract, signer)]
    assert names == ["Posted", "Enrolled", "Finished"]


async def test_what_somebody_else_did_first_fails_with_the_contracts_word(
    opened: Opener, shared: Devnet, contract: bytes, signer: LocalSigner
) -> None:
    """A race that simulation cannot see: both are in one block, the other one first."""
    client = await ChainClient.open(shared.url, CHAIN_ID, contract)
    requester, rival = signer, SIGNERS[1]
    async with opened() as intents:
        await intents.submit(post(1))
        await intents.settled(post(1).id)
        job = await client.call("job_id", requester.account, b"\x01" * 32)
        until_ = (await client.head()).timestamp + 1000
        fields = (job, 0, b"\x03" * 32, 2, b"\x04" * 32, until_)
        signature = requester.sign_digest(await client.call("commitment_digest", *fields))
        data = client.codec.encode("commit", (*fields, signature))
        held: list[bytes] = []
        send = intents._client.send

        async def rival_first(raw: bytes) -> None:
            raw_rival = rival.sign_transaction(
                {
                    "type": 2,
                    "chainId": CHAIN_ID,
                    "nonce": shared.nonce(rival.account),
                    "gas": 500_000,
                    "maxFeePerGas": 10**11,
                    "maxPriorityFeePerGas": 10**10,
                    "to": contract,
                    "value": 0,
                    "data": data,
                }
            )
            if not held:
                held.append(raw_rival)
                await client.send(raw_rival)
            await send(raw)

        intents._client.send = rival_first  # type: ignore[method-assign]
        await intents.submit(Intent("commit", "commit", (*fields, signature)))
        outcome = await intents.settled("commit")
        assert outcome.state == "failed"
        assert "bounty: not the next round" in outcome.error or "changed the answer" in (
            outcome.error
        )
        intents._client.send = send  # type: ignore[method-assign]
        await intents.submit(Intent("commit again", "commit", (*fields, signature)))
        refused = await intents.settled("commit again")
    assert refused.error == "commit was refused: bounty: not the next round"
    round_ = await client.round(job, 0)
    assert round_ is not None
    assert round_.root == b"\x03" * 30


async def test_eight_submitters_at_once_lose_and_repeat_nothing(
    opened: Opener, shared: Devnet, contract: bytes, signer: LocalSigner
) -> None:
    async with opened() as intents, trio.open_nursery() as nursery:

        async def submitter(number: int) -> None:
            for serial in range(3):
                intent = post(10 * number + serial)
                await intents.submit(intent)
                await intents.submit(intent)
                assert (await intents.settled(intent.id)).state == "final"

        for number in range(1, 9):
            nursery.start_soon(submitter, number)
    posted = [event.spec_digest for event in await events(shared, contract, signer)]
    assert len(posted) == len(set(posted)) == 24
    assert shared.nonce(signer.account) == 24


async def test_a_node_that_loses_what_waits_gets_it_again(
    opened: Opener, shared: Devnet, proxy: Proxy, contract: bytes, signer: LocalSigner
) -> None:
    lost = 0

    def lose(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes:
        nonlocal lost
        if request["method"] == "eth_sendRawTransaction" and lost < 2:
            lost += 1
            return result(request, "0x" + "00" * 32)
        return forward()

    proxy.rule = lose
    async with opened(url=proxy.url, policy=IntentPolicy(1, 50, 0.05)) as intents:
        await intents.submit(post(1))
        assert (await intents.settled(post(1).id)).state == "final"
    assert lost == 2
    assert len(await events(shared, contract, signer)) == 1


async def test_a_reply_that_is_lost_costs_nothing(
    opened: Opener, shared: Devnet, proxy: Proxy, contract: bytes, signer: LocalSigner
) -> None:
    """The node took the transaction and hung up; then it says so in words of its own."""
    calls = 0

    def rule(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes | None:
        nonlocal calls
        if request["method"] != "eth_sendRawTransaction":
            return forward()
        calls += 1
        if calls == 1:
            forward()
            return None
        forward()
        return failure(request, -32010, "Bereits bekannt")

    proxy.rule = rule
    async with opened(url=proxy.url) as intents:
        await intents.submit(post(1))
        assert (await intents.settled(post(1).id)).state == "final"
    assert len(await events(shared, contract, signer)) == 1
    assert shared.nonce(signer.account) == 1


async def test_intents_wait_for_a_chain_that_is_down(
    opened: Opener, proxy: Proxy, shared: Devnet, contract: bytes, signer: LocalSigner
) -> None:
    proxy.rule = lambda request, forward: None
    async with opened(url=proxy.url) as intents:
        assert (await intents.submit(post(1))).state == "queued"
        await until(lambda: "unreachable" in intents.last_error)
        proxy.rule = lambda request, forward: forward()
        assert (await intents.settled(post(1).id)).state == "final"
        assert intents.last_error == ""
    assert len(await events(shared, contract, signer)) == 1


async def test_the_fee_is_raised_when_nothing_moves(
    opened: Opener, shared: Devnet, proxy: Proxy, contract: bytes, store: Store, signer: LocalSigner
) -> None:
    """The node keeps the first two offers for itself, and claims to know them."""
    kept: list[str] = []

    def rule(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes:
        if request["method"] == "eth_sendRawTransaction" and len(kept) < 2:
            kept.append(request["params"][0])
            return result(request, "0x" + "00" * 32)
        if request["method"] == "eth_getTransactionByHash" and len(kept) <= 2:
            return result(request, {})
        return forward()

    proxy.rule = rule
    async with opened(url=proxy.url) as intents:
        await intents.submit(post(1))
        outcome = await intents.settled(post(1).id)
        row = await store.read(lambda tx: intent_rows.get(tx, post(1).id))
    assert outcome.state == "final"
    assert row is not None
    assert len(row.signed) == 3
    assert len({signed.nonce for signed in row.signed}) == 1
    fees = [(signed.max_fee, signed.tip) for signed in row.signed]
    assert all(new[0] >= old[0] * 1.1 and new[1] >= old[1] * 1.1 for old, new in pairwise(fees))
    # An offer that comes to light late is of the same nonce: it can never be mined as well.
    for raw in kept:
        with pytest.raises(RuntimeError, match="nonce too low"):
            shared.rpc("eth_sendRawTransaction", raw)
    assert len(await events(shared, contract, signer)) == 1


async def test_a_fee_is_never_raised_over_the_limit(
    opened: Opener, proxy: Proxy, store: Store
) -> None:
    def rule(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes:
        if request["method"] == "eth_sendRawTransaction":
            return result(request, "0x" + "00" * 32)
        if request["method"] == "eth_getTransactionByHash":
            return result(request, {})
        return forward()

    proxy.rule = rule
    policy = IntentPolicy(depth=1, stuck_blocks=1, interval=0.05, max_fee=4 * 10**9)
    async with opened(url=proxy.url, policy=policy) as intents:
        await intents.submit(post(1))
        while True:
            row = await store.read(lambda tx: intent_rows.get(tx, post(1).id))
            assert row is not None
            if "a higher offer passes chain.max_fee_gwei" in row.error:
                break
            await trio.sleep(0.05)
    assert all(signed.max_fee <= 4 * 10**9 for signed in row.signed)


async def test_a_nonce_used_elsewhere_is_replaced_once_that_is_final(
    opened: Opener, shared: Devnet, proxy: Proxy, contract: bytes, store: Store, signer: LocalSigner
) -> None:
    raws: list[str] = []

    def rule(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes:
        if request["method"] == "eth_sendRawTransaction" and not raws:
            raws.append(request["params"][0])
            send_foreign(shared, signer, 0)
            return result(request, "0x" + "00" * 32)
        return forward()

    proxy.rule = rule
    policy = IntentPolicy(depth=2, stuck_blocks=50, interval=0.05)
    async with opened(url=proxy.url, policy=policy) as intents:
        await intents.submit(post(1))
        outcome = await intents.settled(post(1).id)
        row = await store.read(lambda tx: intent_rows.get(tx, post(1).id))
    assert outcome.state == "final"
    assert row is not None
    assert row.nonce == 1
    assert shared.nonce(signer.account) == 2
    assert len(await events(shared, contract, signer)) == 1
    with pytest.raises(RuntimeError, match="nonce too low"):
        shared.rpc("eth_sendRawTransaction", raws[0])


async def test_an_account_without_ether_is_told_what_it_needs(
    opened: Opener, shared: Devnet, contract: bytes
) -> None:
    poor = LocalSigner(5000)
    async with opened(signer=poor) as intents:
        await intents.submit(post(1))
        await until_error(intents, post(1).id, f"account {to_checksum(poor.account)} has 0 ether")
        shared.rpc("assay_fund", "0x" + poor.account.hex(), hex(ETHER))
        assert (await intents.settled(post(1).id)).state == "final"
    assert len(await events(shared, contract, poor)) == 1


async def test_giving_up_works_until_something_is_signed(
    opened: Opener, shared: Devnet, signer: LocalSigner
) -> None:
    poor = LocalSigner(5001)
    async with opened(signer=poor) as intents:
        await intents.submit(post(1))
        await until_error(intents, post(1).id, "send it ether")
        assert await intents.give_up(post(1).id, "somebody else posted it")
        outcome = await intents.settled(post(1).id)
        assert (outcome.state, outcome.error) == ("superseded", "somebody else posted it")
        assert not await intents.give_up(post(1).id, "again")
    async with opened() as intents:
        await intents.submit(post(2))
        await intents.settled(post(2).id)
        assert not await intents.give_up(post(2).id, "too late")
    assert shared.nonce(poor.account, "pending") == 0


async def test_out_of_gas_is_named(opened: Opener, shared: Devnet, proxy: Proxy) -> None:
    def rule(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes:
        if request["method"] == "eth_estimateGas":
            return result(request, hex(40_000))
        return forward()

    proxy.rule = rule
    async with opened(url=proxy.url) as intents:
        await intents.submit(post(1))
        outcome = await intents.settled(post(1).id)
    assert outcome.state == "failed"
    assert outcome.error.endswith("out of gas (52000)")


async def test_another_contracts_intents_are_left_alone(
    opened: Opener, store: Store, shared: Devnet, signer: LocalSigner
) -> None:
    """A home that moved to another network does not replay its past there."""
    owner = intent_rows.Owner(CHAIN_ID, signer.account, b"\x07" * 20)
    await store.run(
        lambda tx: intent_rows.insert(tx, owner, intent_rows.Wanted("old", "post", b"", 0))
    )
    async with opened() as intents:
        await intents.submit(post(1))
        await intents.settled(post(1).id)
        old = await intents.get("old")
    assert old is not None
    assert old.state == "queued"
    assert shared.nonce(signer.account) == 1


async def test_an_outcome_is_told_after_a_restart_if_it_was_not_before(
    opened: Opener,
) -> None:
    class Crash(Exception):
        pass

    async def crash(outcome: IntentOutcome) -> None:
        raise Crash

    with pytest.RaisesGroup(Crash, flatten_subgroups=True):
        async with opened(told=crash) as intents:
            await intents.submit(post(1))
            await trio.sleep_forever()
    told: list[IntentOutcome] = []

    async def tell(outcome: IntentOutcome) -> None:
        told.append(outcome)

    async with opened(told=tell):
        await until(lambda: bool(told) and told[-1].settled)
    assert told[-1].state == "final"


async def test_a_receipt_that_is_late_is_no_failure(
    opened: Opener, shared: Devnet, proxy: Proxy, contract: bytes, signer: LocalSigner
) -> None:
    """The node shows the nonce as used and no receipt, as one whose index lags behind its head."""
    late = True

    def rule(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes:
        lags = ("eth_getTransactionReceipt", "eth_getTransactionByHash")
        return result(request, None) if late and request["method"] in lags else forward()

    proxy.rule = rule
    async with opened(url=proxy.url) as intents:
        await intents.submit(post(1))
        while True:
            outcome = await intents.get(post(1).id)
            assert outcome is not None
            assert not outcome.settled, outcome
            if "no receipt of it yet" in outcome.error:
                break
            await trio.sleep(0.05)
        late = False
        assert (await intents.settled(post(1).id)).state == "final"
    assert shared.nonce(signer.account) == 1
    assert len(await events(shared, contract, signer)) == 1


async def test_a_nonce_whose_user_nobody_knows_is_waited_for(
    opened: Opener, proxy: Proxy, shared: Devnet, signer: LocalSigner
) -> None:
    """A node that keeps no older states cannot say whether it was ours: nothing is sent again."""

    def rule(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes:
        if request["method"] in ("eth_getTransactionReceipt", "eth_getTransactionByHash"):
            return result(request, None)
        if request["method"] == "eth_getBlockByNumber" and request["params"][1]:
            return failure(request, -32000, "missing trie node")
        return forward()

    proxy.rule = rule
    async with opened(url=proxy.url) as intents:
        await intents.submit(post(1))
        await until_error(intents, post(1).id, "a node that keeps older states")
        outcome = await intents.get(post(1).id)
    assert outcome is not None
    assert outcome.state == "sent"
    assert shared.nonce(signer.account, "pending") == 1


async def test_while_gas_is_too_dear_nothing_is_signed(
    opened: Opener, proxy: Proxy, shared: Devnet, signer: LocalSigner
) -> None:
    def rule(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes:
        if request["method"] == "eth_feeHistory" and dear:
            base, tip = hex(201 * 10**9), hex(10**9)
            return result(request, {"baseFeePerGas": [base] * 2, "reward": [[tip]]})
        return forward()

    dear, proxy.rule = True, rule
    async with opened(url=proxy.url) as intents:
        await intents.submit(post(1))
        await until_error(intents, post(1).id, "gas costs 201 gwei now, and chain.max_fee_gwei")
        assert shared.nonce(signer.account, "pending") == 0
        dear = False
        assert (await intents.settled(post(1).id)).state == "final"
