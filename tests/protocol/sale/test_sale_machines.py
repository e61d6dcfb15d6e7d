"""Buyer and seller: one query at risk at most, through crashes, replays and a net that loses."""

from __future__ import annotations

import dataclasses
from hashlib import sha256
from typing import Any

import pytest
from eth_keys import keys
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from kits.examples import examples

from protocol.books.typed_data import Domain
from protocol.errors import InputError, Malformed, PeerError, StateError
from protocol.layout.queries import Mode
from protocol.params import SALE_MARGIN_SECONDS
from protocol.sale import buyer, seller
from protocol.sale.effects import (
    ComputePart,
    ComputeReveal,
    SendSale,
    SignVoucher,
    TransactRedeem,
)
from protocol.sale.inputs import (
    ActionAsk,
    ActionLeave,
    ActionRedeem,
    ActionSigned,
    ChainClosed,
    ChainRedeemed,
    ComputeDone,
    ComputeRefused,
    ComputeRevealed,
    ReceiveSale,
)
from protocol.sale.messages import (
    MAX_SALE_MESSAGE_BYTES,
    Asked,
    Blob,
    Chosen,
    Declined,
    Leave,
    Paid,
    Part,
    Receipt,
    Replied,
)
from protocol.sale.vouchers import NO_VOUCHER, Terms, Voucher, voucher_digest
from protocol.wire.codec import decode, decode_tagged, encode, encode_tagged

KEY = keys.PrivateKey(b"\x07" * 32)
STRANGER = keys.PrivateKey(b"\x08" * 32)
DOMAIN = Domain(1, b"c" * 20)
TERMS = Terms(KEY.public_key.to_canonical_address(), b"s" * 20, bytes(20), 10**9, bytes(32))
PRICE = 10
KINDS = (Asked, Chosen, Paid, Leave, Replied, Receipt, Declined)


def signed(amount: int, key: keys.PrivateKey = KEY, domain: Domain = DOMAIN) -> Voucher:
    signature = key.sign_msg_hash(voucher_digest(domain, TERMS.channel, amount)).to_bytes()
    return Voucher(amount, signature[:64] + bytes([27 + signature[64]]))


def blob(*of: object) -> Blob:
    """Bytes that follow from what they were made of, as workers' do."""
    data = repr(of).encode()
    return Blob(sha256(data).digest(), len(data))


