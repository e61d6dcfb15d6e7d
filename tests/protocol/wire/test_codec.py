"""The canonical codec: one value, one encoding, and nothing else is read."""

from __future__ import annotations

import dataclasses
import enum
import json
import struct
from dataclasses import dataclass, fields
from typing import Annotated, Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from kits import paths

from protocol.errors import Malformed
from protocol.wire.codec import (
    Amount,
    Range,
    Size,
    Wire,
    decode,
    decode_tagged,
    encode,
    encode_tagged,
)

LIMIT = 4096
VECTORS = json.loads((paths.VECTORS / "codec.json").read_text())


class Colour(enum.StrEnum):
    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 200


@dataclass(frozen=True, slots=True)
class Point(Wire):
    x: Annotated[int, Range(-5, 5)]
    label: Annotated[str, Size(0, 4)]


@dataclass(frozen=True, slots=True)
class Circle(Wire):
    radius: float
    centre: Point


@dataclass(frozen=True, slots=True)
class Sample(Wire):
    flag: bool
    count: int
    ratio: Annotated[float, Range(0, 1)]
    key: Annotated[bytes, Size(4)]
    name: Annotated[str, Size(0, 300)]
    colour: Colour
    level: Level
    wei: Amount
    maybe: Annotated[bytes, Size(1, 300)] | None
    points: Annotated[tuple[Point, ...], Size(0, 20)]
    pair: tuple[int, bool]
    shape: Point | Circle
    fact: int | float | bool


SCHEMAS: dict[str, type[Wire]] = {"Point": Point, "Circle": Circle, "Sample": Sample}


@dataclass(frozen=True, slots=True)
class Empty(Wire):
    """No fields at all."""


def text(most: int) -> st.SearchStrategy[str]:
    return st.text(max_size=most).filter(lambda value: len(value.encode()) <= most)


floats = st.floats(allow_nan=False, allow_infinity=False)
uint64 = st.integers(0, 2**64 - 1)
points = st.builds(Point, st.integers(-5, 5), text(4))
circles = st.builds(Circle, floats, points)
samples = st.builds(
    Sample,
    flag=st.booleans(),
    count=uint64,
    ratio=st.floats(0, 1),
    key=st.binary(min_size=4, max_size=4),
    name=text(300),
    colour=st.sampled_from(Colour),
    level=st.sampled_from(Level),
    wei=st.integers(0, 2**256 - 1),
    maybe=st.none() | st.binary(min_size=1, max_size=300),
    points=st.lists(points, max_size=20).map(tuple),
    pair=st.tuples(uint64, st.booleans()),
    shape=points | circles,
    fact=uint64 | floats | st.booleans(),
)

SAMPLE = Sample(
    flag=True,
    count=7,
    ratio=0.5,
    key=b"\x00\x01\x02\xff",
    name="é",
    colour=Colour.GREEN,
    level=Level.HIGH,
    wei=10**18,
    maybe=None,
    points=(Point(-5, ""), Point(5, "ab")),
    pair=(0, False),
    shape=Circle(1.5, Point(0, "c")),
    fact=128,
)


def changed(**values: Any) -> Sample:
    return dataclasses.replace(SAMPLE, **values)


@given(samples)
def test_what_is_encoded_is_decoded_and_encoded_the_same(sample: Sample) -> None:
    data = encode(sample)
    assert decode(Sample, data, len(data)) == sample
    assert encode(decode(Sample, data, len(data))) == data


@given(points | circles)
def test_a_member_of_a_union_is_told_by_its_name(shape: Point | Circle) -> None:
    data = encode_tagged(shape)
    found: Wire = decode_tagged((Point, Circle), data, LIMIT)
    assert found == shape
    other = Circle if isinstance(shape, Point) else Point
    with pytest.raises(Malformed, match="unknown kind"):
        decode_tagged((other,), data, LIMIT)


def test_a_value_without_fields_travels() -> None:
    assert encode(Empty()) == b"\x90"
    assert decode(Empty, b"\x90", 1) == Empty()
    assert decode_tagged((Empty,), encode_tagged(Empty()), LIMIT) == Empty()


@given(st.binary(max_size=200))
@example(encode(Point(1, "a")))
@example(b"\xd6\xff\x00\x00\x00\x00")  # a msgpack timestamp
def test_whatever_is_read_is_canonical(data: bytes) -> None:
    try:
        value = decode(Point, data, LIMIT)
    except Malformed:
        return
    assert encode(value) == data


@given(samples, st.data())
def test_a_changed_byte_never_gives_the_same_value(sample: Sample, draw: st.DataObject) -> None:
    data = bytearray(encode(sample))
    at = draw.draw(st.integers(0, len(data) - 1))
    data[at] ^= draw.draw(st.integers(1, 255))
    try:
        found = decode(Sample, bytes(data), LIMIT * 4)
    except Malformed:
        return
    assert encode(found) == bytes(data)
    assert encode(found) != encode(sample)


