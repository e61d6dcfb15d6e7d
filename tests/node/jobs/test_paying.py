"""A token job is posted by one exact approval and one posting, whatever ends in between."""

from __future__ import annotations

import dataclasses
import time
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from eth_hash.auto import keccak
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
from node.chain.tokens import permits
from node.jobs import paying
from node.perform import chain as chain_effects
from node.perform.chain import post_intent
from node.store.store import Store
from protocol.books.enrolment import job_id
from protocol.books.typed_data import Domain
from protocol.cost.gas import job_gas
from protocol.errors import ChainError
from protocol.machines import effects
from protocol.machines.job import JobPhase
from protocol.requester.state import RequesterState
from protocol.spec.job import encode_spec, spec_digest
from protocol.spec.parts import ChainRef, PaymentSpec

RATE = 250_000
#: `permit(address,address,uint256,uint256,uint8,bytes32,bytes32)`, `be_strange(uint256)`.
PERMIT = "d505accf"
STRANGE = keccak(b"be_strange(uint256)")[:4].hex()


@pytest.fixture(scope="session")
def dollar(shared: Devnet) -> bytes:
    """It takes no permit: an approval comes first."""
    return deploy_mock(shared, "token_mock")


@pytest.fixture(scope="session")
def permitting(shared: Devnet) -> bytes:
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
    wanted = await paying.intents(services, made, context, None)
    await services.store.run(services.intents.prepare(*wanted))
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
        # What follows the posting is counted as this home pays.
        assert quote.gas_job == job_gas(context.spec).all
        services.config = dataclasses.replace(services.config, whole_rounds=False)
        claims = (await paying.plan(services, context.spec)).shown()
        assert claims.gas_job == job_gas(context.spec, whole=False).all > quote.gas_job
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
        with pytest.raises(ChainError, match="has 0 ether for it: send it ether"):
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


async def carried_out(services: Any, context: Any) -> None:
    """The machine's own posting, as its effect makes it."""
    machine = SimpleNamespace(context=context, key=context.job)
    effect = effects.TransactPost()
    await chain_effects.transact(services, SimpleNamespace(machine=machine, id=1), effect)


async def test_a_permit_goes_along_with_the_posting(
    shared: Devnet, contract: bytes, permitting: bytes, signer: LocalSigner, store: Store
) -> None:
    context = context_of(signer, contract, permitting)
    command(shared, permitting, MINT, signer.account, 2 * context.spec.escrow)
    async with purse(shared, contract, signer, store, permitting) as services:
        quote = (await paying.plan(services, context.spec)).shown()
        assert (quote.problem, quote.approves, quote.allowance) == ("", False, 0)
        await posted(services, context)
        # The machine wants a posting without a permit, and finds the stored one.
        await carried_out(services, context)
        end = await services.intents.settled(f"{context.job.hex()}/post/0")
        assert (end.state, end.error) == ("final", "")
        assert quote.gas * 0.8 < end.gas_used < quote.gas
    for what, words in (("allowance(address,address)", (signer.account, contract)),):
        assert read(shared, permitting, what, *words) == 0
    assert read(shared, permitting, "nonces(address)", signer.account) == 1
    assert read(shared, permitting, "balanceOf(address)", signer.account) == context.spec.escrow
    assert shared.nonce(signer.account) == 1, "one transaction"


async def test_a_crash_before_a_permitted_posting_is_sent_neither_doubles_nor_loses(
    shared: Devnet, contract: bytes, permitting: bytes, signer: LocalSigner, store: Store
) -> None:
    context = context_of(signer, contract, permitting)
    command(shared, permitting, MINT, signer.account, context.spec.escrow)
    async with purse(shared, contract, signer, store, permitting) as services:
        made = await paying.plan(services, context.spec)
        wanted = await paying.intents(services, made, context, None)
        await services.store.run(services.intents.prepare(*wanted))
    async with purse(shared, contract, signer, store, permitting) as services:
        await carried_out(services, context)
        end = await services.intents.settled(f"{context.job.hex()}/post/0")
    assert (end.state, shared.nonce(signer.account)) == ("final", 1)


async def test_somebody_who_brings_the_permit_first_stops_nothing(
    shared: Devnet, contract: bytes, permitting: bytes, signer: LocalSigner, store: Store
) -> None:
    context = context_of(signer, contract, permitting)
    command(shared, permitting, MINT, signer.account, context.spec.escrow)
    async with purse(shared, contract, signer, store, permitting) as services:
        made = await paying.plan(services, context.spec)
        [intent] = await paying.intents(services, made, context, None)
        *terms, v, r, s = intent.args
        amount, deadline = context.spec.escrow, terms[-1]
        command(shared, permitting, PERMIT, signer.account, contract, amount, deadline, v, r, s)
        await services.store.run(services.intents.prepare(intent))
        services.intents.wake()
        end = await services.intents.settled(intent.id)
    assert (end.state, end.error) == ("final", "")


@pytest.mark.parametrize("strange", ["domain", "words", "hash"])
async def test_a_token_with_strange_permits_is_approved(
    shared: Devnet,
    contract: bytes,
    signer: LocalSigner,
    store: Store,
    strange: str,
) -> None:
    """A domain of another token, a permit that is signed by other words, and one that says so."""
    token = deploy_mock(shared, "strange_permit_mock")
    context = context_of(signer, contract, token)
    command(shared, token, MINT, signer.account, context.spec.escrow)
    command(shared, token, STRANGE, ("", "domain", "words", "hash").index(strange))
    signed: list[bytes] = []
    async with purse(shared, contract, signer, store, token) as services:
        services.keys = Watched(signer, signed)
        made = await paying.plan(services, context.spec)
        # Words that differ show only when the permit is tried.
        assert made.approves == (strange != "words")
        await posted(services, context)
        end = await services.intents.settled(f"{context.job.hex()}/post/0")
        grant = await services.intents.get(f"{context.job.hex()}/approve/0")
    assert (end.state, grant.state) == ("final", "final")
    # Nothing is signed under a domain that a contract only named.
    # And what is signed is of this token and chain, for this contract and escrow, and no more.
    domain = permits.separator("Test Dollar", "1", CHAIN_ID, token)
    words = signer.account, contract, context.spec.escrow, 0, context.spec.expires_at
    assert signed == ([permits.digest(domain, *words)] if strange == "words" else [])
    assert read(shared, token, "allowance(address,address)", signer.account, contract) == 0


class Watched:
    """A signer, and what it signed beside transactions."""

    def __init__(self, signer: LocalSigner, signed: list[bytes]) -> None:
        self.account, self._signer, self._signed = signer.account, signer, signed

    def sign_digest(self, digest: bytes) -> bytes:
        self._signed.append(digest)
        return self._signer.sign_digest(digest)
