"""A whole sale without a daemon: machines, real queries, real vouchers, the contract; and crashes.

What a daemon will do is done here by hand: a state is stored as bytes before what is due is carried
out, and bytes that were made are kept by digest. Between any two acts either side may lose all that
is not stored.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from kits.channel import Channels
from kits.queries import Sale, sale

from protocol.arith.paillier.cryptosystem import PrivateKey, generate_short_key
from protocol.arith.queries import answer, ask, label, plain
from protocol.errors import Malformed, PeerError, StateError
from protocol.layout.queries import Mode
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
    ActionRedeem,
    ActionSigned,
    ChainClosed,
    ChainRedeemed,
    ComputeDone,
    ComputeRefused,
    ComputeRevealed,
    ReceiveSale,
)
from protocol.sale.messages import Blob, Part
from protocol.wire.codec import decode, encode

PRICE, ROWS = 10**9, 4


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return generate_short_key(512, secrets.token_bytes)


@pytest.fixture(scope="module")
def chain() -> Channels:
    return Channels()


@dataclass
class Market:
    """Both sides' disks, and a wire between them that holds one message each way."""

    chain: Channels
    of: Sale
    deposit: int
    crash: int = -1
    acts: int = 0
    blobs: dict[bytes, bytes] = field(default_factory=dict)
    found: list[tuple[int, ...]] = field(default_factory=list)
    garbage: bool = False

    def __post_init__(self) -> None:
        self.terms = self.chain.open(self.deposit, int.from_bytes(secrets.token_bytes(8), "big"))
        mode = self.of.layout.mode
        self.bought = encode(buyer.opened(self.terms, self.deposit, PRICE, mode))
        self.sold = encode(seller.opened(self.terms, self.deposit, PRICE, mode))

    @property
    def buyers(self) -> buyer.BuyerState:
        return decode(buyer.BuyerState, self.bought, 1 << 16)

    @property
    def sellers(self) -> seller.SellerState:
        return decode(seller.SellerState, self.sold, 1 << 16)

    def kept(self, data: bytes) -> Blob:
        digest = sha256(data).digest()
        self.blobs[digest] = data
        return Blob(digest, len(data))

    def buys(self, happened: Any) -> None:
        before, after = self.buyers, buyer.step(self.buyers, happened)
        self.bought = encode(after)
        if after.answered > before.answered:
            self.found.append(after.last)

    def sells(self, happened: Any) -> None:
        try:
            after, said = seller.step(self.chain.domain, self.sellers, happened)
        except (StateError, PeerError):
            return
        self.sold = encode(after)
        for effect in said:
            self.carry(effect)

    def crashes(self) -> bool:
        """Whether the process ends before this act's outcome is stored."""
        self.acts += 1
        return self.acts == self.crash

    def carry(self, effect: Any) -> None:
        """One effect; a crash loses what it would have led to."""
        if self.crashes():
            return
        match effect:
            case ComputePart():
                self.compute(effect)
            case ComputeReveal():
                self.reveal(effect)
            case SignVoucher(amount=amount):
                signature = self.chain.voucher(self.terms, amount)
                self.buys(ActionSigned(amount, signature))
            case TransactRedeem(voucher=voucher):
                call = self.chain.redeeming(self.terms, voucher.amount, voucher.signature)
                self.chain.send(call, self.chain.seller)
                self.sells(ChainRedeemed(voucher.amount))
            case SendSale(message=message):
                if type(message).__name__ in ("Asked", "Chosen", "Paid"):
                    now, seed = self.chain.now, secrets.token_bytes(32)
                    self.sells(ReceiveSale(message, now, seed))
                else:
                    self.buys(ReceiveSale(message))

    def maker(self, number: int) -> bytes:
        return sha256(self.terms.channel + number.to_bytes(4, "big")).digest()

    def compute(self, effect: ComputePart) -> None:
        of, sent, maker = self.of, self.blobs[effect.sent], self.maker(effect.number)
        common = of.layout, of.public, of.weights
        match effect.part, of.layout.mode:
            case Part.QUERY, _:
                row = np.frombuffer(sent)
                made = ask.ask(of.layout, of.private, row, maker, secrets.token_bytes)
                self.buys(ComputeDone(effect.number, Part.QUERY, self.kept(made)))
                return
            case Part.CHOICES, _:
                made = label.choose(of.layout, of.private, sent, maker, effect.seed)
                self.buys(ComputeDone(effect.number, Part.CHOICES, self.kept(made)))
                return
            case Part.MASKED, _:
                made = label.mask(*common, sent, maker, effect.seed)
            case _, Mode.SCORES:
                made = answer.answer_scores(*common, sent, maker, effect.seed)
            case _:
                serving = self.sellers.serving
                assert serving is not None
                made = label.garble(
                    of.layout, of.public, serving.blobs[0].digest, sent, maker, effect.seed
                )
        if self.garbage and effect.part is Part.ANSWER:
            # Zeros: a random ciphertext would open to scores, which may be anything.
            made = made[:45] + bytes(len(made) - 45)
        self.sells(ComputeDone(effect.number, effect.part, self.kept(made)))

    def reveal(self, effect: ComputeReveal) -> None:
        of, maker, query = self.of, self.maker(effect.number), self.buyers.query
        assert query is not None
        reply = self.blobs[effect.answer]
        try:
            if of.layout.mode is Mode.SCORES:
                found = tuple(ask.open_scores(of.layout, of.private, reply, maker).tolist())
            else:
                masked = self.blobs[query.blobs[1].digest]
                args = of.layout, of.private, masked, reply, maker, effect.seed
                found = (label.reveal(*args),)
        except Malformed as error:
            self.buys(ComputeRefused(effect.number, Part.ANSWER, str(error)))
            return
        self.buys(ComputeRevealed(effect.number, found))

    def run(self, rows: np.ndarray) -> None:
        """Until all rows are answered and paid, or the buyer asks no more."""
        for _ in range(400):
            state = self.buyers
            if state.query is None and state.answered < len(rows) and not state.ended:
                row = self.kept(rows[state.answered].tobytes())
                self.buys(ActionAsk(row.digest, secrets.token_bytes(32)))
            effects = [*buyer.due(self.buyers), *seller.due(self.sellers)]
            if state.held == len(rows) * PRICE or (state.ended and not buyer.due(state)):
                return
            for effect in effects[:1] if self.acts % 2 else effects[::-1][:1]:
                try:
                    self.carry(effect)
                except (StateError, PeerError):
                    continue
        raise AssertionError("the sale does not come to an end")