class Sale(RuleBasedStateMachine):
    """A channel for three answers. What is due is carried out in any order, twice, or lost in a
    crash; messages are lost, repeated and reordered. A state is stored before anything is said, and
    else whenever a node likes. What was stored survives a crash, in bytes, and nothing else does.
    """

    mode = Mode.LABEL

    def __init__(self) -> None:
        super().__init__()
        self.bought = buyer.opened(TERMS, 3 * PRICE + 5, PRICE, self.mode)
        self.sold = seller.opened(TERMS, 3 * PRICE + 5, PRICE, self.mode)
        #: The same on disk.
        self.bought_stored, self.sold_stored = encode(self.bought), encode(self.sold)
        #: Messages that were ever said, each of which may arrive, again and again.
        self.to_seller: list[bytes] = []
        self.to_buyer: list[bytes] = []
        #: What left the machines for good: answers by number, results that were stored, money.
        self.answers: dict[int, set[bytes]] = {}
        self.results: dict[int, tuple[int, ...]] = {}
        self.rows: dict[int, bytes] = {}
        self.choices: dict[int, set[bytes]] = {}
        self.redeemed = 0
        self.released: int | None = None
        self.seeds = 0

    def fresh(self) -> bytes:
        self.seeds += 1
        return sha256(self.seeds.to_bytes(4, "big")).digest()

    def buys(self, happened: Any) -> None:
        before = self.bought
        try:
            after = buyer.step(self.bought, happened)
        except (StateError, PeerError, InputError):
            assert self.bought is before
            return
        self.bought = after

    @rule()
    def buyer_stores(self) -> None:
        before, after = self.buyers, self.bought
        assert after.answered - before.answered in (0, 1)
        if after.answered > before.answered:
            assert before.answered not in self.results  # no result is stored twice
            self.results[before.answered] = after.last
        self.bought_stored = encode(after)

    @rule()
    def seller_stores(self) -> None:
        self.sold_stored = encode(self.sold)

    @rule()
    def buyer_crashes(self) -> None:
        self.bought = self.buyers

    @rule()
    def seller_crashes(self) -> None:
        self.sold = self.sellers

    @property
    def buyers(self) -> buyer.BuyerState:
        """The buyer's state as it is on its disk."""
        return decode(buyer.BuyerState, self.bought_stored, 1 << 20)

    @property
    def sellers(self) -> seller.SellerState:
        """The seller's state as it is on its disk."""
        return decode(seller.SellerState, self.sold_stored, 1 << 20)

    def sells(self, happened: Any) -> None:
        before = self.sold
        try:
            after, said = seller.step(DOMAIN, self.sold, happened)
        except (StateError, PeerError):
            assert self.sold is before
            return
        self.sold = after
        if isinstance(happened, ReceiveSale) and isinstance(happened.message, Leave) and not said:
            self.seller_stores()
            self.released = self.sold.voucher.amount
        for effect in said:
            self.says(effect)

    def says(self, effect: SendSale) -> None:
        data = encode_tagged(effect.message)
        assert len(data) <= MAX_SALE_MESSAGE_BYTES
        match effect.message:
            case Asked() | Paid() | Leave():
                self.buyer_stores()
                self.to_seller.append(data)
            case Chosen(number=number, choices=made):
                self.buyer_stores()
                self.choices.setdefault(number, set()).add(made.digest)
                self.to_seller.append(data)
            case Replied(number=number, part=Part.ANSWER, blob=made):
                self.seller_stores()
                self.answers.setdefault(number, set()).add(made.digest)
                self.to_buyer.append(data)
            case _:
                self.seller_stores()
                self.to_buyer.append(data)

    @initialize()
    def start(self) -> None:
        self.asks()

    @rule()
    def asks(self) -> None:
        number = self.bought.answered
        row = sha256(b"row %d" % number).digest()
        self.buys(ActionAsk(row, self.fresh()))

    @rule(which=st.integers(0, 3))
    def buyer_does(self, which: int) -> None:
        effects = buyer.due(self.bought)
        if not effects:
            return
        match effects[which % len(effects)]:
            case ComputePart(number=number, part=part, sent=sent, seed=seed):
                self.buys(ComputeDone(number, part, blob(number, part, sent, seed)))
            case ComputeReveal(number=number, answer=answer):
                self.buys(ComputeRevealed(number, (answer[0],)))
            case SignVoucher(amount=amount):
                self.buys(ActionSigned(amount, signed(amount).signature))
            case SendSale() as said:
                self.says(said)

    @rule(which=st.integers(0, 3))
    def seller_does(self, which: int) -> None:
        effects = seller.due(self.sold)
        if not effects:
            return
        match effects[which % len(effects)]:
            case ComputePart(number=number, part=part, sent=sent, seed=seed):
                self.sells(ComputeDone(number, part, blob(number, part, sent, seed)))
            case TransactRedeem(voucher=voucher):
                self.seller_stores()
                # The contract's rule.
                assert voucher == signed(voucher.amount)
                assert voucher.amount <= self.sold.deposit
                self.redeemed = max(self.redeemed, voucher.amount)
                self.sells(ChainRedeemed(self.redeemed))
            case SendSale() as said:
                self.says(said)

    @precondition(lambda self: self.to_seller)
    @rule(which=st.integers(0, 30))
    def seller_hears(self, which: int) -> None:
        data = self.to_seller[-1 - which % len(self.to_seller)]
        message = decode_tagged(KINDS, data, MAX_SALE_MESSAGE_BYTES)
        self.sells(ReceiveSale(message, 0, self.fresh()))

    @precondition(lambda self: self.to_buyer)
    @rule(which=st.integers(0, 30))
    def buyer_hears(self, which: int) -> None:
        data = self.to_buyer[-1 - which % len(self.to_buyer)]
        message = decode_tagged(KINDS, data, MAX_SALE_MESSAGE_BYTES)
        if not isinstance(message, Declined):  # honest messages that come late are declined
            self.buys(ReceiveSale(message))

    @rule(
        number=st.integers(0, 4),
        amount=st.integers(0, 50),
        good=st.booleans(),
        kind=st.sampled_from([Asked, Chosen, Paid]),
    )
    def a_hostile_buyer_says(self, number: int, amount: int, good: bool, kind: type) -> None:
        """Whatever it likes, but no voucher of more than is owed: only its key could grant that."""
        amount = min(amount, self.buyers.voucher.amount) if good else amount
        voucher = signed(amount, KEY if good else STRANGER) if amount else NO_VOUCHER
        channel = TERMS.channel
        message: Any = {
            Asked: lambda: Asked(channel, number, blob("hostile", number), voucher),
            Chosen: lambda: Chosen(channel, number, blob("hostile", number)),
            Paid: lambda: Paid(channel, voucher),
        }[kind]()
        serving = self.sold.serving
        if kind is Asked and number == self.sold.taken and number == self.bought.answered:
            return  # it would take the honest buyer's place: its own loss
        if kind is Chosen and serving and serving.phase is seller.Phase.MASKED:
            return
        self.sells(ReceiveSale(message, 0, self.fresh()))

    @rule(number=st.integers(0, 4), part=st.sampled_from(Part), amount=st.integers(0, 60))
    def a_hostile_seller_says(self, number: int, part: Part, amount: int) -> None:
        """Receipts for nothing, answers to what was not asked."""
        self.buys(ReceiveSale(Receipt(TERMS.channel, Voucher(amount, b""))))
        if number != self.bought.answered:
            self.buys(ReceiveSale(Replied(TERMS.channel, number, part, blob("hostile"))))

    @rule()
    def redeems(self) -> None:
        self.sells(ActionRedeem())

    @invariant()
    def one_query_at_risk(self) -> None:
        given = len(self.answers)
        bought, sold = self.buyers, self.sellers
        assert sold.answered >= given
        assert given * PRICE - sold.voucher.amount <= PRICE
        assert sold.answered * PRICE - sold.voucher.amount <= PRICE
        # The buyer grants what it has stored, and nothing besides.
        assert bought.voucher.amount <= len(self.results) * PRICE == bought.owed
        assert self.sold.voucher.amount <= bought.voucher.amount
        assert self.redeemed <= sold.voucher.amount <= sold.deposit

    @invariant()
    def one_answer_a_number(self) -> None:
        assert all(len(made) == 1 for made in self.answers.values())
        assert all(len(made) == 1 for made in self.choices.values())
        assert len(self.answers) <= 3

    def teardown(self) -> None:
        """Whatever happened, both go on from what is stored: all is answered, paid and redeemed."""
        for _ in range(40):
            self.asks()
            for effects, does in ((buyer.due, self.buyer_does), (seller.due, self.seller_does)):
                state: Any = self.bought if effects is buyer.due else self.sold
                for which in range(len(effects(state))):
                    does(which)
            for hears, said in (
                (self.seller_hears, self.to_seller),
                (self.buyer_hears, self.to_buyer),
            ):
                if said:
                    hears(0)
                    hears(1)
        self.buyer_stores()
        assert self.bought.answered == len(self.results) == 3
        assert self.sold.voucher.amount == 3 * PRICE
        self.redeems()
        self.seller_does(0)
        assert self.redeemed == 3 * PRICE
        self.one_query_at_risk()


