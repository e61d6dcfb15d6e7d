"""How large the pieces, words and verdicts of a job with proofs are.

Limits and estimates need it above the arithmetic floor. A test holds it to arith/proofs/statement.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from protocol.layout.packing import BATCH_HEADER_BYTES, DEALT_BYTES
from protocol.params import PROOF_SOUNDNESS_BITS, PROOF_TRIES_BITS

_POINTS: Final = 4
_ELEMENT: Final = 8
_TAG: Final = 16

#: A signed header and its place in a list.
_ENVELOPE: Final = 360


@dataclass(frozen=True, slots=True)
class SharesLayout:
    """A statement's sizes: `values` of a norm of at most `bound`, dealt to `members` of whom any
    `threshold` rebuild it."""

    values: int
    bound: int
    members: int
    threshold: int

    @property
    def piece_elements(self) -> int:
        """Elements of a piece: the vector, then the proof."""
        length, wires = self._wires
        proof = _POINTS * wires + (self.bound**2).bit_length() + _POINTS
        return self.values + proof + 2 * length + 2 * _POINTS - 1 + 71 + self._rows

    @property
    def word_elements(self) -> int:
        """Elements of a word."""
        return _POINTS * (self._wires[1] + 3) + 1 + self._rows

    @property
    def box_bytes(self) -> int:
        """A piece, sealed to its member."""
        return _ELEMENT * self.piece_elements + _TAG

    @property
    def dealt_bytes(self) -> int:
        """All that one dealer sends: its boxes, and what names them."""
        dealing = BATCH_HEADER_BYTES + self.members * DEALT_BYTES
        return dealing + self.members * self.box_bytes

    @property
    def words_bytes(self) -> int:
        """One member's words on everybody."""
        return self.members * _ELEMENT * self.word_elements

    @property
    def verdict_bytes(self) -> int:
        """A block's words on everybody, and whose they are."""
        dealing = BATCH_HEADER_BYTES + self.members * DEALT_BYTES
        said = self.words_bytes + 32 * self.members + _ENVELOPE
        return self.members * (_ENVELOPE + dealing + said)

    @property
    def sum_bytes(self) -> int:
        """One member's sum."""
        return _ELEMENT * self.values

    @property
    def _wires(self) -> tuple[int, int]:
        """(values on a wire, wires)."""
        sizes = [1 << bits for bits in range(3, 13)]
        length = min(sizes, key=lambda size: 2 * _POINTS * -(-self.values // size) + 2 * size)
        return length, -(-self.values // length)

    @property
    def _rows(self) -> int:
        """Random projections."""
        sets = math.comb(self.members, self.threshold)
        needed = PROOF_SOUNDNESS_BITS + PROOF_TRIES_BITS + 2 + (sets - 1).bit_length()
        return -(-needed // 8) * 8
