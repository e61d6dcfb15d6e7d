"""What protocol/wire/codec.py believes of msgpack 1.1: bounded, strict, shortest forms."""

from __future__ import annotations

import struct
import tracemalloc

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

#: As the codec calls it.
_STRICT = {"raw": False, "use_list": True, "strict_map_key": True}


def read(data: bytes) -> object:
    return msgpack.unpackb(data, **_STRICT)


@pytest.mark.parametrize(
    "head",
    [
        b"\xc6\x7f\xff\xff\xff",
        b"\xdb\x7f\xff\xff\xff",
        b"\xdd\x7f\xff\xff\xff",
        b"\xdd\x00\xff\xff\xff",
    ],
    ids=["bin", "str", "array", "array of 16 million"],
)
def test_a_declared_length_allocates_nothing(head: bytes) -> None:
    """Lengths are bounded by the buffer, so a reader with a limit on bytes needs no other."""
    tracemalloc.start()
    try:
        with pytest.raises((ValueError, msgpack.exceptions.UnpackException)):
            read(head + bytes(100))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1024 * 1024


@given(st.binary(max_size=200))
def test_only_these_errors_come_out(data: bytes) -> None:
    try:
        read(data)
    except (ValueError, msgpack.exceptions.UnpackException, RecursionError):
        return
    # What is read is one whole value: nothing is left over.
    with pytest.raises(msgpack.exceptions.ExtraData):
        read(data + b"\0")


@pytest.mark.parametrize("depth", [1025, 100_000])
def test_deep_nesting_is_an_error_and_no_crash(depth: int) -> None:
    with pytest.raises((ValueError, msgpack.exceptions.UnpackException, RecursionError)):
        read(b"\x91" * depth + b"\xc0")


def test_text_is_utf_8_without_surrogates() -> None:
    with pytest.raises(ValueError, match="utf-8"):
        read(b"\xa3\xed\xa0\x80")
    with pytest.raises(ValueError, match="utf-8"):
        read(b"\xa1\xff")
    with pytest.raises(UnicodeEncodeError):
        msgpack.packb("\ud800")


def test_maps_need_plain_keys_and_extensions_are_told_apart() -> None:
    """Neither occurs in a schema: each comes out as a type that no field has."""
    with pytest.raises(ValueError, match="not allowed for map key"):
        read(b"\x81\x01\x02")
    assert type(read(b"\x81\xa1a\x01")) is dict
    assert type(read(b"\xd4\x01\x00")) is msgpack.ExtType
    timestamp = read(b"\xd6\xff\x00\x00\x00\x00")
    assert type(timestamp) is msgpack.Timestamp


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "cc80"),
        (255, "ccff"),
        (256, "cd0100"),
        (65_536, "ce00010000"),
        (2**32, "cf0000000100000000"),
        (2**64 - 1, "cfffffffffffffffff"),
        (-1, "ff"),
        (-32, "e0"),
        (-33, "d0df"),
        (-129, "d1ff7f"),
        (-(2**63), "d38000000000000000"),
        (1.0, "cb3ff0000000000000"),
        (True, "c3"),
        (None, "c0"),
        (b"", "c400"),
        (b"a", "c40161"),
        ("a", "a161"),
        ("a" * 32, "d920" + "61" * 32),
        ([], "90"),
    ],
)
def test_the_packer_takes_the_shortest_form(value: object, form: str) -> None:
    assert msgpack.packb(value, use_bin_type=True).hex() == form
    assert read(bytes.fromhex(form)) == value


@pytest.mark.parametrize("form", ["cc00", "cd0000", "d000", "d900", "da0000", "c50000", "dc0000"])
def test_longer_forms_are_read_too(form: str) -> None:
    """Why the codec encodes again and compares: the library does not mind."""
    value = read(bytes.fromhex(form))
    assert msgpack.packb(value, use_bin_type=True).hex() != form


def test_a_short_float_is_read_as_a_long_one() -> None:
    assert read(b"\xca" + struct.pack(">f", 0.5)) == 0.5
    assert msgpack.packb(0.5) == b"\xcb" + struct.pack(">d", 0.5)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1])
def test_what_does_not_fit_64_bits_is_not_packed(value: int) -> None:
    with pytest.raises(OverflowError):
        msgpack.packb(value)
