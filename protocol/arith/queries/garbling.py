"""Garbled gates: XOR for nothing, AND for two labels.

Kolesnikov and Schneider (ICALP 2008) for XOR; Zahur, Rosulek and Evans, 'Two halves make a whole'
(EUROCRYPT 2015, figure 2) for AND. A wire's labels are 16 bytes, W for 0 and W + R for 1, R secret
and odd, so that their last bits differ. H is SHA-256, cut to 16 bytes, of the circuit's name, the
half gate's number and the label.

*Why a buyer that cheats gains nothing.* It evaluates, and can do nothing else with a circuit: it
holds one label a wire, for the bits that it chose before it saw the circuit (transfer.py). It
learns the outputs for these bits, hence one label.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Final

from protocol.arith.numbers.entropy import Entropy, draw
from protocol.errors import Malformed

LABEL_BYTES: Final = 16

#: Bytes of an AND gate.
GATE_BYTES: Final = 2 * LABEL_BYTES

_HASH: Final = b"assay/1 query gate\x00"
_OUTPUT: Final = b"assay/1 query output\x00"


class Garbler:
    """The seller's machine: a wire is its label for 0. `tables` grows by GATE_BYTES a gate."""

    def __init__(self, name: bytes, entropy: Entropy) -> None:
        self._entropy, self._prefix = entropy, _HASH + name
        #: What a wire's two labels differ by. Secret.
        self.offset: Final = self.label() | 1
        self.tables = bytearray()
        self._count = 0

    def label(self) -> int:
        """A fresh wire's label for 0."""
        return int.from_bytes(draw(self._entropy, LABEL_BYTES), "big")

    def xor(self, a: int, b: int) -> int:
        return a ^ b

    def flip(self, a: int, bit: int) -> int:
        return a ^ self.offset if bit else a

    def both(self, a: int, b: int) -> int:
        first, second = self._count, self._count + 1
        self._count += 2
        offset, pa, pb = self.offset, a & 1, b & 1
        low, high = _hash(self._prefix, first, a), _hash(self._prefix, first, a ^ offset)
        garbler = low ^ high ^ (offset if pb else 0)
        mine = low ^ (garbler if pa else 0)
        low, high = _hash(self._prefix, second, b), _hash(self._prefix, second, b ^ offset)
        evaluator = low ^ high ^ a
        theirs = low ^ (evaluator ^ a if pb else 0)
        self.tables += garbler.to_bytes(LABEL_BYTES, "big")
        self.tables += evaluator.to_bytes(LABEL_BYTES, "big")
        return mine ^ theirs

    def shown(self, name: bytes, place: int, wire: int) -> bytes:
        """What tells an output's bit: hashes of both of its labels, for 0 first."""
        return b"".join(_output(name, place, each) for each in (wire, wire ^ self.offset))


class Evaluator:
    """The buyer's machine: a wire is the one label that it holds. Raises Malformed where the tables
    end too early."""

    def __init__(self, name: bytes, tables: bytes) -> None:
        self._prefix = _HASH + name
        self._count = 0
        self._tables: Iterator[int] = (
            int.from_bytes(tables[start : start + LABEL_BYTES], "big")
            for start in range(0, len(tables), LABEL_BYTES)
        )

    def xor(self, a: int, b: int) -> int:
        return a ^ b

    def flip(self, a: int, bit: int) -> int:
        return a

    def both(self, a: int, b: int) -> int:
        first, second = self._count, self._count + 1
        self._count += 2
        garbler, evaluator = next(self._tables, None), next(self._tables, None)
        if garbler is None or evaluator is None:
            raise Malformed("circuit: its tables end too early")
        mine = _hash(self._prefix, first, a) ^ (garbler if a & 1 else 0)
        theirs = _hash(self._prefix, second, b) ^ (evaluator ^ a if b & 1 else 0)
        return mine ^ theirs


def output_bit(name: bytes, place: int, wire: int, shown: bytes) -> int:
    """The bit of an output that the evaluator holds the label of. Raises Malformed if it is neither
    of the two: the circuit, or a label that it was fed, is not what it should be."""
    found = _output(name, place, wire)
    both = shown[:LABEL_BYTES], shown[LABEL_BYTES:]
    if both[0] == both[1] or found not in both:
        raise Malformed(f"circuit: output {place} opens to neither of its labels")
    return both.index(found)


def _hash(prefix: bytes, number: int, label: int) -> int:
    material = prefix + number.to_bytes(4, "big") + label.to_bytes(LABEL_BYTES, "big")
    return int.from_bytes(sha256(material).digest()[:LABEL_BYTES], "big")


def _output(name: bytes, place: int, label: int) -> bytes:
    material = _OUTPUT + name + place.to_bytes(4, "big") + label.to_bytes(LABEL_BYTES, "big")
    return sha256(material).digest()[:LABEL_BYTES]
