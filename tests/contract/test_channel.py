"""Channels: opened once, redeemed up to the deposit, closed by whoever may, and never again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from kits.bounty import UNNAMED
from kits.channel import HOUR, NOBODY, Channels

from protocol.addresses import to_checksum
from protocol.books.typed_data import Domain
from protocol.errors import Malformed
from protocol.sale.vouchers import (
    MAX_CHANNEL_SECONDS,
    MAX_DEPOSIT,
    Voucher,
    check_voucher,
    release_digest,
    voucher_digest,
)


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(False, id="legacy"),
        pytest.param(True, id="venom", marks=pytest.mark.ci),
    ],
)
def channel_chain(request: pytest.FixtureRequest) -> Channels:
    return Channels(experimental=request.param)


@pytest.fixture
def chain(channel_chain: Channels) -> Iterator[Channels]:
    snapshot = channel_chain.tester.take_snapshot()
    yield channel_chain
    channel_chain.tester.revert_to_snapshot(snapshot)


def test_a_channel_from_its_deposit_to_its_end(chain: Channels) -> None:
    terms = chain.open(1000)
    opened = chain.contract.functions.channel_id(
        *(to_checksum(each) for each in (terms.buyer, terms.seller, terms.token)),
        terms.expiry,
        terms.salt,
    ).call()
    assert bytes(opened) == terms.channel
    assert chain.word(terms) == (1000, 0, False)
    before = chain.ether(chain.seller)
    chain.send(chain.redeeming(terms, 30), chain.anybody)
    assert chain.ether(chain.seller) == before + 30
    receipt = chain.send(chain.redeeming(terms, 100), chain.anybody)
    assert chain.event(receipt, "Redeemed") == {
        "channel": terms.channel,
        "redeemed": 100,
        "paid": 70,
    }
    assert chain.ether(chain.seller) == before + 100
    chain.travel(terms.expiry)
    receipt = chain.send(chain.closing(terms), chain.buyer)
    assert chain.event(receipt, "Closed")["returned"] == 900
    assert chain.ether(chain.contract.address) == 0
    assert chain.word(terms) == (1000, 100, True)


def test_what_opens_no_channel(chain: Channels) -> None:
    terms = chain.terms()
    for changes, deposit, value, reason in (
        ({}, 0, 0, "deposit not in 1"),
        ({}, MAX_DEPOSIT + 1, 0, "deposit not in 1"),
        ({"seller": NOBODY}, 5, 5, "seller is zero"),
        ({"expiry": chain.now}, 5, 5, "expiry is past"),
        ({"expiry": chain.now + MAX_CHANNEL_SECONDS + HOUR}, 5, 5, "expiry is too far"),
        ({}, 5, 4, "value is not the escrow"),
        ({}, 5, 6, "value is not the escrow"),
        ({"token": b"t" * 20}, 5, 5, "ether for a job that pays in a token"),
        ({"token": b"t" * 20}, 5, 0, UNNAMED),
    ):
        call = chain.opening(dataclasses.replace(terms, **changes), deposit)
        chain.refused(call, reason, chain.buyer, value)
    chain.open(5, expiry=chain.now + MAX_CHANNEL_SECONDS)
    opened = chain.open(5, 1)
    chain.refused(chain.opening(opened, 5), "opened already", chain.buyer, 5)


def test_vouchers_that_are_not_this_channels_pay_nothing(chain: Channels) -> None:
    terms, other = chain.open(1000), chain.open(1000, 1)
    chain.send(chain.redeeming(terms, 100), chain.anybody)
    stranger = dataclasses.replace(chain.domain, contract=b"c" * 20)
    elsewhere = dataclasses.replace(chain.domain, chain_id=chain.domain.chain_id + 1)
    for call, reason in (
        (chain.redeeming(terms, 100), "nothing to redeem"),
        (chain.redeeming(terms, 99), "nothing to redeem"),
        (chain.redeeming(terms, 1001), "beyond the deposit"),
        (chain.redeeming(terms, 2**255), "beyond the deposit"),
        (chain.redeeming(terms, 200, chain.voucher(other, 200)), "not signed by the buyer"),
        (chain.redeeming(terms, 201, chain.voucher(terms, 200)), "not signed by the buyer"),
        (chain.redeeming(terms, 200, chain.voucher(terms, 200, chain.seller)), "not signed by"),
        (chain.redeeming(terms, 200, chain.released(terms, 200)), "not signed by the buyer"),
        (chain.redeeming(terms, 200, b""), "length is not 65"),
        (chain.redeeming(chain.terms(7), 200), "no such channel"),
    ):
        chain.refused(call, reason, chain.seller)
    for domain in (stranger, elsewhere):
        signature = chain.signed(voucher_digest(domain, terms.channel, 200), chain.buyer)
        chain.refused(chain.redeeming(terms, 200, signature), "not signed by", chain.seller)
    for changes in (
        {"buyer": other.seller},
        {"seller": b"s" * 20},
        {"token": b"t" * 20},
        {"expiry": terms.expiry + 1},
    ):
        changed = dataclasses.replace(terms, **changes)
        chain.refused(chain.redeeming(changed, 200), "no such channel", chain.seller)


def test_who_closes_and_when(chain: Channels) -> None:
    terms = chain.open(1000)
    chain.refused(chain.closing(terms), "not expired", chain.buyer)
    chain.refused(chain.closing(terms), "neither buyer nor seller", chain.anybody)
    early = chain.released(terms, 40)
    chain.refused(chain.closing(terms, 40, early), "is not redeemed yet", chain.buyer)
    chain.send(chain.redeeming(terms, 40), chain.anybody)
    for call in (
        chain.closing(terms, 40, chain.released(terms, 40, chain.buyer)),
        chain.closing(terms, 0, early),
        chain.closing(terms, 40, chain.voucher(terms, 40)),
    ):
        chain.refused(call, "not released by the seller", chain.buyer)
    before = chain.ether(terms.buyer)
    chain.send(chain.closing(terms, 40, early), chain.anybody)
    assert chain.ether(terms.buyer) == before + 960
    chain.refused(chain.closing(terms, 40, early), "closed", chain.buyer)
    chain.refused(chain.redeeming(terms, 50), "closed", chain.seller)
    chain.refused(chain.opening(terms, 1000), "opened already", chain.buyer, 1000)


def test_a_seller_may_give_up_and_a_late_voucher_still_pays(chain: Channels) -> None:
    given_up, late = chain.open(1000), chain.open(1000, 1)
    chain.send(chain.closing(given_up), chain.seller)
    assert chain.word(given_up) == (1000, 0, True)
    chain.travel(late.expiry + HOUR)
    chain.send(chain.redeeming(late, 1000), chain.seller)
    chain.send(chain.closing(late), chain.buyer)
    assert chain.ether(chain.contract.address) == 0


def test_a_seller_that_refuses_money_locks_nobodys(chain: Channels) -> None:
    attacker = chain.mock("attacker_mock")
    chain.send(attacker.functions.refuse(True))
    account = bytes.fromhex(attacker.address[2:])
    terms = chain.open(1000, seller=account)
    chain.refused(chain.redeeming(terms, 10), "attacker: no thanks", chain.anybody)
    chain.travel(terms.expiry)
    receipt = chain.send(chain.closing(terms), chain.buyer)
    assert chain.event(receipt, "Closed")["returned"] == 1000
    assert chain.ether(chain.contract.address) == 0


def test_a_seller_that_calls_back_is_paid_once(chain: Channels) -> None:
    attacker = chain.mock("attacker_mock")
    account = bytes.fromhex(attacker.address[2:])
    other = chain.open(5000, 1)
    terms = chain.open(1000, seller=account)
    again = chain.redeeming(terms, 1000)
    closing = chain.closing(terms)
    for inner in (again, closing, chain.redeeming(other, 5000)):
        data = bytes.fromhex(chain.contract.encode_abi(inner.fn_name, inner.args)[2:])
        chain.send(attacker.functions.call_back(chain.contract.address, data))
        amount = chain.word(terms)[1] + 10
        chain.send(chain.redeeming(terms, amount), chain.anybody)
        assert not attacker.functions.worked().call()
    assert attacker.functions.calls().call() == 3
    assert chain.ether(account) == 30
    assert chain.ether(chain.contract.address) == 6000 - 30


@pytest.mark.parametrize("name", ["token_mock", "silent_token_mock"])
def test_a_channel_in_a_token(chain: Channels, name: str) -> None:
    token = chain.mock(name)
    account = bytes.fromhex(token.address[2:])
    chain.send(token.functions.mint(chain.buyer, 1000))
    chain.send(token.functions.approve(chain.contract.address, 1000), chain.buyer)
    terms = chain.open(1000, token=account)
    chain.send(chain.redeeming(terms, 300), chain.seller)
    chain.send(chain.closing(terms, 300, chain.released(terms, 300)), chain.buyer)
    held = [
        token.functions.balanceOf(who).call()
        for who in (chain.buyer, chain.seller, chain.contract.address)
    ]
    assert held == [700, 300, 0]


def test_a_token_that_cheats_harms_its_own_channels_alone(chain: Channels) -> None:
    token = chain.mock("token_mock")
    account = bytes.fromhex(token.address[2:])
    chain.send(token.functions.mint(chain.buyer, 3000))
    chain.send(token.functions.approve(chain.contract.address, 3000), chain.buyer)
    ether = chain.open(1000)
    chain.send(token.functions.take_fee(1))
    in_token = chain.terms(1, token=account)
    chain.refused(chain.opening(in_token, 1000), "delivered another amount", chain.buyer)
    chain.send(token.functions.take_fee(0))
    terms = chain.open(1000, 2, token=account)
    inner = chain.redeeming(terms, 1000)
    data = bytes.fromhex(chain.contract.encode_abi(inner.fn_name, inner.args)[2:])
    chain.send(token.functions.call_back(chain.contract.address, data))
    chain.send(chain.redeeming(terms, 10), chain.seller)
    assert not token.functions.worked().call()
    chain.send(token.functions.refuse(True))
    chain.refused(chain.redeeming(terms, 20), "token refused the transfer", chain.seller)
    chain.send(token.functions.refuse(False))
    chain.send(chain.redeeming(terms, 20), chain.seller)
    chain.send(chain.redeeming(ether, 1000), chain.seller)
    assert chain.ether(chain.contract.address) == 0


def test_what_the_machines_accept_the_contract_pays(chain: Channels) -> None:
    terms = chain.open(1000)
    good = Voucher(200, chain.voucher(terms, 200))
    check_voucher(chain.domain, terms, good, 1000)
    chain.send(chain.redeeming(terms, good.amount, good.signature), chain.seller)
    other = Domain(chain.domain.chain_id + 1, chain.domain.contract)
    for domain, bad, deposit in (
        (chain.domain, Voucher(1001, chain.voucher(terms, 1001)), 1000),
        (chain.domain, Voucher(0, b""), 1000),
        (chain.domain, Voucher(201, good.signature), 1000),
        (other, good, 1000),
        (chain.domain, Voucher(200, chain.voucher(terms, 200, chain.seller)), 1000),
    ):
        with pytest.raises(Malformed, match="voucher"):
            check_voucher(domain, terms, bad, deposit)
    assert release_digest(chain.domain, terms.channel, 1) != voucher_digest(
        chain.domain, terms.channel, 1
    )