def expected(of: Sale, rows: np.ndarray) -> list[tuple[int, ...]]:
    found = []
    for row in rows:
        scores = plain.scores(of.layout, of.weights, plain.quantise_features(of.layout, row))
        label_alone = of.layout.mode is Mode.LABEL
        found.append((int(np.argmax(scores)),) if label_alone else tuple(scores.tolist()))
    return found


def rows(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (ROWS, 5))


@pytest.mark.parametrize("mode", list(Mode))
def test_answers_are_the_models_and_wei_in_is_wei_out(
    chain: Channels, key: PrivateKey, mode: Mode
) -> None:
    market = Market(chain, sale(key, mode, 5, 4), ROWS * PRICE + 7)
    market.run(rows(1))
    assert market.found == expected(market.of, rows(1))
    before = chain.ether(chain.contract.address)
    market.sells(ActionRedeem())
    [redeem] = [each for each in seller.due(market.sellers) if isinstance(each, TransactRedeem)]
    market.carry(redeem)
    paid = ROWS * PRICE
    assert chain.word(market.terms) == (paid + 7, paid, False)
    assert market.sellers.redeemed == paid
    assert not market.sellers.redeeming
    release = chain.released(market.terms, paid)
    chain.send(chain.closing(market.terms, paid, release), chain.buyer)
    assert chain.ether(chain.contract.address) == before - paid - 7
    market.sells(ChainClosed())
    assert market.sellers.closed


@pytest.mark.parametrize("mode", list(Mode))
def test_a_crash_at_any_act_loses_and_doubles_nothing(
    chain: Channels, key: PrivateKey, mode: Mode
) -> None:
    """Each act of two rows once, on either side: what it did is lost, and the sale goes on."""
    of, asked = sale(key, mode, 5, 4), rows(2)[:2]
    whole = Market(chain, of, 2 * PRICE)
    whole.run(asked)
    assert whole.acts > 10
    for crash in range(1, whole.acts + 1):
        market = Market(chain, of, 2 * PRICE, crash)
        market.run(asked)
        assert market.found == expected(of, asked)
        assert market.buyers.voucher == market.sellers.voucher
        assert market.sellers.voucher.amount == 2 * PRICE


@pytest.mark.parametrize("mode", list(Mode))
def test_garbage_is_kept_and_not_paid(chain: Channels, key: PrivateKey, mode: Mode) -> None:
    market = Market(chain, sale(key, mode, 5, 4), ROWS * PRICE, garbage=True)
    market.run(rows(3))
    assert market.found == []
    [kept] = market.buyers.garbage
    assert kept.digest in market.blobs
    assert market.buyers.ended.startswith("the seller's answer: ")
    assert market.sellers.voucher.amount == 0
    assert market.sellers.answered == 1
