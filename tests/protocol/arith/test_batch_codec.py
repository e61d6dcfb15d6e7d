"""The wire form of batches: round trips, limits, hostile bytes."""

from __future__ import annotations

import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st

from protocol.arith.numbers.shape import HEADER_BYTES, NOBODY, Kind, Shape
from protocol.arith.paillier.batch import (
    add_batches,
    ciphertexts,
    decode_batch,
    decode_residues,
    encode_batch,
    encode_residues,
    read_batch,
    sum_encoded,
)
from protocol.arith.paillier.cryptosystem import PrivateKey, encrypt
from protocol.errors import FatalError, Malformed
from protocol.layout.packing import batch_maker

MAKER = batch_maker(b"here and now", b"peer")


@pytest.fixture(scope="module")
def batch(small_key: PrivateKey, entropy_from) -> bytes:
    return encode_batch(
        small_key.public, encrypt(small_key.public, [1, 2, 3], entropy_from(1)), MAKER
    )


@given(plaintexts=st.lists(st.integers(-(2**200), 2**200), max_size=8), seed=st.integers(0, 999))
def test_batches_round_trip(
    small_key: PrivateKey, entropy_from, plaintexts: list[int], seed: int
) -> None:
    public = small_key.public
    numbers = encrypt(public, plaintexts, entropy_from(seed))
    data = encode_batch(public, numbers, MAKER)
    assert len(data) == ciphertexts(public, len(numbers)).size == 45 + 64 * len(numbers)
    assert decode_batch(data, public, len(numbers), MAKER) == numbers
    assert decode_batch(memoryview(data), public, len(numbers), None) == numbers


@given(data=st.binary(max_size=300))
def test_garbage_is_malformed_and_nothing_else(small_key: PrivateKey, data: bytes) -> None:
    with pytest.raises(Malformed):
        decode_batch(data, small_key.public, 3, MAKER)


@pytest.mark.parametrize(
    ("position", "value", "says"),
    [
        (0, ord("b"), "does not begin with 'assay'"),
        (5, 2, "version 2, this is version 1"),
        (6, 1, "says kind 1"),
        (8, 16, "16 bits|272 bits"),
        (12, 4, "4 numbers, expected are kind 0, 3 ciphertexts of a 256-bit key"),
        (13, 0, "made by another member or for another attempt"),
        (44, 0, "made by another member"),
    ],
)
def test_a_header_that_disagrees_is_refused(
    small_key: PrivateKey, batch: bytes, position: int, value: int, says: str
) -> None:
    forged = bytearray(batch)
    assert forged[position] != value
    forged[position] = value
    with pytest.raises(Malformed, match=says):
        decode_batch(bytes(forged), small_key.public, 3, MAKER)


def test_length_is_exact(small_key: PrivateKey, batch: bytes) -> None:
    for data in (batch[:-1], batch + b"\0", b"", batch[:HEADER_BYTES]):
        with pytest.raises(Malformed, match="3 ciphertexts of a 256-bit key take 237"):
            decode_batch(data, small_key.public, 3, MAKER)
    with pytest.raises(Malformed, match="2 ciphertexts"):
        decode_batch(batch, small_key.public, 2, MAKER)


def replaced(small_key: PrivateKey, batch: bytes, index: int, ciphertext: int) -> bytes:
    start = HEADER_BYTES + 64 * index
    return batch[:start] + ciphertext.to_bytes(64, "big") + batch[start + 64 :]


def test_ciphertexts_are_checked_one_by_one(small_key: PrivateKey, batch: bytes) -> None:
    public, n = small_key.public, small_key.public.n
    p = int.from_bytes(small_key.to_bytes()[:16], "big")
    for ciphertext in (0, n * n, (1 << 512) - 1):
        with pytest.raises(Malformed, match=r"ciphertext 2 lies outside \[1, n\^2\)"):
            decode_batch(replaced(small_key, batch, 2, ciphertext), public, 3, MAKER)
    for ciphertext in (n, p, p * p, n * (n - 1), 5 * p):
        with pytest.raises(Malformed, match="spam: ciphertext 1 is no unit modulo n"):
            decode_batch(replaced(small_key, batch, 1, ciphertext), public, 3, MAKER, "spam")
    for ciphertext in (1, n * n - 1, n + 1):
        assert (
            decode_batch(replaced(small_key, batch, 1, ciphertext), public, 3, MAKER)[1]
            == ciphertext
        )


