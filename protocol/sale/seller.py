"""The seller's machine: one channel, one query at a time, the next one once the last is paid.

Before a query is looked at, all earlier ones are granted by a voucher that the contract would pay,
and the deposit covers this one: so at most one answer is ever unpaid. The query that was taken last
keeps its seed and what was said of it: who asks again, after a crash on either side, is told the
same bytes, and never a second answer.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from protocol.books.typed_data import Domain
from protocol.errors import PeerError, StateError
from protocol.layout.queries import Mode
from protocol.params import MAX_REASON_BYTES, SALE_MARGIN_SECONDS
from protocol.sale.effects import ComputePart, SellerEffect, SendSale, TransactRedeem
from protocol.sale.inputs import (
    ActionRedeem,
    ChainClosed,
    ChainRedeemed,
    ComputeDone,
    ComputeRefused,
    ReceiveSale,
    SellerInput,
)
from protocol.sale.messages import (
    Asked,
    Blob,
    Chosen,
    Declined,
    Leave,
    Number,
    Paid,
    Part,
    Receipt,
    Replied,
)
from protocol.sale.vouchers import NO_VOUCHER, Terms, Voucher, check_voucher
from protocol.wire.codec import Amount, Size, Wire
from protocol.wire.messages import Digest


class Phase(Enum):
    """How far the seller is with a query."""

    ANSWERING = "answering"
    MASKING = "masking"
    MASKED = "masked"
    GARBLING = "garbling"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class Serving(Wire):
    """The query that was taken last: its secret, and its bytes so far, the query's first."""

    seed: Digest
    phase: Phase
    blobs: Annotated[tuple[Blob, ...], Size(1, 4)]


@dataclass(frozen=True, slots=True)
class SellerState(Wire):
    """All that a seller keeps of a channel; secret, for `seed`.

    `deposit` is what vouchers may grant: what the chain has, and once its rest was released, what
    was granted then. `taken` queries were taken, of which the last is `serving`. `voucher` is the
    largest that holds, `redeemed` what the chain has paid; `redeeming` says that the voucher is
    wanted on the chain.
    """

    terms: Terms
    deposit: Amount
    price: Amount
    mode: Mode
    taken: Number
    serving: Serving | None
    voucher: Voucher
    redeemed: Amount
    redeeming: bool
    closed: bool

    @property
    def answered(self) -> int:
        """How many answers were given, or may have been."""
        given = self.serving is not None and self.serving.phase is Phase.ANSWERED
        return self.taken if given or not self.taken else self.taken - 1

    @property
    def needed(self) -> tuple[bytes, ...]:
        """Digests of the bytes that are computed with still, or may be asked for again."""
        if self.serving is None:
            return ()
        blobs = [blob.digest for blob in self.serving.blobs]
        match self.serving.phase:
            case Phase.MASKED:
                return (blobs[1],)
            case Phase.GARBLING:
                # Choices that are none leave the masked answer standing.
                return blobs[1], blobs[2]
            case _:
                return (blobs[-1],)


def opened(terms: Terms, deposit: int, price: int, mode: Mode) -> SellerState:
    """The state of a channel that the chain has, for good."""
    return SellerState(terms, deposit, price, mode, 0, None, NO_VOUCHER, 0, False, False)


def step(
    domain: Domain, state: SellerState, happened: SellerInput
) -> tuple[SellerState, tuple[SendSale, ...]]:
    """The next state, and what is said once about this input. Raises StateError for what does not
    fit this one, PeerError (Malformed for a voucher that does not hold) for what a buyer may not
    say; the state is then unchanged."""
    match happened:
        case ActionRedeem():
            if state.closed or state.voucher.amount <= state.redeemed:
                raise StateError("there is nothing to redeem")
            return dataclasses.replace(state, redeeming=True), ()
        case ComputeDone():
            return _made(state, happened), ()
        case ComputeRefused():
            return _refused(state, happened)
        case ReceiveSale():
            return _received(domain, state, happened)
        case ChainRedeemed():
            redeemed = max(state.redeemed, happened.amount)
            redeeming = state.redeeming and redeemed < state.voucher.amount
            return dataclasses.replace(state, redeemed=redeemed, redeeming=redeeming), ()
        case ChainClosed():
            return dataclasses.replace(state, closed=True, redeeming=False), ()


