"""A signature holds for one message in one place, and for nothing else."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from simulator.strategies import smallest, wire

from protocol.errors import Malformed
from protocol.params import MAX_STREAM_MESSAGE_BYTES, PROTOCOL_VERSION
from protocol.wire import envelope as envelopes
from protocol.wire.codec import encode
from protocol.wire.envelope import (
    Context,
    Envelope,
    envelope_digest,
    open_envelope,
    opening_digest,
    reopen_envelope,
    seal,
)
from protocol.wire.identity import peer_id
from protocol.wire.messages import Ask, Body, Enrolled, Open

KINDS: tuple[type[Any], ...] = typing.get_args(Body)
KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32) for i in (1, 2))
SENDER, STRANGER = (peer_id(k.public_key().public_bytes_raw()) for k in (KEY, OTHER))
PLACE = Context(1337, b"\x11" * 20, b"\x22" * 32, 3, 1)

bodies = st.one_of([wire(kind) for kind in KINDS])


def signed(body: Body) -> Envelope:
    return seal(PLACE, SENDER, body, KEY.sign)


@given(bodies)
def test_what_was_sealed_opens(body: Body) -> None:
    envelope = signed(body)
    assert open_envelope(encode(envelope)) == envelope
    assert (envelope.body, envelope.sender, envelope.context) == (body, SENDER, PLACE)


def test_what_was_kept_is_read_back_without_its_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = encode(signed(Ask()))

    def verify(*_: bytes) -> bool:
        raise AssertionError("a kept message's signature was verified again")

    monkeypatch.setattr(envelopes.identity, "verify", verify)
    assert reopen_envelope(kept) == signed(Ask())
    with pytest.raises(Malformed):
        reopen_envelope(kept[:-1])


def _elsewhere(**changes: Any) -> Callable[[Envelope], Envelope]:
    def move(envelope: Envelope) -> Envelope:
        context = dataclasses.replace(envelope.context, **changes)
        statement = dataclasses.replace(envelope.statement, context=context)
        return dataclasses.replace(envelope, statement=statement)

    return move


def _by_another(envelope: Envelope) -> Envelope:
    return dataclasses.replace(
        envelope, statement=dataclasses.replace(envelope.statement, sender=STRANGER)
    )


def _bad_signature(envelope: Envelope) -> Envelope:
    signature = bytes([envelope.signature[0] ^ 1]) + envelope.signature[1:]
    return dataclasses.replace(envelope, signature=signature)


MOVES = {
    "another chain": _elsewhere(chain_id=1),
    "another contract": _elsewhere(contract=b"\x12" * 20),
    "another job": _elsewhere(job=b"\x23" * 32),
    "another round": _elsewhere(round=4),
    "another attempt": _elsewhere(attempt=0),
    "another sender": _by_another,
    "another signature": _bad_signature,
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES.keys())
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_a_signature_cannot_be_moved(kind: type[Any], move: Callable[[Envelope], Envelope]) -> None:
    moved = move(signed(smallest(kind)))
    with pytest.raises(Malformed, match="signature"):
        open_envelope(encode(moved))


def test_a_signature_of_one_kind_of_message_is_none_of_another() -> None:
    enrolled, ask = signed(Enrolled(b"\0" * 32)), signed(Ask())
    for one, other in ((enrolled, ask), (ask, enrolled)):
        swapped = dataclasses.replace(one, signature=other.signature)
        with pytest.raises(Malformed, match="signature"):
            open_envelope(encode(swapped))


def test_another_version_is_named() -> None:
    statement = dataclasses.replace(signed(Ask()).statement, version=PROTOCOL_VERSION + 1)
    envelope = Envelope(statement, KEY.sign(envelopes._TAG + encode(statement)))
    with pytest.raises(Malformed, match=f"version {PROTOCOL_VERSION + 1}"):
        open_envelope(encode(envelope))


def test_a_signature_over_the_bare_statement_does_not_count() -> None:
    statement = signed(Ask()).statement
    with pytest.raises(Malformed, match="signature"):
        open_envelope(encode(Envelope(statement, KEY.sign(encode(statement)))))


@pytest.mark.parametrize("sender", [b"\0" * 38, SENDER[:-1] + b"\0", b"\xff" * 38])
def test_a_sender_that_is_no_ed25519_key_is_refused(sender: bytes) -> None:
    statement = dataclasses.replace(signed(Ask()).statement, sender=sender)
    with pytest.raises(Malformed):
        open_envelope(encode(Envelope(statement, bytes(64))))


@given(st.binary(max_size=300))
def test_garbage_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        open_envelope(data)


@given(bodies, st.data())
def test_no_flipped_bit_survives(body: Body, data: st.DataObject) -> None:
    encoded = bytearray(encode(signed(body)))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Malformed):
        open_envelope(bytes(encoded))


@given(bodies, st.binary(min_size=1, max_size=8))
def test_trailing_bytes_are_refused(body: Body, more: bytes) -> None:
    with pytest.raises(Malformed):
        open_envelope(encode(signed(body)) + more)


def test_a_message_is_read_up_to_its_limit() -> None:
    data = encode(signed(Ask()))
    assert open_envelope(data, len(data)).body == Ask()
    with pytest.raises(Malformed, match="at most"):
        open_envelope(data, len(data) - 1)
    with pytest.raises(Malformed, match="at most"):
        open_envelope(bytes(MAX_STREAM_MESSAGE_BYTES + 1))


def test_digests_tell_messages_and_openings_apart() -> None:
    opening = Open(b"\1" * 32, 1, b"\2" * 32, 2, 3, 4)
    later = dataclasses.replace(PLACE, attempt=2)
    assert opening_digest(PLACE, opening) != opening_digest(later, opening)
    assert envelope_digest(signed(opening)) != envelope_digest(signed(Ask()))
    assert envelope_digest(signed(opening)) == envelope_digest(signed(opening))
