"""Payments that a person asks for: ether or a token from this home's account, sent once.

A payment is checked and rehearsed first, so that what cannot arrive costs nothing. Then it is
stored under its caller's word for it: the same payment asked for again is not another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import trio

from node.chain.errors import Reverted
from node.chain.intents.intents import Intent, IntentOutcome
from node.chain.tokens import calls, reading
from node.control.money.results import Sent
from node.engine.services import Services
from node.perform.chain import APPROVE, PAYMENT
from protocol.addresses import ZERO_ADDRESS, to_checksum
from protocol.amounts import format_about
from protocol.errors import ChainError, InputError
from protocol.spec.parts import ETHER
from protocol.tokens import currency

#: How long a call waits for the payment's chain block before it replies without it, seconds.
_PATIENCE: Final = 15.0
_LOOK: Final = 0.1

_ARRIVED: Final = ("mined", "final", "failed", "superseded")


@dataclass(frozen=True, slots=True)
class Payment:
    """`amount` of `token` (zero for ether) to an account, under a caller's word."""

    id: str
    to: bytes
    amount: int
    token: bytes


@dataclass(frozen=True, slots=True)
class _Price:
    """Gas, the most that is offered for it, wei per gas, and whether code stands at the end."""

    gas: int
    fee: int
    contract: bool


class Payments:
    """Payments of this node."""

    def __init__(self, services: Services) -> None:
        self._services = services
        #: Two at once would count on the same money.
        self._one = trio.Lock()

    async def send(self, payment: Payment, max_fee: int | None, dry_run: bool) -> Sent:
        """Check a payment and, unless this is a dry run, send it; as soon as it is mined, or after
        some seconds, say where it stands.

        Raises InputError (nothing to send, nobody that can receive it, a token that refuses),
        ChainError (too little money, gas too dear, no chain).
        """
        intent = self._intent(payment, max_fee)
        async with self._one:
            before = await self._services.intents.get(intent.id)
            if before is not None and not dry_run:
                # The same call again; another one under this word is refused by the store.
                await self._services.intents.submit(intent)
                price = _Price(before.gas_used or 0, 0, False)
                return self._said(payment, price, await self._followed(intent.id))
            self._check(payment)
            price = await self._priced(payment, max_fee)
            if dry_run:
                return self._said(payment, price, None)
            await self._services.intents.submit(intent)
        return self._said(payment, price, await self._followed(intent.id))

    async def revoke(self, ident: str, token: bytes) -> Sent:
        """Set what the bounty contract may take of a token to zero. Raises as `send` does."""
        services = self._services
        spender = services.domain.contract
        data = calls.approve(spender, 0)
        await reading.check_code(services.chain, token)
        await reading.rehearse(services.chain, token, services.keys.account, data)
        intent = Intent(f"{PAYMENT}{ident}", APPROVE, (data,), to=token)
        await services.intents.submit(intent)
        outcome = await self._followed(intent.id)
        payment = Payment(ident, spender, 0, token)
        return self._said(payment, _Price(outcome.gas_used or 0, 0, True), outcome)

    def _intent(self, payment: Payment, max_fee: int | None) -> Intent:
        ident = f"{PAYMENT}{payment.id}"
        if payment.token == ETHER:
            return Intent(ident, "send", (), payment.amount, to=payment.to, max_fee=max_fee)
        data = calls.transfer(payment.to, payment.amount)
        return Intent(ident, "send", (data,), to=payment.token, max_fee=max_fee)

    def _check(self, payment: Payment) -> None:
        """Raise InputError for what would be lost, or is nothing."""
        if payment.amount == 0:
            raise InputError("is 0: there is nothing to send", "amount")
        for account, what in (
            (ZERO_ADDRESS, "the zero address, which nobody has a key for"),
            (self._services.domain.contract, "the bounty contract, which would keep it for good"),
            (
                self._services.config.channel_contract,
                "the channel contract, which would keep it for good",
            ),
            (payment.token, "the token's own contract, which would keep it for good"),
            (self._services.keys.account, "this home's own account"),
        ):
            if payment.to == account:
                raise InputError(f"is {what}", "to")

    async def _priced(self, payment: Payment, max_fee: int | None) -> _Price:
        """Rehearse the payment on the newest state; what it takes."""
        services, own = self._services, self._services.keys.account
        chain, tokens = services.chain, services.tokens()
        fee, _ = (await chain.fees()).offer(max_fee or services.config.max_fee)
        ether = payment.token == ETHER
        coin = await chain.balance(own)
        if not ether:
            await reading.check_code(chain, payment.token)
        held = coin if ether else await reading.balance(chain, payment.token, own)
        if held < payment.amount:
            raise ChainError(
                f"{tokens.shown(payment.amount, payment.token)} are to be sent, and this account "
                f"has {tokens.shown(held, payment.token)}"
            )
        intent = self._intent(payment, max_fee)
        data, to = b"".join(intent.args), intent.to or b""
        if not ether:
            await reading.rehearse(chain, payment.token, own, data)
        try:
            gas = await chain.estimate(own, to, data, intent.value)
        except Reverted as error:
            raise ChainError(f"the receiver refuses it: {error.reason:.200}") from error
        if coin < intent.value + gas * fee:
            raise ChainError(
                f"it uses {gas:,} gas, which may cost {format_about(gas * fee, up=True)}; this "
                f"account has {format_about(max(0, coin - intent.value))} for it"
            )
        return _Price(gas, fee, bool(await chain.code(payment.to)))

    async def _followed(self, ident: str) -> IntentOutcome:
        """Where it stands: once it is mined, or after some seconds."""
        outcome = await self._services.intents.get(ident)
        with trio.move_on_after(_PATIENCE):
            while outcome is None or outcome.state not in _ARRIVED:
                await trio.sleep(_LOOK)
                outcome = await self._services.intents.get(ident)
        if outcome is None:
            raise ChainError(f"payment {ident} is not stored yet")
        return outcome

    def _said(self, payment: Payment, price: _Price, outcome: IntentOutcome | None) -> Sent:
        tx_hash = None if outcome is None else outcome.tx_hash
        return Sent(
            id=payment.id,
            to=to_checksum(payment.to),
            token=currency(payment.token),
            amount=payment.amount,
            contract=price.contract,
            gas=(outcome.gas_used if outcome is not None else None) or price.gas,
            fee=price.fee,
            state="" if outcome is None else outcome.state,
            transaction="0x" + tx_hash.hex() if tx_hash else "",
            problem="" if outcome is None else outcome.error,
        )