def due(state: SellerState) -> tuple[SellerEffect, ...]:
    """What has to be done in this state. Replies are said when they are asked for again, too."""
    effects: list[SellerEffect] = []
    if state.redeeming:
        effects.append(TransactRedeem(state.voucher))
    serving = state.serving
    if serving is None or state.closed:
        return tuple(effects)
    number = state.taken - 1
    match serving.phase:
        case Phase.ANSWERING:
            sent = serving.blobs[0].digest
            effects.append(ComputePart(number, Part.ANSWER, sent, serving.seed))
        case Phase.MASKING:
            sent = serving.blobs[0].digest
            effects.append(ComputePart(number, Part.MASKED, sent, serving.seed))
        case Phase.GARBLING:
            sent = serving.blobs[2].digest
            effects.append(ComputePart(number, Part.ANSWER, sent, serving.seed))
        case Phase.MASKED | Phase.ANSWERED:
            effects.append(_reply(state, serving))
    return tuple(effects)


def _reply(state: SellerState, serving: Serving) -> SendSale:
    part = Part.MASKED if serving.phase is Phase.MASKED else Part.ANSWER
    replied = Replied(state.terms.channel, state.taken - 1, part, serving.blobs[-1])
    return SendSale(replied)


def _made(state: SellerState, happened: ComputeDone) -> SellerState:
    serving = _at(state, happened.number)
    after = {
        (Phase.ANSWERING, Part.ANSWER): Phase.ANSWERED,
        (Phase.MASKING, Part.MASKED): Phase.MASKED,
        (Phase.GARBLING, Part.ANSWER): Phase.ANSWERED,
    }.get((serving.phase, happened.part))
    if after is None:
        raise StateError(f"{happened.part.value} was made while {serving.phase.value}")
    return _grown(state, serving, after, happened.blob)


def _refused(
    state: SellerState, happened: ComputeRefused
) -> tuple[SellerState, tuple[SendSale, ...]]:
    serving = _at(state, happened.number)
    said = _declined(state, happened.number, happened.reason)
    if serving.phase in (Phase.ANSWERING, Phase.MASKING):
        # Nothing was said about it: its number is free again.
        return dataclasses.replace(state, taken=state.taken - 1, serving=None), (said,)
    if serving.phase is Phase.GARBLING:
        # No circuit left: the buyer may send choices that are some.
        back = dataclasses.replace(serving, phase=Phase.MASKED, blobs=serving.blobs[:2])
        return dataclasses.replace(state, serving=back), (said,)
    raise StateError(f"nothing of the buyer's is read while {serving.phase.value}")


def _received(
    domain: Domain, state: SellerState, happened: ReceiveSale
) -> tuple[SellerState, tuple[SendSale, ...]]:
    message = happened.message
    if message.channel != state.terms.channel:
        raise PeerError("a message of another channel")
    match message:
        case Paid():
            paid = _with_voucher(domain, state, message.voucher)
            return paid, (SendSale(Receipt(paid.terms.channel, paid.voucher)),)
        case Asked():
            return _asked(domain, state, message, happened)
        case Chosen():
            return _chosen(state, message)
        case Leave():
            return _left(domain, state, message)
        case _:
            raise PeerError(f"a buyer says no {type(message).__name__}")


def _with_voucher(domain: Domain, state: SellerState, voucher: Voucher) -> SellerState:
    """The larger voucher is kept: a replayed or lowered one changes nothing. Raises Malformed where
    the contract would not pay it."""
    if voucher.amount <= state.voucher.amount:
        return state
    check_voucher(domain, state.terms, voucher, state.deposit)
    return dataclasses.replace(state, voucher=voucher)


