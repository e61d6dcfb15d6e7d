"""A token job is posted by one exact approval and one posting, whatever ends in between."""

from __future__ import annotations

import dataclasses
import time
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from kits.chain.devnet import CHAIN_ID, Devnet, LocalSigner
from kits.chain.purses import (
    MINT,
    REFUSE,
    TAKE_FEE,
    command,
    deploy_mock,
    purse,
    read,
)
from kits.specs import SPEC

from node.chain.intents.intents import Intent
from node.jobs import paying
from node.jobs.posting import _intents
from node.perform.chain import post_intent
from node.store.store import Store
from protocol.books.enrolment import job_id
from protocol.books.typed_data import Domain
from protocol.errors import ChainError
from protocol.machines.job import JobPhase
from protocol.requester.state import RequesterState
from protocol.spec.job import encode_spec, spec_digest
from protocol.spec.parts import ChainRef, PaymentSpec

RATE = 250_000


@pytest.fixture(scope="session")
def dollar(shared: Devnet) -> bytes:
    return deploy_mock(shared, "permit_token_mock")


def context_of(signer: LocalSigner, contract: bytes, token: bytes, salt: int = 1) -> Any:
    """What Posting hands to the machine of one job."""
    spec = dataclasses.replace(
        SPEC,
        salt=salt.to_bytes(16, "big"),
        requester=dataclasses.replace(SPEC.requester, account=signer.account),
        chain=ChainRef(CHAIN_ID, contract),
        payment=PaymentSpec(token, RATE, 1_000_000),
        expires_at=int(time.time()) + 86_400,
    )
    digest = spec_digest(encode_spec(spec))
    job = job_id(Domain(CHAIN_ID, contract), signer.account, digest)
    return SimpleNamespace(spec=spec, spec_digest=digest, job=job)


async def posted(services: Any, context: Any) -> None:
    """Store what a posting needs, as Posting does: in one transaction."""
    made = await paying.plan(services, context.spec)
    paying.refuse(made)
    await services.store.run(services.intents.prepare(*_intents(services, made, context, None)))
    services.intents.wake()


async def test_one_exact_approval_and_one_posting(
    shared: Devnet, contract: bytes, dollar: bytes, signer: LocalSigner, store: Store
) -> None:
    context = context_of(signer, contract, dollar)
    escrow = context.spec.escrow
    command(shared, dollar, MINT, signer.account, escrow + 7)
    async with purse(shared, contract, signer, store, dollar) as services:
        quote = (await paying.plan(services, context.spec)).shown()
        assert (quote.problem, quote.approves, quote.allowance) == ("", True, 0)
        assert (quote.escrow, quote.balance) == (escrow, escrow + 7)
        await posted(services, context)
        # The machine wants the same posting; it is there already.
        await services.intents.submit(post_intent(context))
        end = await services.intents.settled(f"{context.job.hex()}/post/0")
        assert (end.state, end.error) == ("final", "")
        grant = await services.intents.get(f"{context.job.hex()}/approve/0")
        assert grant.state == "final"
    assert read(shared, dollar, "balanceOf(address)", contract) >= escrow
    assert read(shared, dollar, "balanceOf(address)", signer.account) == 7
    assert read(shared, dollar, "allowance(address,address)", signer.account, contract) == 0
    assert shared.nonce(signer.account) == 2


async def test_a_crash_between_approval_and_posting_neither_doubles_nor_loses(
    shared: Devnet, contract: bytes, dollar: bytes, signer: LocalSigner, store: Store
) -> None:
    context = context_of(signer, contract, dollar)
    command(shared, dollar, MINT, signer.account, context.spec.escrow)
    post = f"{context.job.hex()}/post/0"
    async with purse(shared, contract, signer, store, dollar) as services:
        await posted(services, context)
        while shared.nonce(signer.account) == 0:  # noqa: ASYNC110 (another process)
            await trio.sleep(0.01)
    # The daemon is gone, at whatever point the posting had come to; another one goes on.
    async with purse(shared, contract, signer, store, dollar) as services:
        await services.intents.submit(post_intent(context))
        assert (await services.intents.settled(post)).state == "final"
    assert read(shared, dollar, "allowance(address,address)", signer.account, contract) == 0
    assert shared.nonce(signer.account) == 2


