"""Batches of ciphertexts: written, read from a peer with every check, added up.

Their bytes are those of protocol.arith.numbers.shape. The removal of a Paillier sum is a batch,
too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import gmpy2
from gmpy2 import mpz

from protocol.arith.numbers.shape import HEADER_BYTES, NOBODY, Kind, Shape
from protocol.arith.paillier.public_key import PublicKey
from protocol.errors import FatalError, Malformed


def ciphertexts(public: PublicKey, count: int, kind: Kind = Kind.PAILLIER) -> Shape:
    """The shape of a batch of `count` ciphertexts."""
    return Shape(kind, public.bits, count)


def encode_batch(
    public: PublicKey, numbers: Iterable[int], maker: bytes, kind: Kind = Kind.PAILLIER
) -> bytes:
    """The bytes of a batch of ciphertexts. Raises FatalError on one outside [1, n^2)."""
    size = public.ciphertext_bytes
    parts = [b""]
    for index, number in enumerate(numbers):
        if not 0 < number < public.n_squared:
            raise FatalError(f"ciphertext {index} to encode lies outside [1, n^2)")
        parts.append(number.to_bytes(size, "big"))
    parts[0] = ciphertexts(public, len(parts) - 1, kind).header(maker)
    return b"".join(parts)


def read_batch(
    data: bytes | memoryview,
    public: PublicKey,
    expected_count: int,
    maker: bytes | None,
    name: str = "batch",
    kind: Kind = Kind.PAILLIER,
) -> Iterator[mpz]:
    """The ciphertexts of a peer's batch one by one, in constant memory.

    Header, length and range are checked before each is given out; that all are units modulo n once
    the last is read: their product has no common factor with n, one gcd for the whole batch. Until
    the iterator is exhausted nothing derived from it may be used. Raises Malformed naming the
    batch and the ciphertext.
    """
    n, product = mpz(public.n), mpz(1)
    shape = ciphertexts(public, expected_count, kind)
    for ciphertext in _in_range(data, public, shape, maker, name):
        product = product * (ciphertext % n) % n
        yield ciphertext
    if gmpy2.gcd(product, n) != 1:
        for index, ciphertext in enumerate(_in_range(data, public, shape, maker, name)):
            if gmpy2.gcd(ciphertext, n) != 1:
                raise Malformed(f"{name}: ciphertext {index} is no unit modulo n")
        raise FatalError(f"{name}: a product of units is no unit")


def _in_range(
    data: bytes | memoryview, public: PublicKey, shape: Shape, maker: bytes | None, name: str
) -> Iterator[mpz]:
    """The ciphertexts of a batch whose header is right, each of them in [1, n^2)."""
    shape.check(data, maker, name)
    view, size, n_squared = memoryview(data), public.ciphertext_bytes, public.n_squared
    for index in range(shape.count):
        start = HEADER_BYTES + index * size
        ciphertext = mpz.from_bytes(view[start : start + size], "big")
        if not 0 < ciphertext < n_squared:
            raise Malformed(f"{name}: ciphertext {index} lies outside [1, n^2)")
        yield ciphertext


def decode_batch(
    data: bytes | memoryview,
    public: PublicKey,
    expected_count: int,
    maker: bytes | None,
    name: str = "batch",
) -> list[int]:
    """All ciphertexts of a peer's batch, checked. Raises Malformed as `read_batch` does."""
    return [int(number) for number in read_batch(data, public, expected_count, maker, name)]


def add_batches(public: PublicKey, batches: Sequence[Iterable[mpz]]) -> Iterator[mpz]:
    """The encrypted sum, ciphertext by ciphertext: one from each batch at a time is in memory.

    Raises FatalError if there is no batch or their lengths differ.
    """
    if not batches:
        raise FatalError("there is no batch to add")
    n_squared = public.n_squared
    try:
        for column in zip(*batches, strict=True):
            total = column[0]
            for ciphertext in column[1:]:
                total = total * ciphertext % n_squared
            yield total
    except ValueError as error:
        raise FatalError("the batches to add differ in length") from error


def sum_encoded(
    public: PublicKey, batches: Sequence[bytes | memoryview], expected_count: int
) -> Iterator[mpz]:
    """`add_batches` of `read_batch` of peers' batches, whoever made them, with fewer checks.

    The range of every ciphertext is checked. That they are units is checked on the sums: a product
    is a unit if and only if its factors are, so one product modulo n a column takes the place of
    one a ciphertext. Until the iterator is exhausted nothing derived from it may be used. Raises
    Malformed naming the batch by its position, and FatalError if there is none.
    """
    names = [f"batch {position}" for position in range(len(batches))]
    readers = [
        _in_range(batch, public, ciphertexts(public, expected_count), None, name)
        for batch, name in zip(batches, names, strict=True)
    ]
    n, product = mpz(public.n), mpz(1)
    for total in add_batches(public, readers):
        product = product * (total % n) % n
        yield total
    if gmpy2.gcd(product, n) != 1:
        for batch, name in zip(batches, names, strict=True):
            deque(read_batch(batch, public, expected_count, None, name), maxlen=0)
        raise FatalError("a product of units is no unit")


def encode_residues(shape: Shape, numbers: Sequence[mpz]) -> bytes:
    """The bytes of a Paillier sum's removal: residues modulo n, big-endian."""
    size = shape.number_bytes
    body = (number.to_bytes(size, "big") for number in numbers)
    return shape.header(NOBODY) + b"".join(body)


def decode_residues(data: bytes, shape: Shape, n: int) -> list[mpz]:
    """The inverse of `encode_residues`. Raises Malformed on another shape, or a number of n or
    more."""
    shape.check(data, NOBODY, "removal")
    size = shape.number_bytes
    numbers = [
        mpz.from_bytes(data[start : start + size], "big")
        for start in range(HEADER_BYTES, shape.size, size)
    ]
    for index, number in enumerate(numbers):
        if number >= n:
            raise Malformed(f"removal: number {index} is no residue modulo n")
    return numbers