# Every form of msgpack for the same value, chosen by hypothesis.


def integers(value: int) -> list[bytes]:
    """All encodings of an integer, the shortest first."""
    forms = []
    if 0 <= value < 128:
        forms.append(bytes([value]))
    if -32 <= value < 0:
        forms.append(struct.pack("b", value))
    for code, form, low, high in (
        (0xCC, ">B", 0, 2**8),
        (0xD0, ">b", -(2**7), 2**7),
        (0xCD, ">H", 0, 2**16),
        (0xD1, ">h", -(2**15), 2**15),
        (0xCE, ">I", 0, 2**32),
        (0xD2, ">i", -(2**31), 2**31),
        (0xCF, ">Q", 0, 2**64),
        (0xD3, ">q", -(2**63), 2**63),
    ):
        if low <= value < high:
            forms.append(bytes([code]) + struct.pack(form, value))
    return forms


def headed(body: bytes, length: int, fix: tuple[int, int], wide: dict[int, str]) -> list[bytes]:
    """A length in its short form, if any, and in every wider one."""
    forms = [bytes([fix[0] | length])] if length < fix[1] else []
    for code, form in wide.items():
        if length < 1 << (8 * struct.calcsize(form)):
            forms.append(bytes([code]) + struct.pack(form, length))
    return [head + body for head in forms]


def any_form(value: Any, pick: Any) -> bytes:
    """`value` in a form that `pick` (a list to one of it) chooses for each part."""
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return pick(integers(value))
    if isinstance(value, float):
        forms = [b"\xcb" + struct.pack(">d", value)]
        if abs(value) < 3e38 and struct.unpack(">f", struct.pack(">f", value))[0] == value:
            forms.append(b"\xca" + struct.pack(">f", value))
        return pick(forms)
    if isinstance(value, str):
        body = value.encode()
        wide = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
        return pick(headed(body, len(body), (0xA0, 32), wide))
    if isinstance(value, bytes):
        return pick(headed(value, len(value), (0, 0), {0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}))
    body = b"".join(any_form(one, pick) for one in value)
    return pick(headed(body, len(value), (0x90, 16), {0xDC: ">H", 0xDD: ">I"}))


