"""Where a private query's features, and the answer to it, lie in ciphertexts: pure integers.

The buyer encrypts each feature alone. The seller's product gives one ciphertext a class, and packs
the classes of a group into one, each in a lane. docs/spec/queries.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from protocol.errors import InputError
from protocol.params import (
    MAX_QUERY_CLASSES,
    MAX_SEALED_FEATURES,
    QUERY_SLACK_BITS,
    QUERY_SUM_BITS,
    VALUE_BITS,
)


class Mode(Enum):
    """What an answer tells: all scores, or the class alone."""

    SCORES = "scores"
    LABEL = "label"


@dataclass(frozen=True, slots=True)
class QueryLayout:
    """`features` p and `classes` C of a model, bits of a feature with its sign, bits of the sum of
    a class's magnitudes, length of n, and what is told.

    Raises InputError, naming the field, outside of what params.py allows; for a label of fewer than
    two classes; or if not one lane fits the key.
    """

    features: int
    classes: int
    feature_bits: int
    sum_bits: int
    key_bits: int
    mode: Mode

    def __post_init__(self) -> None:
        for name, low, high in (
            ("features", 1, MAX_SEALED_FEATURES),
            ("classes", 2 if self.mode is Mode.LABEL else 1, MAX_QUERY_CLASSES),
            ("feature_bits", VALUE_BITS[0], 16),
            ("sum_bits", *QUERY_SUM_BITS),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"is {value}, {low} to {high} are allowed", name)
        if self.lanes < 1:
            raise InputError(f"is {self.key_bits}, no lane of {self.width} bits fits", "key_bits")

    @property
    def feature_max(self) -> int:
        """What a feature of 1 stands for, and the largest magnitude of one."""
        return (1 << (self.feature_bits - 1)) - 1

    @property
    def sum_max(self) -> int:
        """The most that the magnitudes of a class's weights, its bias among them, add up to."""
        return (1 << self.sum_bits) - 1

    @property
    def bound(self) -> int:
        """The largest magnitude of a score: `feature_max` times `sum_max`."""
        return self.feature_max * self.sum_max

    @property
    def score_bits(self) -> int:
        """Bits of a score plus `bound`, which is never negative. All that an answer in the mode
        `scores` tells of a class."""
        return (2 * self.bound).bit_length()

    @property
    def width(self) -> int:
        """Bits of a lane. Of a label's, the upper QUERY_SLACK_BITS keep a carry of the blinding
        away from the next lane."""
        slack = QUERY_SLACK_BITS if self.mode is Mode.LABEL else 0
        return self.score_bits + slack

    @property
    def lanes(self) -> int:
        """Lanes of a plaintext. QUERY_SLACK_BITS above them stay free, so that blinding them does
        not wrap around n."""
        return (self.key_bits - 1 - QUERY_SLACK_BITS) // self.width

    @property
    def per_group(self) -> int:
        """Classes in one ciphertext: all of them, or as many as fit."""
        return min(self.classes, self.lanes)

    @property
    def groups(self) -> int:
        """Ciphertexts of an answer."""
        return -(-self.classes // self.per_group)

    def classes_of(self, group: int) -> range:
        """Which classes a group holds."""
        first = group * self.per_group
        return range(first, min(first + self.per_group, self.classes))

    @property
    def label_bits(self) -> int:
        """Bits of a class's number."""
        return (self.classes - 1).bit_length()

    @property
    def choices(self) -> int:
        """Bits that the buyer brings into the comparison: the lower ones of each lane."""
        return self.classes * self.score_bits

    @property
    def gates(self) -> int:
        """AND gates of the comparison: subtract, compare, and hand on values and numbers."""
        bits, classes = self.score_bits, self.classes
        subtract = classes * (bits - 1)
        return subtract + (classes - 1) * (bits + self.label_bits) + (classes - 2) * bits

    @property
    def answers_to_copy(self) -> int:
        """From so many answers on a buyer may know a linear model, by what an answer can tell.

        In the mode `scores`, features that nobody would have (powers of two) carry several weights
        in one score: as many as `score_bits` has `sum_bits`. An honest buyer needs p + 1. In the
        mode `label`, at least the bits of the model over the bits of a label.
        """
        if self.mode is Mode.SCORES:
            return -(-(self.features + 1) * self.sum_bits // self.score_bits)
        weights = (self.features + 1) * (self.classes - 1) * self.feature_bits
        return -(-weights // max(self.label_bits, 1))
