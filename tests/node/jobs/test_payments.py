"""What leaves by a person's word: rehearsed, sent once, and refused where it would be lost."""

from __future__ import annotations

import pytest
from kits.chain.devnet import ETHER, Devnet, LocalSigner
from kits.chain.purses import MINT, REFUSE, command, deploy_mock, purse, read

from node.chain.intents.intents import Intent
from node.jobs.payments import Payment, Payments
from node.store.store import Store
from protocol.errors import ChainError, InputError
from protocol.spec.parts import ETHER as COIN


@pytest.fixture(scope="module")
def token(shared: Devnet) -> bytes:
    return deploy_mock(shared, "token_mock")


async def test_a_payment_asked_for_twice_is_sent_once(
    shared: Devnet, contract: bytes, token: bytes, signer: LocalSigner, store: Store
) -> None:
    to = b"\x51" * 20
    command(shared, token, MINT, signer.account, 1_000)
    async with purse(shared, contract, signer, store, token) as services:
        payments = Payments(services)
        ether, dollars = Payment("a", to, ETHER // 4, COIN), Payment("b", to, 250, token)
        for payment in (ether, dollars):
            asked = await payments.send(payment, None, True)
            assert (asked.state, asked.transaction, asked.contract) == ("", "", False)
            assert asked.gas > 21_000 - 1
        assert shared.nonce(signer.account) == 0
        for payment in (ether, dollars, ether, dollars):
            sent = await payments.send(payment, None, False)
            assert sent.state in ("mined", "final")
            assert len(sent.transaction) == 66
        with pytest.raises(InputError, match="already stands for another send"):
            await payments.send(Payment("a", to, 1, COIN), None, False)
    assert shared.nonce(signer.account) == 2
    assert int(shared.rpc("eth_getBalance", "0x" + to.hex(), "latest"), 16) == ETHER // 4
    assert read(shared, token, "balanceOf(address)", to) == 250


async def test_what_would_be_lost_is_not_sent(
    shared: Devnet, contract: bytes, token: bytes, signer: LocalSigner, store: Store
) -> None:
    command(shared, token, MINT, signer.account, 5)
    async with purse(shared, contract, signer, store, token) as services:
        payments = Payments(services)

        async def refused(payment: Payment, words: str, kind: type[Exception]) -> None:
            for dry in (True, False):
                with pytest.raises(kind, match=words):
                    await payments.send(payment, None, dry)

        friend = b"\x52" * 20
        await refused(Payment("x", friend, 0, COIN), "nothing to send", InputError)
        await refused(Payment("x", bytes(20), 1, COIN), "zero address", InputError)
        await refused(Payment("x", contract, 1, token), "bounty contract", InputError)
        await refused(Payment("x", token, 1, token), "token's own contract", InputError)
        await refused(Payment("x", signer.account, 1, COIN), "own account", InputError)
        await refused(Payment("x", friend, 6, token), "this account has 0.000005 TUSD", ChainError)
        await refused(
            Payment("x", friend, 20 * ETHER, COIN), "this account has 10 ether", ChainError
        )
        await refused(Payment("x", friend, 10 * ETHER, COIN), "has 0 ether for it", ChainError)
        await refused(Payment("x", friend, 1, b"\x07" * 20), "no contract stands", InputError)
        # The bounty contract takes no ether; neither does a token.
        await refused(Payment("x", token, 1, COIN), "receiver refuses it", ChainError)
        with pytest.raises(ChainError, match="gas costs"):
            await payments.send(Payment("x", friend, 1, COIN), 1, True)
        command(shared, token, REFUSE, 1)
        await refused(Payment("x", friend, 1, token), "refuses transfer", InputError)
        command(shared, token, REFUSE, 0)
        assert await services.intents.get("pay/x") is None
    assert shared.nonce(signer.account) == 0


async def test_an_allowance_is_taken_back(
    shared: Devnet, contract: bytes, token: bytes, signer: LocalSigner, store: Store
) -> None:
    grant = bytes.fromhex("095ea7b3") + contract.rjust(32, b"\0") + (7).to_bytes(32, "big")
    async with purse(shared, contract, signer, store, token) as services:
        await services.intents.submit(Intent("pay/grant", "approve", (grant,), to=token))
        await services.intents.settled("pay/grant")
        assert read(shared, token, "allowance(address,address)", signer.account, contract) == 7
        done = await Payments(services).revoke("r", token)
        assert done.state in ("mined", "final")
    assert read(shared, token, "allowance(address,address)", signer.account, contract) == 0