class ScoresSale(Sale):
    mode = Mode.SCORES


class LeftSale(Sale):
    """The same, with a buyer that leaves at some point, and a hostile one that says so too."""

    @rule()
    def leaves(self) -> None:
        self.buys(ActionLeave())
        if self.bought.ended:
            self.says(SendSale(Leave(TERMS.channel, self.bought.voucher)))

    @rule(amount=st.integers(0, 50), good=st.booleans())
    def a_hostile_buyer_leaves(self, amount: int, good: bool) -> None:
        amount = min(amount, self.buyers.voucher.amount) if good else amount
        voucher = signed(amount, KEY if good else STRANGER) if amount else NO_VOUCHER
        self.sells(ReceiveSale(Leave(TERMS.channel, voucher)))

    @invariant()
    def a_release_covers_every_answer(self) -> None:
        if self.released is not None:
            sold = self.sellers
            assert self.released == sold.voucher.amount == sold.deposit
            assert len(self.answers) * PRICE <= sold.answered * PRICE <= self.released

    def teardown(self) -> None:
        """All that was answered is granted, and the rest released: no query is open for ever."""
        for _ in range(40):
            self.leaves()
            for effects, does in ((buyer.due, self.buyer_does), (seller.due, self.seller_does)):
                state: Any = self.bought if effects is buyer.due else self.sold
                for which in range(len(effects(state))):
                    does(which)
            for hears, said in (
                (self.seller_hears, self.to_seller),
                (self.buyer_hears, self.to_buyer),
            ):
                for which in range(min(3, len(said))):
                    hears(which)
        self.buyer_stores()
        if self.bought.query is None and self.sold.taken == self.bought.answered:
            assert self.released == len(self.results) * PRICE
        self.one_query_at_risk()
        self.a_release_covers_every_answer()


