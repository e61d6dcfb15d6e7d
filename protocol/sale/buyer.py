"""The buyer's machine: one channel, one query at a time, paid once its answer is stored.

An answer that opens is stored with the amount that it is worth, in one step; then the voucher is
signed, then said. So a crash neither loses a result that was paid nor pays twice: the amount is a
function of how many answers are stored. What does not open is kept as the seller's signed word, and
nothing more is asked or paid.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Final

from protocol.errors import InputError, PeerError, StateError
from protocol.layout.queries import Mode
from protocol.params import MAX_QUERY_CLASSES, MAX_REASON_BYTES
from protocol.sale.effects import (
    BuyerEffect,
    ComputePart,
    ComputeReveal,
    SendSale,
    SignVoucher,
)
from protocol.sale.inputs import (
    ActionAsk,
    ActionLeave,
    ActionSigned,
    BuyerInput,
    ChainClosed,
    ComputeDone,
    ComputeRefused,
    ComputeRevealed,
    ReceiveSale,
)
from protocol.sale.messages import (
    Asked,
    Blob,
    Chosen,
    Declined,
    Number,
    Paid,
    Part,
    Receipt,
    Replied,
)
from protocol.sale.vouchers import NO_VOUCHER, Terms, Voucher
from protocol.wire.codec import Amount, Range, Size, Wire
from protocol.wire.messages import Digest

#: Why nothing more is asked over a channel whose rest its buyer wants back.
LEFT: Final = "its rest is taken back"


class Phase(Enum):
    """How far the buyer is with a query."""

    ENCRYPTING = "encrypting"
    ASKED = "asked"
    CHOOSING = "choosing"
    CHOSEN = "chosen"
    REVEALING = "revealing"


@dataclass(frozen=True, slots=True)
class Query(Wire):
    """The query that is open: its row, its secret, and what was made or came so far, in order."""

    row: Digest
    seed: Digest
    phase: Phase
    blobs: Annotated[tuple[Blob, ...], Size(0, 4)]


@dataclass(frozen=True, slots=True)
class BuyerState(Wire):
    """All that a buyer keeps of a channel; secret, for `seed`.

    `answered` queries are stored and owed, `last` the result of the latest. `voucher` is the latest
    that was signed, `held` the amount that the seller said it holds. `ended` says why no more is
    asked, empty while it may be; `garbage` what of the seller's did not open.
    """

    terms: Terms
    deposit: Amount
    price: Amount
    mode: Mode
    answered: Number
    last: Annotated[tuple[Annotated[int, Range(-(2**62), 2**62)], ...], Size(0, MAX_QUERY_CLASSES)]
    query: Query | None
    voucher: Voucher
    held: Amount
    ended: Annotated[str, Size(0, MAX_REASON_BYTES)]
    garbage: Annotated[tuple[Blob, ...], Size(0, 1)]

    @property
    def owed(self) -> int:
        """What all stored answers cost."""
        return self.answered * self.price

    @property
    def needed(self) -> tuple[bytes, ...]:
        """Digests of the bytes that are computed with still, said again, or kept as evidence."""
        garbage = tuple(blob.digest for blob in self.garbage)
        if self.query is None:
            return garbage
        blobs = [blob.digest for blob in self.query.blobs]
        if not blobs:
            return (*garbage, self.query.row)
        # A class comes of two answers: the masked one is read again with the circuit.
        masked = blobs[1:2] if self.mode is Mode.LABEL else []
        return (*garbage, *masked, blobs[-1])


def opened(terms: Terms, deposit: int, price: int, mode: Mode) -> BuyerState:
    """The state of a channel that the chain has."""
    return BuyerState(terms, deposit, price, mode, 0, (), None, NO_VOUCHER, 0, "", ())


def step(state: BuyerState, happened: BuyerInput) -> BuyerState:
    """The next state. Raises StateError for what does not fit this one, PeerError for what a seller
    may not say, InputError for what the buyer may not ask; the state is then unchanged."""
    match happened:
        case ActionAsk():
            return _ask(state, happened)
        case ActionSigned():
            if happened.amount != state.owed:
                raise StateError(f"a voucher for {happened.amount}, {state.owed} is owed")
            voucher = Voucher(happened.amount, happened.signature)
            return dataclasses.replace(state, voucher=voucher)
        case ActionLeave():
            if state.query is not None and not state.ended:
                raise StateError(f"query {state.answered} is open still")
            return dataclasses.replace(state, ended=state.ended or LEFT)
        case ComputeDone():
            return _made(state, happened)
        case ComputeRevealed():
            query = _at(state, happened.number, Phase.REVEALING)
            if len(query.blobs) not in (2, 4):
                raise StateError("an answer before its query")
            return dataclasses.replace(
                state, answered=state.answered + 1, last=happened.result, query=None
            )
        case ComputeRefused():
            return _refused(state, happened)
        case ReceiveSale():
            return _received(state, happened)
        case ChainClosed():
            return dataclasses.replace(state, ended=state.ended or "the channel is closed")


def due(state: BuyerState) -> tuple[BuyerEffect, ...]:
    """What has to be done in this state, the payment first."""
    effects: list[BuyerEffect] = []
    channel, query = state.terms.channel, state.query
    if state.owed > state.voucher.amount:
        effects.append(SignVoucher(state.owed))
    elif state.owed > state.held:
        effects.append(SendSale(Paid(channel, state.voucher)))
    if query is None or state.ended or state.owed > state.voucher.amount:
        return tuple(effects)
    number = state.answered
    match query.phase:
        case Phase.ENCRYPTING:
            effects.append(ComputePart(number, Part.QUERY, query.row, query.seed))
        case Phase.ASKED:
            effects.append(SendSale(Asked(channel, number, query.blobs[0], state.voucher)))
        case Phase.CHOOSING:
            sent = query.blobs[1].digest
            effects.append(ComputePart(number, Part.CHOICES, sent, query.seed))
        case Phase.CHOSEN:
            effects.append(SendSale(Chosen(channel, number, query.blobs[2])))
        case Phase.REVEALING:
            effects.append(ComputeReveal(number, query.blobs[-1].digest, query.seed))
    return tuple(effects)


def _ask(state: BuyerState, happened: ActionAsk) -> BuyerState:
    if state.ended:
        raise InputError(f"asks no more: {state.ended}", "channel")
    if state.query is not None:
        raise StateError(f"query {state.answered} is open still")
    if state.owed + state.price > state.deposit:
        raise InputError(
            f"holds {state.deposit}, of which {state.owed} are owed; a row costs {state.price}: "
            "open another channel",
            "channel",
        )
    query = Query(happened.row, happened.seed, Phase.ENCRYPTING, ())
    return dataclasses.replace(state, query=query)


def _made(state: BuyerState, happened: ComputeDone) -> BuyerState:
    if happened.part is Part.QUERY:
        query = _at(state, happened.number, Phase.ENCRYPTING)
        return _grown(state, query, Phase.ASKED, happened.blob)
    if happened.part is Part.CHOICES:
        query = _at(state, happened.number, Phase.CHOOSING)
        return _grown(state, query, Phase.CHOSEN, happened.blob)
    raise StateError(f"a buyer makes no {happened.part.value}")


def _refused(state: BuyerState, happened: ComputeRefused) -> BuyerState:
    query, reason = state.query, happened.reason[: MAX_REASON_BYTES // 4] or "refused"
    if query is None or happened.number != state.answered:
        raise StateError(f"query {happened.number} is not open")
    if query.phase is Phase.ENCRYPTING:
        # The row itself was refused: the seller has heard nothing.
        return dataclasses.replace(state, query=None)
    if query.phase not in (Phase.CHOOSING, Phase.REVEALING):
        raise StateError(f"nothing of the seller's is read while {query.phase.value}")
    return dataclasses.replace(
        state, query=None, ended=f"the seller's answer: {reason}", garbage=(query.blobs[-1],)
    )


def _received(state: BuyerState, happened: ReceiveSale) -> BuyerState:
    message = happened.message
    if message.channel != state.terms.channel:
        raise PeerError("a message of another channel")
    match message:
        case Receipt():
            # More than was signed is no receipt of ours; less is an old one.
            if message.voucher.amount > state.voucher.amount:
                raise PeerError(
                    f"a receipt for {message.voucher.amount}, signed is {state.voucher.amount}"
                )
            return dataclasses.replace(state, held=max(state.held, message.voucher.amount))
        case Replied():
            return _replied(state, message)
        case Declined():
            query = state.query
            if query is None or message.number != state.answered or state.ended:
                return state
            if query.phase not in (Phase.ASKED, Phase.CHOSEN):
                return state
            reason = f"the seller declined: {message.reason}"
            cut = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
            return dataclasses.replace(state, query=None, ended=cut)
        case _:
            raise PeerError(f"a seller says no {type(message).__name__}")


def _replied(state: BuyerState, message: Replied) -> BuyerState:
    query = state.query
    if query is None or message.number != state.answered:
        if message.number < state.answered:
            return state  # said again
        raise PeerError(f"an answer to query {message.number}, which was not asked")
    label = state.mode is Mode.LABEL
    wanted = {Phase.ASKED: Part.MASKED if label else Part.ANSWER, Phase.CHOSEN: Part.ANSWER}
    if query.phase in wanted and message.part is wanted[query.phase]:
        after = Phase.CHOOSING if message.part is Part.MASKED else Phase.REVEALING
        return _grown(state, query, after, message.blob)
    if message.blob in query.blobs:
        return state  # said again
    raise PeerError(f"{message.part.value} of query {message.number} while {query.phase.value}")


def _at(state: BuyerState, number: int, phase: Phase) -> Query:
    """The open query. Raises StateError unless it is `number` in `phase`."""
    query = state.query
    if query is None or number != state.answered or query.phase is not phase or state.ended:
        raise StateError(f"query {number} is not {phase.value}")
    return query


def _grown(state: BuyerState, query: Query, phase: Phase, blob: Blob) -> BuyerState:
    grown = dataclasses.replace(query, phase=phase, blobs=(*query.blobs, blob))
    return dataclasses.replace(state, query=grown)