def plain(value: Any) -> Any:
    """A value as nested lists, bytes and scalars, written apart from the codec."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Sample):
        items = [plain(getattr(value, field.name)) for field in fields(value)]
        items[7] = value.wei.to_bytes(32, "big")
        items[11] = [type(value.shape).__name__, *plain(value.shape)]
        return items
    if isinstance(value, Wire):
        return [plain(getattr(value, field.name)) for field in fields(value)]  # type: ignore[arg-type]
    return [plain(one) for one in value] if isinstance(value, tuple) else value


@given(samples, st.data())
def test_only_the_shortest_form_of_each_part_is_read(sample: Sample, draw: st.DataObject) -> None:
    canonical = any_form(plain(sample), lambda forms: forms[0])
    assert encode(sample) == canonical
    other = any_form(plain(sample), lambda forms: draw.draw(st.sampled_from(forms)))
    assume(other != canonical)
    with pytest.raises(Malformed):
        decode(Sample, other, LIMIT * 4)


@given(samples, st.binary(min_size=1, max_size=8))
def test_bytes_after_the_value_are_refused(sample: Sample, more: bytes) -> None:
    with pytest.raises(Malformed):
        decode(Sample, encode(sample) + more, LIMIT * 4)


@given(samples, st.data())
def test_a_cut_value_is_refused(sample: Sample, draw: st.DataObject) -> None:
    data = encode(sample)
    with pytest.raises(Malformed):
        decode(Sample, data[: draw.draw(st.integers(0, len(data) - 1))], LIMIT * 4)


def test_the_limit_is_the_last_size_that_is_read() -> None:
    data = encode(SAMPLE)
    assert decode(Sample, data, len(data)) == SAMPLE
    with pytest.raises(Malformed, match=f"{len(data)} bytes, at most {len(data) - 1}"):
        decode(Sample, data, len(data) - 1)
    tagged = encode_tagged(SAMPLE)
    assert decode_tagged((Sample,), tagged, len(tagged)) == SAMPLE
    with pytest.raises(Malformed, match="at most"):
        decode_tagged((Sample,), tagged, len(tagged) - 1)


@pytest.mark.parametrize(
    ("field", "fits", "beyond"),
    [
        ("count", [0, 2**64 - 1], [-1, 2**64, True, 1.0]),
        ("ratio", [0.0, 1.0], [-1e-9, 1.0000001, float("nan"), float("inf"), 1]),
        ("key", [b"\0" * 4], [b"\0" * 3, b"\0" * 5, "0000", bytearray(4)]),
        ("name", ["", "a" * 300, "é" * 150], ["a" * 301, "é" * 151, b"", "\ud800"]),
        ("colour", [Colour.RED], ["red", Level.LOW]),
        ("level", [Level.LOW], [1, Colour.RED]),
        ("wei", [0, 2**256 - 1], [-1, 2**256, True, 1.0]),
        ("maybe", [None, b"\0", b"\0" * 300], [b"", b"\0" * 301, "a"]),
        ("points", [(), (Point(0, ""),) * 20], [(Point(0, ""),) * 21, [], ((0, ""),)]),
        ("pair", [(0, True)], [(0,), (0, True, True), (-1, True), [0, True]]),
        ("shape", [Point(1, ""), Circle(0.0, Point(1, ""))], [SAMPLE, (1, ""), None]),
        ("fact", [0, 2**64 - 1, -0.5, False], [2**64, -1, "1", None]),
    ],
)
def test_a_value_stands_within_its_limit_or_cannot_be_built(
    field: str, fits: list[Any], beyond: list[Any]
) -> None:
    for value in fits:
        sample = changed(**{field: value})
        assert decode(Sample, encode(sample), LIMIT) == sample
    for value in beyond:
        with pytest.raises(Malformed, match=rf"Sample\.{field}"):
            changed(**{field: value})


@pytest.mark.parametrize("depth", [100, 511, 512, 1024, 1025, 50_000])
def test_nesting_of_any_depth_is_refused_in_bounded_time(depth: int) -> None:
    for opener in (b"\x91", b"\x81\xa1a", b"\xdd\x00\x00\x00\x01"):
        with pytest.raises(Malformed):
            decode(Sample, opener * depth, 1024 * 1024)
        with pytest.raises(Malformed):
            decode(Sample, opener * depth + b"\xc0", 1024 * 1024)


@pytest.mark.parametrize(
    "head", [b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9"], ids=["array", "map", "bin", "str", "ext"]
)
@pytest.mark.parametrize("length", [2**16, 2**31 - 1, 2**32 - 1])
def test_a_length_that_is_not_there_allocates_nothing(head: bytes, length: int) -> None:
    claim = head + length.to_bytes(4, "big")
    for data in (claim, claim + b"\x01", b"\x9d" + claim, b"\x92" + claim * 2):
        with pytest.raises(Malformed):
            decode(Sample, data, LIMIT)


def test_an_error_says_where_it_stands() -> None:
    data = encode(changed(points=(Point(0, ""), Point(1, "abcd"))))
    data = data.replace(b"\xa4abcd", b"\xa5abcde")
    with pytest.raises(Malformed, match=r"Point\.label: length 5, allowed 0 to 4"):
        decode(Sample, data, LIMIT)
    data = encode(SAMPLE).replace(b"\xa5green", b"\xa4blue")
    with pytest.raises(Malformed, match=r"Sample\.colour: no Colour is 'blue'"):
        decode(Sample, data, LIMIT)


def test_values_are_frozen_and_equal_by_value() -> None:
    with pytest.raises(AttributeError):
        SAMPLE.count = 8  # type: ignore[misc]
    assert decode(Sample, encode(SAMPLE), LIMIT) == SAMPLE
    assert hash(decode(Sample, encode(SAMPLE), LIMIT)) == hash(SAMPLE)


def test_an_annotation_that_bounds_nothing_is_a_mistake_of_ours() -> None:
    @dataclass(frozen=True, slots=True)
    class Unbounded(Wire):
        data: bytes

    with pytest.raises(TypeError, match="without a Size"):
        Unbounded(b"")


@pytest.mark.parametrize("case", VECTORS["valid"], ids=lambda case: case["name"])
def test_valid_vectors(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    value = read_as(case["kind"], data)
    tagged = case["kind"] == "tagged"
    assert (encode_tagged if tagged else encode)(value) == data
    shown = [type(value).__name__, *plain(value)] if tagged else plain(value)
    assert hexed(shown) == case["value"]


@pytest.mark.parametrize("case", VECTORS["invalid"], ids=lambda case: case["name"])
def test_invalid_vectors(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    with pytest.raises(Malformed, match=case["error"]):
        read_as(case["kind"], data)


def read_as(kind: str, data: bytes) -> Wire:
    if kind == "tagged":
        return decode_tagged((Point, Circle), data, LIMIT)
    return decode(SCHEMAS[kind], data, LIMIT)


def hexed(value: Any) -> Any:
    """Bytes as 'hex:…', as the vectors write them."""
    if isinstance(value, bytes):
        return "hex:" + value.hex()
    return [hexed(one) for one in value] if isinstance(value, list) else value