@pytest.mark.parametrize(
    "machine", [Sale, ScoresSale, LeftSale], ids=["label", "scores", "leaving"]
)
def test_nothing_is_lost_or_doubled_whatever_crashes_and_is_replayed(machine: type[Sale]) -> None:
    run_state_machine_as_test(machine, settings=examples(2, steps=60))


def fresh_pair(mode: Mode = Mode.LABEL) -> tuple[buyer.BuyerState, seller.SellerState]:
    return (
        buyer.opened(TERMS, 35, PRICE, mode),
        seller.opened(TERMS, 35, PRICE, mode),
    )


def heard(state: seller.SellerState, message: Any, now: int = 0) -> Any:
    return seller.step(DOMAIN, state, ReceiveSale(message, now, b"s" * 32))


def asked(number: int, voucher: Voucher = NO_VOUCHER, name: str = "q") -> Asked:
    return Asked(TERMS.channel, number, blob(name, number), voucher)


def reason(said: Any) -> str:
    [effect] = said
    assert isinstance(effect.message, Declined)
    return effect.message.reason


def answered(state: seller.SellerState, number: int, voucher: Voucher) -> seller.SellerState:
    state, _ = heard(state, asked(number, voucher))
    state, _ = seller.step(DOMAIN, state, ComputeDone(number, Part.ANSWER, blob("a", number)))
    return state


def test_vouchers_that_do_not_hold_are_refused() -> None:
    _, state = fresh_pair(Mode.SCORES)
    state = answered(state, 0, NO_VOUCHER)
    other = dataclasses.replace(DOMAIN, chain_id=2)
    elsewhere = dataclasses.replace(DOMAIN, contract=b"d" * 20)
    for bad in (
        signed(10, STRANGER),
        signed(10, KEY, other),
        signed(10, KEY, elsewhere),
        Voucher(20, signed(10).signature),
        signed(36),
        Voucher(10, b""),
        Voucher(10, b"\x01" * 65),
    ):
        for message in (asked(1, bad), Paid(TERMS.channel, bad)):
            with pytest.raises(Malformed):
                heard(state, message)
    paid, said = heard(state, Paid(TERMS.channel, signed(10)))
    assert paid.voucher == signed(10)
    assert said[0].message == Receipt(TERMS.channel, signed(10))
    # Replayed or lowered: nothing changes, and the receipt says what is held.
    again, said = heard(paid, Paid(TERMS.channel, signed(5)))
    assert again == paid
    assert said[0].message.voucher == signed(10)


def test_a_query_is_declined_until_the_last_is_paid() -> None:
    _, state = fresh_pair(Mode.SCORES)
    state = answered(state, 0, NO_VOUCHER)
    same, said = heard(state, asked(1))
    assert same == state
    assert reason(said) == "10 are owed, 0 granted"
    assert heard(state, asked(1, signed(10)))[0].taken == 2


def test_what_else_is_declined() -> None:
    _, state = fresh_pair(Mode.SCORES)
    late = TERMS.expiry - SALE_MARGIN_SECONDS
    assert heard(state, asked(0), late)[0].taken == 1
    assert "expires within" in reason(heard(state, asked(0), late + 1)[1])
    assert reason(heard(state, asked(2))[1]) == "query 0 is the next"
    closed, _ = seller.step(DOMAIN, state, ChainClosed())
    assert reason(heard(closed, asked(0))[1]) == "the channel is closed"
    taken, _ = heard(state, asked(0))
    assert reason(heard(taken, asked(0, name="x"))[1]) == "another query has this number"
    assert reason(heard(taken, asked(1, signed(10)))[1]) == "query 0 is not answered yet"
    for number in range(3):
        state = answered(state, number, signed(number * 10) if number else NO_VOUCHER)
    beyond = reason(heard(state, asked(3, signed(30)))[1])
    assert beyond == "the deposit is 35, with this one 40 would be owed"
    with pytest.raises(PeerError, match="another channel"):
        heard(state, Paid(bytes(32), signed(10)))
    with pytest.raises(PeerError, match="a buyer says no Receipt"):
        heard(state, Receipt(TERMS.channel, NO_VOUCHER))