async def test_an_allowance_that_is_there_is_used_and_not_increased(
    shared: Devnet, contract: bytes, dollar: bytes, signer: LocalSigner, store: Store
) -> None:
    context = context_of(signer, contract, dollar)
    escrow = context.spec.escrow
    command(shared, dollar, MINT, signer.account, 2 * escrow)
    async with purse(shared, contract, signer, store, dollar) as services:
        made = await paying.plan(services, context.spec)
        data = paying.grant(services, made, b"").args[0]  # type: ignore[union-attr]
        more = data[:-32] + (escrow + 5).to_bytes(32, "big")
        await services.intents.submit(Intent("pay/more", "approve", (more,), to=dollar))
        await services.intents.settled("pay/more")
        quote = (await paying.plan(services, context.spec)).shown()
        assert (quote.allowance, quote.approves) == (escrow + 5, False)
        await posted(services, context)
        await services.intents.settled(f"{context.job.hex()}/post/0")
        # What is left does not reach: the next job's approval sets it, and adds nothing.
        assert read(shared, dollar, "allowance(address,address)", signer.account, contract) == 5
        other = context_of(signer, contract, dollar, salt=2)
        await posted(services, other)
        assert (await services.intents.settled(f"{other.job.hex()}/post/0")).state == "final"
    assert read(shared, dollar, "allowance(address,address)", signer.account, contract) == 0


async def test_what_stands_in_the_way_is_said_before_anything_is_spent(
    shared: Devnet, contract: bytes, dollar: bytes, signer: LocalSigner, store: Store
) -> None:
    context = context_of(signer, contract, dollar)
    async with purse(shared, contract, signer, store, dollar) as services:
        with pytest.raises(ChainError, match=r"locks up .* TUSD, this account has 0 TUSD"):
            await posted(services, context)
        nowhere = context_of(signer, contract, b"\x07" * 20)
        with pytest.raises(ChainError, match="no contract stands at 0x0707"):
            await posted(services, nowhere)
        command(shared, dollar, MINT, signer.account, context.spec.escrow)
        services.engine.machines = {
            1: SimpleNamespace(
                key=b"\x01" * 32,
                state=RequesterState(phase=JobPhase.POSTING),
                broken="",
                context=SimpleNamespace(spec=context.spec),
            )
        }
        with pytest.raises(ChainError, match="is being posted in the same token"):
            await posted(services, context)
        services.engine.machines = {}
        cheap = await paying.plan(services, context.spec, max_fee=1)
        assert "gas costs" in cheap.problem
    poor = LocalSigner(30_000)
    command(shared, dollar, MINT, poor.account, context.spec.escrow)
    async with purse(shared, contract, poor, store, dollar) as services:
        with pytest.raises(ChainError, match="has 0 wei for it: send it ether"):
            await posted(services, context_of(poor, contract, dollar))
    assert shared.nonce(signer.account) == shared.nonce(poor.account) == 0


@pytest.mark.parametrize(
    ("trick", "words"),
    [
        ((REFUSE, 1), "post was refused: bounty: token refused the transfer"),
        ((TAKE_FEE, 10), "post was refused: bounty: token delivered another amount"),
    ],
)
async def test_a_token_that_lies_or_takes_a_fee_ends_the_posting_in_words(
    shared: Devnet,
    contract: bytes,
    signer: LocalSigner,
    store: Store,
    trick: tuple[str, int],
    words: str,
) -> None:
    token = deploy_mock(shared, "token_mock")
    context = context_of(signer, contract, token)
    command(shared, token, MINT, signer.account, context.spec.escrow)
    command(shared, token, *trick)
    async with purse(shared, contract, signer, store, token) as services:
        await posted(services, context)
        end = await services.intents.settled(f"{context.job.hex()}/post/0")
    assert (end.state, end.error) == ("failed", words)
    assert read(shared, token, "balanceOf(address)", signer.account) == context.spec.escrow


async def test_a_token_that_returns_nothing_pays_as_others_do(
    shared: Devnet, contract: bytes, signer: LocalSigner, store: Store
) -> None:
    token = deploy_mock(shared, "silent_token_mock")
    context = context_of(signer, contract, token)
    command(shared, token, MINT, signer.account, context.spec.escrow)
    async with purse(shared, contract, signer, store, token) as services:
        await posted(services, context)
        assert (await services.intents.settled(f"{context.job.hex()}/post/0")).state == "final"


async def test_a_posting_ends_with_the_approval_that_it_needs(
    shared: Devnet, contract: bytes, dollar: bytes, signer: LocalSigner, store: Store
) -> None:
    context = context_of(signer, contract, dollar)
    async with purse(shared, contract, signer, store, dollar) as services:
        doomed = Intent(f"{context.job.hex()}/approve/0", "approve", (b"\x01" * 4,), to=dollar)
        post = dataclasses.replace(post_intent(context), needs=doomed.id)
        await store.run(services.intents.prepare(doomed, post))
        services.intents.wake()
        end = await services.intents.settled(post.id)
    assert end.state == "failed"
    assert end.error.startswith("approve came to nothing: approve was refused")
    assert shared.nonce(signer.account) == 0