def _asked(
    domain: Domain, state: SellerState, message: Asked, happened: ReceiveSale
) -> tuple[SellerState, tuple[SendSale, ...]]:
    serving = state.serving
    if serving is not None and message.number == state.taken - 1:
        if message.query != serving.blobs[0]:
            return state, (_declined(state, message.number, "another query has this number"),)
        answered = serving.phase in (Phase.MASKED, Phase.ANSWERED)
        return state, (_reply(state, serving),) if answered else ()
    # A voucher counts even where the query is declined.
    state = _with_voucher(domain, state, message.voucher)
    reason = _against(state, message, happened.now)
    if reason:
        return state, (_declined(state, message.number, reason),)
    phase = Phase.MASKING if state.mode is Mode.LABEL else Phase.ANSWERING
    taken = Serving(happened.seed, phase, (message.query,))
    return dataclasses.replace(state, taken=state.taken + 1, serving=taken), ()


def _against(state: SellerState, message: Asked, now: int) -> str:
    """Why a query is not taken; empty if it is."""
    serving, cost = state.serving, (message.number + 1) * state.price
    if state.closed:
        return "the channel is closed"
    if now + SALE_MARGIN_SECONDS > state.terms.expiry:
        return f"the channel expires within {SALE_MARGIN_SECONDS} seconds"
    if message.number != state.taken:
        return f"query {state.taken} is the next"
    if serving is not None and serving.phase is not Phase.ANSWERED:
        return f"query {state.taken - 1} is not answered yet"
    if state.voucher.amount < message.number * state.price:
        return f"{message.number * state.price} are owed, {state.voucher.amount} granted"
    if cost > state.deposit:
        return f"the deposit is {state.deposit}, with this one {cost} would be owed"
    return ""


def _chosen(state: SellerState, message: Chosen) -> tuple[SellerState, tuple[SendSale, ...]]:
    serving = state.serving
    if serving is None or message.number != state.taken - 1 or state.mode is not Mode.LABEL:
        return state, (_declined(state, message.number, "no choice is awaited"),)
    if serving.phase is Phase.MASKED and not state.closed:
        return _grown(state, serving, Phase.GARBLING, message.choices), ()
    if len(serving.blobs) < 3:
        return state, (_declined(state, message.number, "no choice is awaited"),)
    if message.choices != serving.blobs[2]:
        # A second choice would be a second label for the price of one.
        return state, (_declined(state, message.number, "it was chosen otherwise before"),)
    return state, (_reply(state, serving),) if serving.phase is Phase.ANSWERED else ()


def _left(
    domain: Domain, state: SellerState, message: Leave
) -> tuple[SellerState, tuple[SendSale, ...]]:
    """The buyer wants the rest: it is given a release of what the voucher in the state grants,
    unless something is said. From then on no query is taken, because no voucher would pay it."""
    state = _with_voucher(domain, state, message.voucher)
    serving, owed = state.serving, state.taken * state.price
    reason = ""
    if serving is not None and serving.phase is not Phase.ANSWERED:
        reason = f"query {state.taken - 1} is not answered yet"
    elif state.voucher.amount < owed:
        reason = f"{owed} are owed, {state.voucher.amount} granted"
    if reason:
        return state, (_declined(state, state.taken, reason),)
    return dataclasses.replace(state, deposit=state.voucher.amount), ()


def _at(state: SellerState, number: int) -> Serving:
    if state.serving is None or number != state.taken - 1:
        raise StateError(f"query {number} is not being served")
    return state.serving


def _grown(state: SellerState, serving: Serving, phase: Phase, blob: Blob) -> SellerState:
    grown = dataclasses.replace(serving, phase=phase, blobs=(*serving.blobs, blob))
    return dataclasses.replace(state, serving=grown)


def _declined(state: SellerState, number: int, reason: str) -> SendSale:
    cut = (reason or "refused").encode()[:MAX_REASON_BYTES].decode(errors="ignore")
    return SendSale(Declined(state.terms.channel, number, cut))
