"""How a job's values travel: which key, which lanes or words, which shape a batch has."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from protocol.arith.encoding.lanes import Lanes
from protocol.arith.encoding.sealed import SealedLanes
from protocol.arith.learning.models import Model
from protocol.arith.numbers.fixedpoint import FixedPoint
from protocol.arith.numbers.shape import Kind, Shape
from protocol.arith.paillier.cryptosystem import PublicKey
from protocol.arith.secagg.masked import word_bits
from protocol.arith.secagg.masks import Words
from protocol.errors import FatalError, InputError
from protocol.layout.packing import ENVELOPES, MASKS, PAILLIER
from protocol.layout.sealed import SealedLayout


@dataclass(frozen=True, slots=True)
class Envelope:
    """How a job's values travel, all from its spec: the modulus (big-endian, key bits / 8 bytes),
    bits of a value, the clip that the largest value stands for, how many contributions one sum may
    hold (the block's size), whether masked values are encrypted as well (packing.ENVELOPES), and
    the base h of a short-order key (as long as the modulus; empty for an ordinary one).

    For a sealed model also its layout. Values are then those of owners' replies (layout/sealed.py),
    and `clip` is what the largest weight stands for."""

    n: bytes
    value_bits: int
    clip: float
    summands: int
    kind: str = PAILLIER
    base: bytes = b""
    sealed: SealedLayout | None = None

    def __post_init__(self) -> None:
        if self.kind not in ENVELOPES:
            raise InputError(f"is {self.kind!r}, allowed are {ENVELOPES}", "encryption.envelope")
        if self.sealed is None:
            return
        if self.kind != PAILLIER:
            found = f"is {self.kind!r}; a sealed model's weights are Paillier ciphertexts"
            raise InputError(found, "encryption.envelope")
        told = self.value_bits, 8 * len(self.n), self.summands
        if told != (self.sealed.value_bits, self.sealed.key_bits, self.sealed.members):
            raise FatalError("the sealed layout is of another envelope")

    @property
    def public(self) -> PublicKey:
        """The key, checked once a process. Raises InputError as PublicKey does."""
        return _public(self.n, self.base)

    @property
    def fixed_point(self) -> FixedPoint:
        """Raises InputError as FixedPoint does."""
        return FixedPoint(self.value_bits, self.clip)

    @property
    def lanes(self) -> Lanes | SealedLanes:
        """Raises InputError as Lanes does. Touches no big integer: cheap enough anywhere."""
        if self.sealed is not None:
            return SealedLanes(self.sealed)
        return Lanes(self.value_bits, self.summands, 8 * len(self.n))

    @property
    def words(self) -> Words:
        """Where the masks envelope computes: modulo 2^w, w a lane's width in whole bytes."""
        return Words(word_bits(self.lanes.width))

    def shape(self, values: int) -> Shape:
        """What a batch of `values` values looks like."""
        if self.kind == MASKS:
            return Shape(Kind.MASKS, self.words.bits, values)
        return Shape(Kind.PAILLIER, 8 * len(self.n), self.lanes.ciphertexts(values))

    def removal_shape(self, values: int) -> Shape:
        """The shape of the removal for a sum of such batches: as many numbers."""
        shape = self.shape(values)
        kind = Kind.MASKS_REMOVAL if self.kind == MASKS else Kind.PAILLIER_REMOVAL
        return Shape(kind, shape.bits, shape.count)

    def batch_bytes(self, model: Model) -> int:
        """The exact size of a contribution to `model`."""
        return self.shape(model.parameter_count).size


@lru_cache(maxsize=16)
def _public(n: bytes, base: bytes) -> PublicKey:
    return PublicKey.from_bytes(n, base)
