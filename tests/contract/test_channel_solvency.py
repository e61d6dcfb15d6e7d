"""Several channels at once, honest and hostile, against a ledger of the test's own."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import pytest
from eth_tester.exceptions import TransactionFailed
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from kits.channel import HOUR, Channels
from kits.examples import examples

from protocol.sale.vouchers import Terms

#: Accounts that buy, and that sell; the last does neither.
BUYERS, SELLERS = (0, 1), (2, 3)


@dataclass
class Entry:
    """What the test itself knows of a channel."""

    terms: Terms
    buyer: str
    seller: str
    deposit: int
    redeemed: int = 0
    returned: int = 0
    closed: bool = False


@functools.cache
def shared(experimental: bool) -> Channels:
    return Channels(experimental)


class Ledger(RuleBasedStateMachine):
    """Each rule knows whether the contract may accept; a wrong refusal fails it too."""

    experimental = False
    channels = Bundle("channels")

    def __init__(self) -> None:
        super().__init__()
        self.chain = shared(self.experimental)
        self.snapshot = self.chain.tester.take_snapshot()
        self.known: list[Entry] = []
        self.gas = dict.fromkeys(self.chain.accounts, 0)
        self.before = {who: self.chain.ether(who) for who in self.chain.accounts[:5]}

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            self.chain.tester.revert_to_snapshot(self.snapshot)

    def attempt(self, call: Any, sender: str, allowed: bool, value: int = 0) -> Any:
        if allowed:
            receipt = self.chain.send(call, sender, value)
            self.gas[sender] += receipt.gasUsed * receipt.effectiveGasPrice
            return receipt
        self.chain.tester.mine_blocks(1)
        with pytest.raises(TransactionFailed):
            call.call({"from": sender, "gas": 12_000_000, "value": value})
        return None

    @precondition(lambda self: len(self.known) < 5)
    @rule(
        target=channels,
        buyer=st.sampled_from(BUYERS),
        seller=st.sampled_from(SELLERS),
        deposit=st.integers(1, 1000),
        hours=st.integers(1, 6),
    )
    def open(self, buyer: int, seller: int, deposit: int, hours: int) -> Entry:
        chain, accounts = self.chain, self.chain.accounts
        terms = chain.terms(
            len(self.known),
            buyer=bytes.fromhex(accounts[buyer][2:]),
            seller=bytes.fromhex(accounts[seller][2:]),
            expiry=chain.now + hours * HOUR,
        )
        entry = Entry(terms, accounts[buyer], accounts[seller], deposit)
        self.attempt(chain.opening(terms, deposit), entry.buyer, True, deposit)
        self.known.append(entry)
        return entry

    @rule(entry=channels, value=st.integers(0, 1000))
    def open_again(self, entry: Entry, value: int) -> None:
        """Also after it was closed."""
        self.attempt(self.chain.opening(entry.terms, value), entry.buyer, False, value)

    @rule(
        entry=channels,
        signed=channels,
        amount=st.integers(0, 1100),
        stated=st.sampled_from([0, 0, 0, 1, -1]),
        signer=st.sampled_from([*BUYERS, *SELLERS, 4]),
        by_buyer=st.booleans(),
        sender=st.integers(0, 4),
    )
    def redeem(
        self,
        entry: Entry,
        signed: Entry,
        amount: int,
        stated: int,
        signer: int,
        by_buyer: bool,
        sender: int,
    ) -> None:
        """A voucher of this channel or another, as it was signed or changed, by anybody."""
        chain = self.chain
        by = entry.buyer if by_buyer else chain.accounts[signer]
        signature = chain.voucher(signed.terms, amount, by)
        claimed = max(0, amount + stated)
        allowed = (
            not entry.closed
            and signed.terms == entry.terms
            and by == entry.buyer
            and claimed == amount
            and entry.redeemed < amount <= entry.deposit
        )
        call = chain.redeeming(entry.terms, claimed, signature)
        if self.attempt(call, chain.accounts[sender], allowed):
            entry.redeemed = amount

    @rule(entry=channels, shares=st.lists(st.integers(1, 4), min_size=1, max_size=3))
    def redeem_what_grew(self, entry: Entry, shares: list[int]) -> None:
        """Good vouchers one after the other, and each a second time."""
        for share in shares:
            amount = entry.redeemed + -(-(entry.deposit - entry.redeemed) // share)
            signature = self.chain.voucher(entry.terms, amount, entry.buyer)
            call = self.chain.redeeming(entry.terms, amount, signature)
            allowed = not entry.closed and amount > entry.redeemed
            if self.attempt(call, entry.seller, allowed):
                entry.redeemed = amount
            self.attempt(call, entry.seller, False)
            self.the_balance_is_what_is_owed()

    @rule(entry=channels, sender=st.integers(0, 4))
    def close(self, entry: Entry, sender: int) -> None:
        by = self.chain.accounts[sender]
        expired = self.chain.now >= entry.terms.expiry
        allowed = not entry.closed and (by == entry.seller or (by == entry.buyer and expired))
        self.ended(entry, self.attempt(self.chain.closing(entry.terms), by, allowed))

    @rule(
        entry=channels,
        signed=channels,
        redeemed=st.integers(0, 1000),
        exact=st.booleans(),
        by_seller=st.booleans(),
        sender=st.integers(0, 4),
    )
    def close_released(
        self,
        entry: Entry,
        signed: Entry,
        redeemed: int,
        exact: bool,
        by_seller: bool,
        sender: int,
    ) -> None:
        chain = self.chain
        redeemed = entry.redeemed if exact else redeemed
        signer = entry.seller if by_seller else entry.buyer
        signature = chain.released(signed.terms, redeemed, signer)
        allowed = (
            not entry.closed
            and signed.terms == entry.terms
            and by_seller
            and redeemed <= entry.redeemed
        )
        call = chain.closing(entry.terms, redeemed, signature)
        self.ended(entry, self.attempt(call, chain.accounts[sender], allowed))

    def ended(self, entry: Entry, receipt: Any) -> None:
        if receipt:
            entry.closed = True
            entry.returned = entry.deposit - entry.redeemed
            assert self.chain.event(receipt, "Closed")["returned"] == entry.returned

    @rule(hours=st.integers(1, 3))
    def wait(self, hours: int) -> None:
        self.chain.travel(self.chain.now + hours * HOUR)

    @invariant()
    def the_balance_is_what_is_owed(self) -> None:
        held = sum(e.deposit - e.redeemed - e.returned for e in self.known)
        assert self.chain.ether(self.chain.contract.address) == held

    @invariant()
    def everybody_has_what_the_ledger_says(self) -> None:
        for who, before in self.before.items():
            spent = sum(e.deposit - e.returned for e in self.known if e.buyer == who)
            earned = sum(e.redeemed for e in self.known if e.seller == who)
            assert self.chain.ether(who) == before - self.gas[who] - spent + earned

    @invariant()
    def words_are_what_the_ledger_says(self) -> None:
        for entry in self.known:
            found = self.chain.word(entry.terms)
            assert found == (entry.deposit, entry.redeemed, entry.closed)

    def settle(self) -> None:
        """At the end every buyer closes alone: nothing stays, whatever was done before."""
        if self.known:
            last = max(entry.terms.expiry for entry in self.known)
            self.chain.travel(max(self.chain.now, last) + 1)
        for entry in self.known:
            if not entry.closed:
                call = self.chain.closing(entry.terms)
                self.ended(entry, self.attempt(call, entry.buyer, True))
        assert self.chain.ether(self.chain.contract.address) == 0
        self.everybody_has_what_the_ledger_says()


class VenomLedger(Ledger):
    experimental = True


@pytest.mark.parametrize(
    ("machine", "part"),
    [
        pytest.param(Ledger, 0.1, id="legacy"),
        pytest.param(VenomLedger, 0.05, id="venom", marks=pytest.mark.ci),
    ],
)
def test_no_channel_pays_more_than_it_holds_whoever_tries_what(
    machine: type[Ledger], part: float
) -> None:
    run_state_machine_as_test(machine, settings=examples(part, steps=15, allow=list(HealthCheck)))
