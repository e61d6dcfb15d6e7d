"""Oblivious transfer: the buyer gets one of two labels a bit, the seller does not learn which.

Naor and Pinkas, 'Efficient oblivious transfer protocols' (SODA 2001, section 3.1), with the
sender's one exponent for all transfers, on secp256k1. The sender gives a point C, of whose
logarithm the receiver knows nothing, and r G. For each bit the receiver sends P0, where one of P0
and P1 = C - P0 is k G for a k of its own. The sender pads label b with the hash of r Pb; the
receiver knows k (r G).

*The receiver's bit* is hidden perfectly: P0 is a uniform point either way, whatever C is. *The
other label* is hidden as long as nobody finds both r P0 and r P1, whose sum is r C (computational
Diffie-Hellman), with a random oracle. There is no third choice: a buyer cannot bring anything else
than a bit, which homomorphic comparisons have to have proven (docs/adr/0900).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from coincurve import PrivateKey as Scalar
from coincurve import PublicKey as Point

from protocol.arith.numbers.entropy import Entropy, uniform_below
from protocol.errors import FatalError, Malformed

POINT_BYTES: Final = 33

#: The order of secp256k1's group (SEC 2, section 2.4.1).
ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

_LABEL: Final = b"assay/1 query transfer\x00"


@dataclass(frozen=True, slots=True)
class Sender:
    """The seller's two secrets of one query's transfers: r, and the logarithm of C."""

    exponent: int = field(repr=False)
    other: int = field(repr=False)

    @classmethod
    def drawn(cls, entropy: Entropy) -> Sender:
        """Fresh ones."""
        return cls(scalar(entropy), scalar(entropy))

    @property
    def offer(self) -> bytes:
        """C and r G: 66 bytes."""
        return _multiple(self.other).format() + _multiple(self.exponent).format()

    def pads(self, name: bytes, choices: bytes) -> list[tuple[bytes, bytes]]:
        """For each choice the pads of both labels. Raises Malformed, naming the choice, unless each
        is a point and not C."""
        exponent = self.exponent.to_bytes(32, "big")
        whole = _multiple(self.other).multiply(exponent)
        found = []
        for index in range(len(choices) // POINT_BYTES):
            chosen = choices[index * POINT_BYTES : (index + 1) * POINT_BYTES]
            first = point(chosen, f"choice {index}").multiply(exponent)
            try:
                second = Point.combine_keys([whole, _negative(first)])
            except ValueError:
                raise Malformed(f"choice {index} is the sender's own point") from None
            found.append((_pad(name, index, 0, first), _pad(name, index, 1, second)))
        return found


def choose(offer: bytes, exponents: Sequence[int], bits: Sequence[int]) -> bytes:
    """The receiver's points, one a bit; `exponents` k are fresh. Raises Malformed on an offer that
    is none; FatalError where an exponent is the one that nobody meets."""
    other, _ = _offered(offer)
    parts = []
    for exponent, bit in zip(exponents, bits, strict=True):
        own = _multiple(exponent)
        if bit:
            try:
                own = Point.combine_keys([other, _negative(own)])
            except ValueError as error:
                raise FatalError("the sender's point has the exponent that was drawn") from error
        parts.append(own.format())
    return b"".join(parts)


def received(
    name: bytes, offer: bytes, exponents: Sequence[int], bits: Sequence[int]
) -> list[bytes]:
    """The pads of the labels that were chosen."""
    _, base = _offered(offer)
    return [
        _pad(name, index, bit, base.multiply(exponent.to_bytes(32, "big")))
        for index, (exponent, bit) in enumerate(zip(exponents, bits, strict=True))
    ]


def scalar(entropy: Entropy) -> int:
    """A uniform number in [1, ORDER)."""
    return 1 + uniform_below(ORDER - 1, entropy)


def point(data: bytes, what: str) -> Point:
    """A point of the group, whose order is prime: every one of them will do. Raises Malformed."""
    try:
        return Point(data)
    except ValueError:
        raise Malformed(f"{what} is no point of the curve") from None


def _offered(offer: bytes) -> tuple[Point, Point]:
    if len(offer) != 2 * POINT_BYTES:
        raise Malformed(f"an offer of transfers has {len(offer)} bytes, {2 * POINT_BYTES} belong")
    return point(offer[:POINT_BYTES], "C"), point(offer[POINT_BYTES:], "r G")


def _multiple(number: int) -> Point:
    return Scalar(number.to_bytes(32, "big")).public_key


def _negative(of: Point) -> Point:
    data = of.format()
    return Point(bytes([data[0] ^ 1]) + data[1:])


def _pad(name: bytes, index: int, bit: int, shared: Point) -> bytes:
    material = _LABEL + name + index.to_bytes(4, "big") + bytes([bit]) + shared.format()
    return sha256(material).digest()[:16]
