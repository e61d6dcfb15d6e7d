"""Channels on the chain: opened, looked at, redeemed and closed from this node's account.

Each call is an intent, stored signed before it is sent and followed until it is final
(node.chain.intents). What is read is read at a final block, as all chain nodes say that must agree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio
from eth_hash.auto import keccak

from node.chain.channels import calls, reading
from node.chain.channels.calls import ChannelState
from node.chain.errors import NoContract, OtherContract
from node.chain.intents.intents import Intent
from node.chain.tokens import calls as token_calls
from node.chain.tokens import reading as token_reading
from node.engine.services import Services
from node.perform.chain import APPROVE, CHANNEL
from node.sale.ports import no_contract
from protocol.addresses import to_checksum
from protocol.errors import ChainError, InputError
from protocol.sale.vouchers import Terms, Voucher
from protocol.spec.parts import ETHER

#: Gas of opening a channel, of approving a token, and of what else follows from it, about
#: (docs/spec/channel.md): the account must be able to pay for them before anything is stored.
_OPEN_GAS: Final = 90_000
_APPROVE_GAS: Final = 60_000

#: How an intent ends that did nothing; its call may be made again, under another id.
_CAME_TO_NOTHING: Final = ("failed", "superseded")


class ChainChannels:
    """node.sale.ports.Channels on the chain of `services`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        #: Two openings at once would count on the same allowance.
        self._one = trio.Lock()
        self._checked = False

    @property
    def contract(self) -> bytes | None:
        """The channel contract's address; None where this home knows of none."""
        return self._services.config.channel_contract

    async def open(
        self, seller: bytes, token: bytes, deposit: int, expiry: int, action_id: str
    ) -> Terms:
        """See node.sale.ports. A token's approval of exactly the deposit comes before, stored with
        it (docs/adr/0208); one that is left from before is first set to zero, because some tokens
        change no other."""
        services = self._services
        salt = keccak(services.keys.account + action_id.encode())
        terms = Terms(services.keys.account, seller, token, expiry, salt)
        ident = f"{CHANNEL}{terms.channel.hex()}/open"
        # One that is stored is followed, whatever the chain or the settings are now: an error says
        # that nothing was sent, or that it came to nothing for good.
        if await services.intents.get(ident) is None:
            contract = await self._require()
            async with self._one:
                if token != ETHER:
                    await self._others_end()
                intents = await self._opening(contract, terms, deposit, ident)
                await services.store.run(services.intents.prepare(*intents))
                services.intents.wake()
                if token != ETHER:
                    await services.intents.settled(ident)
        outcome = await services.intents.settled(ident)
        if outcome.state != "final":
            raise ChainError(f"the channel is not opened: {outcome.error}")
        return terms

    async def look(self, terms: Terms) -> ChannelState | None:
        """See node.sale.ports."""
        return await self._held(await self._require(), terms)

    async def redeem(self, terms: Terms, voucher: Voucher) -> None:
        """See node.sale.ports. Anybody may have redeemed as much before."""
        contract = await self._require()
        intent = (f"redeem/{voucher.amount}", "redeem", calls.redeeming(terms, voucher))
        await self._until(
            contract, terms, intent, lambda held: held.redeemed >= voucher.amount, "redeemed"
        )

    async def close(self, terms: Terms) -> None:
        """See node.sale.ports."""
        contract = await self._require()
        intent = ("close", "close", calls.closing(terms))
        await self._until(contract, terms, intent, lambda held: held.closed, "closed")

    async def close_released(self, terms: Terms, redeemed: int, release: bytes) -> None:
        """See node.sale.ports."""
        contract = await self._require()
        call = calls.closing_released(terms, redeemed, release)
        intent = (f"release/{redeemed}", "close", call)
        await self._until(contract, terms, intent, lambda held: held.closed, "closed")

    # --- underneath -------------------------------------------------------------------------

    async def _require(self) -> bytes:
        """The contract, its code compared once. Raises InputError, ChainError."""
        contract = self.contract
        if contract is None:
            raise no_contract()
        if not self._checked:
            chain = self._services.chain
            try:
                await reading.check_code(chain, contract)
            except (NoContract, OtherContract) as error:
                raise InputError(
                    f"{error}; it is what a channel's deposit would go to, and nothing is sent "
                    "there: correct it, or ask whoever gave you the join line",
                    "chain.channel_contract",
                ) from error
            self._checked = True
        return contract

    async def _held(self, contract: bytes, terms: Terms) -> ChannelState | None:
        services = self._services
        depth = services.config.finality
        return await reading.look(services.chain, contract, terms.channel, depth)

    async def _others_end(self) -> None:
        """Wait for openings that are under way, after a restart too."""
        for ident in await self._services.intents.under_way(CHANNEL):
            if ident.endswith("/open"):
                await self._services.intents.settled(ident)

    async def _opening(
        self, contract: bytes, terms: Terms, deposit: int, ident: str
    ) -> list[Intent]:
        """What opens a channel, in order. Raises InputError where it cannot come about."""
        services = self._services
        own, token = services.keys.account, terms.token
        fee, _ = (await services.chain.fees()).offer(services.config.max_fee)
        coin = await services.chain.balance(own)
        data = calls.opening(terms, deposit)
        if token == ETHER:
            self._can_pay(deposit, coin, ETHER)
            self._can_pay(_OPEN_GAS * fee, coin - deposit, ETHER, " of gas, beside the deposit,")
            return [Intent(ident, "open", (data,), deposit, to=contract)]
        await token_reading.check_code(services.chain, token)
        self._can_pay(deposit, await token_reading.balance(services.chain, token, own), token)
        self._can_pay((_OPEN_GAS + 2 * _APPROVE_GAS) * fee, coin, ETHER, " of gas")
        allowed = await token_reading.allowance(services.chain, token, own, contract)
        grants = () if allowed >= deposit else (0, deposit) if allowed else (deposit,)
        intents: list[Intent] = []
        for number, amount in enumerate(grants):
            grant = token_calls.approve(contract, amount)
            if not number:
                await token_reading.rehearse(services.chain, token, own, grant)
            before = intents[-1].id if intents else ""
            name = f"{ident.removesuffix('open')}{APPROVE}/{number}"
            intents.append(Intent(name, APPROVE, (grant,), to=token, needs=before))
        before = intents[-1].id if intents else ""
        return [*intents, Intent(ident, "open", (data,), to=contract, needs=before)]

    def _can_pay(self, cost: int, held: int, token: bytes, what: str = " of deposit") -> None:
        if held >= cost:
            return
        tokens, own = self._services.tokens(), to_checksum(self._services.keys.account)
        raise InputError(
            f"the channel takes {tokens.shown(cost, token)}{what} and account {own} has "
            f"{tokens.shown(max(0, held), token)}: send it more, or open a smaller channel",
            "deposit",
        )

    async def _until(
        self,
        contract: bytes,
        terms: Terms,
        call: tuple[str, str, bytes],
        done: Callable[[ChannelState], bool],
        word: str,
    ) -> None:
        """Make a call once, unless what it is for is so already; again, if it came to nothing
        before. Raises InputError (no such channel), ChainError (it came to nothing)."""
        mark, function, data = call
        intents, turn = self._services.intents, 0

        def ident() -> str:
            return f"{CHANNEL}{terms.channel.hex()}/{mark}/{turn}"

        outcome = await intents.get(ident())
        while outcome is not None and outcome.state in _CAME_TO_NOTHING:
            turn += 1
            outcome = await intents.get(ident())
        if outcome is None:
            held = await self._held(contract, terms)
            if held is None:
                raise InputError("is not on the chain, or not for good yet", "channel")
            if done(held):
                return
            await intents.submit(Intent(ident(), function, (data,), to=contract))
        ended = await intents.settled(ident())
        if ended.state == "final":
            return
        held = await self._held(contract, terms)
        if held is None or not done(held):
            raise ChainError(f"the channel is not {word}: {ended.error}")
