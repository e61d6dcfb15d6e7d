"""What a spying requester has to work with: a block with one honest owner, and crafted weights.

Puppets of the requester fill the rest of the block and answer with zeros, so that the block's sum,
once its masks are off, is the honest owner's reply. Nothing in it is honest but the owner; all that
the owner computes, and all that it checks, is the product's own code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import gmpy2
import numpy as np

from protocol.arith import kernels
from protocol.arith.encoding.envelope import Envelope
from protocol.arith.encoding.sealed import SealedLanes
from protocol.arith.numbers.entropy import SEED_BYTES, Entropy, draw, uniform_below
from protocol.arith.numbers.fixedpoint import Integers
from protocol.arith.numbers.shape import NOBODY, Kind
from protocol.arith.paillier.batch import decode_batch, decode_residues, encode_batch
from protocol.arith.paillier.cryptosystem import PrivateKey, encrypt_with
from protocol.arith.paillier.obfuscation import obfuscators
from protocol.arith.sealed import ciphertexts as sealed
from protocol.arith.sealed.affine import Quantised
from protocol.arith.secagg.agreement import new_key
from protocol.arith.secagg.masks import Binding, Residues
from protocol.arith.secagg.sharing import Secrets
from protocol.layout.sealed import SealedLayout
from protocol.params import MIN_BLOCK, SEALED_FRACTION_BITS
from protocol.wire.blobs import blob_digest

#: Bits of an entry of an owner's matrix, its sign included, and one more: B of w_j = B^j.
_DIGIT_BITS = SEALED_FRACTION_BITS + 2

_JOB, _CONTRACT, _ROSTER = bytes(32), bytes(20), bytes(32)


@dataclass(frozen=True, slots=True)
class Craft:
    """Weights that spell out an owner's matrix: in each round `columns` of them are not zero, and
    these are `factor` B^0, `factor` B^1, ...

    `factor`, a unit modulo n, is drawn for each round.
    """

    name: str
    columns: int
    factor: Callable[[SealedLayout, int], int]

    def rounds(self, layout: SealedLayout) -> int:
        """How many rounds a whole matrix takes; one more reads the offset."""
        return -(-layout.features // self.columns)


def crafts(layout: SealedLayout, entropy: Entropy) -> tuple[Craft, ...]:
    """w_j = B^j, as many at once as a lane has room for; one column a round, at the edge of what a
    weight may be; one column a round, as large as a plaintext may be."""

    def huge(_: SealedLayout, n: int) -> int:
        while gmpy2.gcd(found := uniform_below(n, entropy), n) != 1:
            pass
        return found

    return (
        Craft("w_j = B^j", (layout.width - 1) // _DIGIT_BITS, lambda _, n: 1),
        Craft("a sparse basis, at the range's edge", 1, lambda layout, n: layout.weight_max),
        Craft("huge values, up to n", 1, huge),
    )


class Block:
    """A sealed job's block for one owner and a requester's puppets. One output a model: C = 1."""

    def __init__(self, key: PrivateKey, layout: SealedLayout, entropy: Entropy) -> None:
        public = key.public
        self.layout = layout
        self.answered = 0
        self._key, self._entropy = key, entropy
        n, base = public.to_bytes(), public.base_bytes()
        bits, members = layout.value_bits, layout.members
        self._envelope = Envelope(n, bits, 1.0, members, base=base, sealed=layout)
        zeros = np.zeros((layout.features, layout.features), np.int64)
        self._nothing = Quantised(zeros, zeros[:, :1], 0)

    @classmethod
    def of_puppets(cls, key: PrivateKey, features: int, entropy: Entropy) -> Block:
        """The smallest block that there is, one of them the owner."""
        bits = key.public.bits
        return cls(key, SealedLayout(features, 1, 16, bits, MIN_BLOCK), entropy)

    def read(self, craft: Craft, step: Quantised) -> Quantised:
        """The owner's matrix and offset, from its replies to crafted weights: a round for the
        offset, and then the matrix' columns."""
        p, n = self.layout.features, self._key.public.n
        lanes = SealedLanes(self.layout)
        still = self.reply([0] * p, step)
        offset = lanes.unpack(self._signed(still), p)
        matrix = np.empty((p, p), np.int64)
        for first in range(0, p, craft.columns):
            columns = range(first, min(first + craft.columns, p))
            factor = craft.factor(self.layout, n)
            weights = [0] * p
            for place, column in enumerate(columns):
                weights[column] = (factor << _DIGIT_BITS * place) % n
            back = gmpy2.invert(factor, n)
            moved = [
                int((a - b) * back % n)
                for a, b in zip(self.reply(weights, step), still, strict=True)
            ]
            spelt = lanes.unpack(self._signed(moved), p)
            for column, digit in zip(columns, _digits(spelt), strict=False):
                matrix[:, column] = digit
        return Quantised(matrix, offset[:, None], 0)

    def reply(self, plaintexts: Sequence[int], step: Quantised) -> list[int]:
        """The owner's reply to encryptions of `plaintexts`, in the clear: numbers modulo n."""
        public, envelope, entropy = self._key.public, self._envelope, self._entropy
        drawn = obfuscators(public, len(plaintexts), entropy)
        weights = encrypt_with(public, plaintexts, drawn)
        blob = encode_batch(public, weights, self.layout.field, Kind.SEALED_MODEL)
        self.answered += 1
        where = (_JOB, self.answered, 0, blob_digest(blob), _ROSTER, envelope.n)
        binding = Binding(1, _CONTRACT, *where)
        pairs = [new_key(entropy) for _ in range(self.layout.members)]
        secrets = [Secrets(private, draw(entropy, SEED_BYTES)) for private, _ in pairs]
        roster = [(member, public) for member, (_, public) in enumerate(pairs)]
        batches = [
            sealed.reply(
                envelope,
                blob,
                mine.matrix,
                mine.offset,
                secrets[member],
                member,
                roster,
                binding,
                member.to_bytes(32, "big"),
                entropy,
            )
            for member, mine in enumerate([step, *[self._nothing] * (len(roster) - 1)])
        ]
        values = self.layout.values
        total = kernels.sum_batches(envelope, batches, values)
        present = [(i, key, each.seed) for (i, key), each in zip(roster, secrets, strict=True)]
        removal = kernels.unmask_vector(envelope, values, binding, present, [])
        # kernels.open_sum without its check of ranges, which nobody makes a spy run.
        count = self.layout.reply_ciphertexts
        masked = self._key.decrypt(decode_batch(total, public, count, NOBODY, "sum"))
        left = decode_residues(removal, envelope.removal_shape(values), public.n)
        return [int(number) for number in Residues(public.n).subtract(masked, left)]

    def _signed(self, numbers: Sequence[int]) -> list[int]:
        n = self._key.public.n
        return [number - n if number > n // 2 else number for number in numbers]


def _digits(numbers: Integers) -> Iterator[Integers]:
    """Balanced digits of each number to the base B, the lowest first; without end."""
    half = 1 << (_DIGIT_BITS - 1)
    while True:
        digit = ((numbers + half) & ((1 << _DIGIT_BITS) - 1)) - half
        yield digit
        numbers = (numbers - digit) >> _DIGIT_BITS
