"""The wire form of an encrypted batch.

    'assay'  version (1 byte)  key bits (2)  ciphertexts (4)   then each ciphertext, key bits / 4

All big-endian; the header is 12 bytes. It repeats what the job's spec already fixes, so that a file
found on its own can be told from others; a reader checks it against the spec and believes the spec.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import gmpy2
from gmpy2 import mpz

from protocol.arith.paillier import PublicKey
from protocol.errors import FatalError, Malformed
from protocol.params import PROTOCOL_VERSION

_HEADER: Final = struct.Struct(">5sBHI")
_MAGIC: Final = b"assay"

HEADER_BYTES: Final = _HEADER.size


def batch_bytes(public: PublicKey, count: int) -> int:
    """The exact size of a batch of `count` ciphertexts."""
    return HEADER_BYTES + count * public.ciphertext_bytes


def encode_header(public: PublicKey, count: int) -> bytes:
    """The 12 bytes before the ciphertexts."""
    return _HEADER.pack(_MAGIC, PROTOCOL_VERSION, public.bits, count)


def encode_batch(public: PublicKey, ciphertexts: Sequence[int]) -> bytes:
    """The bytes of a batch. Raises FatalError on a ciphertext outside [1, n^2)."""
    size = public.ciphertext_bytes
    parts = [encode_header(public, len(ciphertexts))]
    for index, ciphertext in enumerate(ciphertexts):
        if not 0 < ciphertext < public.n_squared:
            raise FatalError(f"ciphertext {index} to encode lies outside [1, n^2)")
        parts.append(int(ciphertext).to_bytes(size, "big"))
    return b"".join(parts)


def check_header(data: bytes | memoryview, public: PublicKey, expected_count: int) -> None:
    """Raises Malformed unless header and length are those of `expected_count` ciphertexts."""
    wanted = batch_bytes(public, expected_count)
    if len(data) != wanted:
        raise Malformed(
            f"batch has {len(data)} bytes, {expected_count} ciphertexts of a "
            f"{public.bits}-bit key take {wanted}"
        )
    magic, version, bits, count = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise Malformed("batch does not begin with 'assay'")
    if version != PROTOCOL_VERSION:
        raise Malformed(f"batch is of version {version}, this is version {PROTOCOL_VERSION}")
    if bits != public.bits or count != expected_count:
        raise Malformed(
            f"batch says {count} ciphertexts of a {bits}-bit key, "
            f"expected are {expected_count} of a {public.bits}-bit key"
        )


def read_batch(
    data: bytes | memoryview, public: PublicKey, expected_count: int, name: str = "batch"
) -> Iterator[mpz]:
    """The ciphertexts of a peer's batch one by one, in constant memory.

    Header, length and range are checked before each is given out; that all are units modulo n once
    the last is read: their product has no common factor with n, one gcd for the whole batch. Until
    the iterator is exhausted nothing derived from it may be used. Raises Malformed naming the
    batch and the ciphertext.
    """
    check_header(data, public, expected_count)
    view, size = memoryview(data), public.ciphertext_bytes
    n, n_squared = mpz(public.n), public.n_squared
    product = mpz(1)
    for index in range(expected_count):
        start = HEADER_BYTES + index * size
        ciphertext = mpz(int.from_bytes(view[start : start + size], "big"))
        if not 0 < ciphertext < n_squared:
            raise Malformed(f"{name}: ciphertext {index} lies outside [1, n^2)")
        product = product * ciphertext % n
        yield ciphertext
    if gmpy2.gcd(product, n) != 1:
        for index in range(expected_count):
            start = HEADER_BYTES + index * size
            if gmpy2.gcd(int.from_bytes(view[start : start + size], "big"), n) != 1:
                raise Malformed(f"{name}: ciphertext {index} is no unit modulo n")
        raise FatalError(f"{name}: a product of units is no unit")


def decode_batch(
    data: bytes | memoryview, public: PublicKey, expected_count: int, name: str = "batch"
) -> list[int]:
    """All ciphertexts of a peer's batch, checked. Raises Malformed as `read_batch` does."""
    return [int(ciphertext) for ciphertext in read_batch(data, public, expected_count, name)]


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