def test_a_second_choice_is_declined() -> None:
    _, state = fresh_pair()
    state, _ = heard(state, asked(0))
    state, _ = seller.step(DOMAIN, state, ComputeDone(0, Part.MASKED, blob("m")))
    state, _ = heard(state, Chosen(TERMS.channel, 0, blob("first")))
    for made in (False, True):
        if made:
            state, _ = seller.step(DOMAIN, state, ComputeDone(0, Part.ANSWER, blob("a")))
        same, said = heard(state, Chosen(TERMS.channel, 0, blob("second")))
        assert same == state
        assert reason(said) == "it was chosen otherwise before"
    [again] = heard(state, Chosen(TERMS.channel, 0, blob("first")))[1]
    assert again.message == Replied(TERMS.channel, 0, Part.ANSWER, blob("a"))


def test_what_a_worker_refuses_frees_the_number_and_costs_nothing() -> None:
    _, state = fresh_pair()
    taken, _ = heard(state, asked(0))
    freed, said = seller.step(DOMAIN, taken, ComputeRefused(0, Part.QUERY, "no unit"))
    assert freed == state
    assert reason(said) == "no unit"
    taken, _ = heard(freed, asked(0, name="better"))
    masked, _ = seller.step(DOMAIN, taken, ComputeDone(0, Part.MASKED, blob("m")))
    chosen, _ = heard(masked, Chosen(TERMS.channel, 0, blob("bad")))
    back, said = seller.step(DOMAIN, chosen, ComputeRefused(0, Part.CHOICES, "no point"))
    assert back == masked
    assert reason(said) == "no point"


def test_halfway_left_a_thousand_times_nothing_grows() -> None:
    """A buyer that asks, hears the masked answer and begins anew gets the same bytes each time."""
    _, state = fresh_pair()
    state, _ = heard(state, asked(0))
    state, _ = seller.step(DOMAIN, state, ComputeDone(0, Part.MASKED, blob("m")))
    size = len(encode(state))
    for attempt in range(1000):
        after, said = heard(state, asked(0, name="q" if attempt % 2 else "other"))
        assert after == state
        if attempt % 2:
            assert said[0].message.blob == blob("m")
    assert len(encode(state)) == size


def test_garbage_ends_the_buying_and_is_kept_unpaid() -> None:
    state, _ = fresh_pair(Mode.SCORES)
    state = buyer.step(state, ActionAsk(bytes(32), b"s" * 32))
    state = buyer.step(state, ComputeDone(0, Part.QUERY, blob("q")))
    garbage = Replied(TERMS.channel, 0, Part.ANSWER, blob("garbage"))
    state = buyer.step(state, ReceiveSale(garbage))
    state = buyer.step(state, ComputeRefused(0, Part.ANSWER, "opens to neither"))
    assert state.garbage == (blob("garbage"),)
    assert state.ended == "the seller's answer: opens to neither"
    assert buyer.due(state) == ()
    assert state.owed == 0
    with pytest.raises(InputError, match="asks no more: the seller's answer"):
        buyer.step(state, ActionAsk(bytes(32), b"t" * 32))


def test_a_row_that_is_refused_at_home_is_forgotten() -> None:
    state, _ = fresh_pair()
    asking = buyer.step(state, ActionAsk(bytes(32), b"s" * 32))
    assert buyer.step(asking, ComputeRefused(0, Part.QUERY, "NaN")) == state


def test_a_buyer_asks_no_more_than_its_deposit_pays() -> None:
    state = dataclasses.replace(fresh_pair()[0], answered=3)
    with pytest.raises(InputError, match="holds 35, of which 30 are owed; a row costs 10"):
        buyer.step(state, ActionAsk(bytes(32), b"s" * 32))


def test_a_buyer_believes_no_receipt_that_it_did_not_sign() -> None:
    state = dataclasses.replace(fresh_pair()[0], answered=2, voucher=signed(20))
    with pytest.raises(PeerError, match="a receipt for 21, signed is 20"):
        buyer.step(state, ReceiveSale(Receipt(TERMS.channel, Voucher(21, b""))))
    with pytest.raises(PeerError, match="which was not asked"):
        buyer.step(state, ReceiveSale(Replied(TERMS.channel, 3, Part.MASKED, blob("x"))))
    with pytest.raises(StateError, match="a voucher for 21, 20 is owed"):
        buyer.step(state, ActionSigned(21, b"x" * 65))