def test_encoding_refuses_what_decoding_would(small_key: PrivateKey) -> None:
    for ciphertext in (0, -1, small_key.public.n**2):
        with pytest.raises(FatalError, match="ciphertext 1 to encode"):
            encode_batch(small_key.public, [5, ciphertext], MAKER)


def test_sums_stream_column_by_column(small_key: PrivateKey, entropy_from) -> None:
    public = small_key.public
    columns = [[1, -2, 3], [10, 20, -30], [100, 200, 300]]
    batches = [
        encode_batch(public, encrypt(public, column, entropy_from(seed)), MAKER)
        for seed, column in enumerate(columns)
    ]
    sums = add_batches(public, [read_batch(data, public, 3, MAKER) for data in batches])
    first = next(sums)  # before the others were read to their end
    assert small_key.decrypt([int(first)]) == [111]
    assert small_key.decrypt([int(total) for total in sums]) == [218, 273]


def test_sums_of_nothing_or_of_uneven_batches_are_fatal(small_key: PrivateKey) -> None:
    with pytest.raises(FatalError, match="no batch"):
        list(add_batches(small_key.public, []))
    with pytest.raises(FatalError, match="differ in length"):
        list(add_batches(small_key.public, [[mpz(1)], [mpz(1), mpz(1)]]))


def test_encoded_sums_are_checked_as_their_summands_are(
    small_key: PrivateKey, batch: bytes, entropy_from
) -> None:
    public, n = small_key.public, small_key.public.n
    other = encode_batch(public, encrypt(public, [7, 8, 9], entropy_from(2)), NOBODY)
    assert small_key.decrypt(list(sum_encoded(public, [batch, other, batch], 3))) == [9, 12, 15]
    for bad, says in (
        (replaced(small_key, other, 1, n), "batch 1: ciphertext 1 is no unit"),
        (replaced(small_key, other, 2, 0), "batch 1: ciphertext 2 lies outside"),
        (other[:-1], "batch 1 has 236 bytes"),
    ):
        with pytest.raises(Malformed, match=says):
            list(sum_encoded(public, [batch, bad], 3))
    with pytest.raises(FatalError, match="no batch"):
        list(sum_encoded(public, [], 3))


def test_batches_are_written_from_a_stream(small_key: PrivateKey, batch: bytes) -> None:
    stream = read_batch(batch, small_key.public, 3, MAKER)
    assert encode_batch(small_key.public, stream, MAKER) == batch


def test_a_maker_is_one_peers_in_one_place() -> None:
    makers = {
        batch_maker(place, peer)
        for place, peer in ((b"ab", b"c"), (b"a", b"bc"), (b"ab", b"d"), (b"", b"abc"))
    }
    assert len(makers) == 4
    assert {len(maker) for maker in makers} == {32}
    with pytest.raises(FatalError, match="32 bytes"):
        Shape(Kind.MASKS, 24, 1).header(b"short")


def test_nobodys_batch_is_no_members_and_the_other_way_round(
    small_key: PrivateKey, batch: bytes
) -> None:
    with pytest.raises(Malformed, match="spam has the maker"):
        decode_batch(batch, small_key.public, 3, NOBODY, "spam")
    nobodys = batch[:13] + NOBODY + batch[45:]
    decode_batch(nobodys, small_key.public, 3, NOBODY)
    with pytest.raises(Malformed, match="maker"):
        decode_batch(nobodys, small_key.public, 3, MAKER)


@given(numbers=st.lists(st.integers(0, 2**256 - 190), max_size=5))
def test_residues_round_trip(numbers: list[int]) -> None:
    n = 2**256 - 189
    shape = Shape(Kind.PAILLIER_REMOVAL, 256, len(numbers))
    data = encode_residues(shape, [mpz(number) for number in numbers])
    assert len(data) == 45 + 32 * len(numbers)
    assert decode_residues(data, shape, n) == numbers


def test_residues_are_below_their_modulus() -> None:
    n = 2**256 - 189
    shape = Shape(Kind.PAILLIER_REMOVAL, 256, 2)
    with pytest.raises(Malformed, match="number 1 is no residue"):
        decode_residues(encode_residues(shape, [mpz(n - 1), mpz(n)]), shape, n)
    data = encode_residues(shape, [mpz(1), mpz(2)])
    for other in (
        Shape(Kind.PAILLIER_REMOVAL, 256, 1),
        Shape(Kind.MASKS_REMOVAL, 256, 2),
        Shape(Kind.PAILLIER_REMOVAL, 128, 4),
    ):
        with pytest.raises(Malformed, match="removal"):
            decode_residues(data, other, n)
