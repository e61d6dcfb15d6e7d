"""Every message: one encoding, its limits, and published vectors."""

from __future__ import annotations

import dataclasses
import json
import typing
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator.strategies import smallest, wire

from protocol import messages
from protocol.codec import Range, Size, decode_tagged, encode_tagged
from protocol.envelope import Context, Envelope, envelope_digest, open_envelope
from protocol.errors import Malformed
from protocol.messages import Body
from protocol.params import MAX_STREAM_MESSAGE_BYTES

KINDS: tuple[type[Any], ...] = typing.get_args(Body)
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "messages.json").read_text())


@settings(deadline=None)
@given(st.one_of([wire(kind) for kind in KINDS]))
def test_every_message_round_trips(body: Body) -> None:
    data = encode_tagged(body)
    assert decode_tagged(KINDS, data, MAX_STREAM_MESSAGE_BYTES) == body


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode_tagged(KINDS, data, MAX_STREAM_MESSAGE_BYTES)


@settings(deadline=None)
@given(st.one_of([wire(kind) for kind in KINDS]), st.data())
def test_a_changed_byte_is_another_message_or_malformed(body: Body, data: st.DataObject) -> None:
    encoded = bytearray(encode_tagged(body))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= data.draw(st.integers(1, 255))
    try:
        other = decode_tagged(KINDS, bytes(encoded), MAX_STREAM_MESSAGE_BYTES)
    except Malformed:
        return
    assert other != body
    assert encode_tagged(other) == bytes(encoded)


def _limits() -> list[tuple[type[Any], str, Any]]:
    found = []
    for kind in KINDS:
        hints = typing.get_type_hints(kind, include_extras=True)
        for field in dataclasses.fields(kind):
            hint = hints[field.name]
            if typing.get_origin(hint) is Annotated:
                found += [(kind, field.name, limit) for limit in typing.get_args(hint)[1:]]
    return found


@pytest.mark.parametrize(
    ("kind", "name", "limit"), _limits(), ids=lambda value: getattr(value, "__name__", str(value))
)
def test_a_field_holds_its_limit_and_not_one_more(
    kind: type[Any], name: str, limit: Size | Range
) -> None:
    example = smallest(kind)
    held = getattr(example, name)
    if isinstance(limit, Range):
        low, high = int(limit.low), int(limit.high)
        fitting, refused = [low, high], [low - 1, high + 1]
    else:
        high = limit.low if limit.high is None else limit.high
        one: Any = {bytes: b"\0", str: "x", tuple: (b"\0",)}[type(held)]
        fitting = [one * limit.low, one * high]
        refused = [one * (high + 1)] + ([one * (limit.low - 1)] if limit.low else [])
    for value in fitting:
        dataclasses.replace(example, **{name: value})
    for value in refused:
        with pytest.raises(Malformed, match=name):
            dataclasses.replace(example, **{name: value})


def test_there_is_a_vector_of_every_message() -> None:
    assert {vector["kind"] for vector in VECTORS["messages"]} == {k.__name__ for k in KINDS}


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda v: v["kind"])
def test_published_messages_open(vector: dict[str, Any]) -> None:
    envelope = open_envelope(bytes.fromhex(vector["envelope"]))
    assert type(envelope.body).__name__ == vector["kind"]
    assert _shown(envelope.body) == vector["body"]
    context = Context(
        vector["chain_id"],
        bytes.fromhex(vector["contract"]),
        bytes.fromhex(vector["job"]),
        vector["round"],
        vector["attempt"],
    )
    assert envelope.context == context
    assert envelope_digest(envelope).hex() == vector["digest"]
    assert envelope.sender.hex() == vector["sender"]


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda v: v["why"])
def test_published_garbage_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match=vector["error"]):
        open_envelope(bytes.fromhex(vector["envelope"]))


def _shown(body: Any) -> dict[str, Any]:
    return {f.name: _value(getattr(body, f.name)) for f in dataclasses.fields(body)}


def _value(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [_value(each) for each in value]
    return value.value if isinstance(value, messages.RefusalCode) else value


def test_an_envelope_has_one_schema() -> None:
    assert [f.name for f in dataclasses.fields(Envelope)] == ["statement", "signature"]