def test_the_next_query_waits_for_the_last_ones_voucher() -> None:
    """It is said with that voucher: a seller declines one without."""
    state = dataclasses.replace(fresh_pair()[0], answered=1)
    state = buyer.step(state, ActionAsk(bytes(32), b"s" * 32))
    assert buyer.due(state) == (SignVoucher(PRICE),)
    state = buyer.step(state, ActionSigned(PRICE, signed(PRICE).signature))
    assert {type(effect) for effect in buyer.due(state)} == {SendSale, ComputePart}
    state = buyer.step(state, ComputeDone(1, Part.QUERY, blob("q")))
    [said] = [
        effect.message
        for effect in buyer.due(state)
        if isinstance(effect, SendSale) and isinstance(effect.message, Asked)
    ]
    assert said == Asked(TERMS.channel, 1, blob("q"), signed(PRICE))


def test_a_decline_ends_the_buying() -> None:
    state, _ = fresh_pair()
    state = buyer.step(state, ActionAsk(bytes(32), b"s" * 32))
    state = buyer.step(state, ComputeDone(0, Part.QUERY, blob("q")))
    over = buyer.step(state, ReceiveSale(Declined(TERMS.channel, 0, "too late")))
    assert over.ended == "the seller declined: too late"
    assert buyer.due(over) == ()
    assert buyer.step(state, ReceiveSale(Declined(TERMS.channel, 7, "old"))) == state
    long = buyer.step(state, ReceiveSale(Declined(TERMS.channel, 0, "é" * 150)))
    assert len(long.ended.encode()) <= 300


def left(amount: int) -> Leave:
    return Leave(TERMS.channel, signed(amount) if amount else NO_VOUCHER)


def test_a_seller_releases_what_is_granted_and_takes_no_query_more() -> None:
    _, state = fresh_pair(Mode.SCORES)
    state = answered(state, 0, NO_VOUCHER)
    same, said = heard(state, left(0))
    assert (same, reason(said)) == (state, "10 are owed, 0 granted")
    released, said = heard(state, left(10))
    assert said == ()
    assert (released.voucher, released.deposit) == (signed(10), 10)
    assert heard(released, left(10)) == (released, ())
    assert "would be owed" in reason(heard(released, asked(1, signed(10)))[1])
    with pytest.raises(Malformed):
        heard(released, asked(1, signed(20)))
    # It is paid still, and says again what it said.
    redeeming, _ = seller.step(DOMAIN, released, ActionRedeem())
    assert seller.due(redeeming)[0] == TransactRedeem(signed(10))
    assert heard(released, asked(0))[1][0].message.part is Part.ANSWER


def test_nothing_is_released_over_an_open_query() -> None:
    _, state = fresh_pair()
    assert heard(state, left(0))[0].deposit == 0
    state, _ = heard(state, asked(0))
    assert reason(heard(state, left(0))[1]) == "query 0 is not answered yet"
    state, _ = seller.step(DOMAIN, state, ComputeDone(0, Part.MASKED, blob("m")))
    # A release of nothing, and then the choices, would be an answer for nothing.
    assert reason(heard(state, left(0))[1]) == "query 0 is not answered yet"
    for bad in (signed(10, STRANGER), signed(36)):
        with pytest.raises(Malformed):
            heard(state, Leave(TERMS.channel, bad))


def test_a_buyer_that_leaves_asks_no_more_and_pays_what_it_owes() -> None:
    state = dataclasses.replace(fresh_pair()[0], answered=2)
    gone = buyer.step(state, ActionLeave())
    assert buyer.due(gone) == (SignVoucher(20),)
    with pytest.raises(InputError, match="asks no more: its rest is taken back"):
        buyer.step(gone, ActionAsk(bytes(32), b"s" * 32))
    assert buyer.step(gone, ActionLeave()) == gone
    asking = buyer.step(state, ActionAsk(bytes(32), b"s" * 32))
    with pytest.raises(StateError, match="query 2 is open still"):
        buyer.step(asking, ActionLeave())
    over = dataclasses.replace(state, ended="the seller declined: x")
    assert buyer.step(over, ActionLeave()) == over
