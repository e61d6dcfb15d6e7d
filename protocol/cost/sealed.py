"""The cost of a sealed model's rounds: exact counts of operations, times seconds of a single one.

Counts follow from the spec alone; `Pace` says how fast a computer is. Estimates and the simulator
go by `reference_pace`; `assay job check` measures its own (node/workers/pace.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from protocol.cost.encryption import add_seconds, decrypt_seconds, encrypt_seconds
from protocol.errors import InputError
from protocol.layout.sealed import SealedLayout
from protocol.params import SEALED_FRACTION_BITS
from protocol.spec.job import Terms

#: Bits of an entry of M - I (protocol.arith.sealed.ciphertexts).
ENTRY_BITS: Final = SEALED_FRACTION_BITS + 1

# In steps, as protocol.arith.sealed.matvec measured them; a test holds `product_steps` to its plan.
_SQUARING: Final = 1.8
_READING: Final = 1.05
_ENTRY: Final = 0.95
_STRIP: Final = 0.6
_MAX_STRIP: Final = 16
_MAX_ENTRIES: Final = 1 << 17

#: In steps: one bit's shift of a packed row (protocol.arith.sealed.ciphertexts); and adding offset
#: and masks to a reply's ciphertext and blinding it, without making the blinder.
_SHIFT: Final = 1.3
_CLOSE: Final = 8.0

# Measured on one shared core at 2.5 GHz with 3072 bits, as in encryption.py; with longer keys
# products grow less than powers, whose exponents grow too.
_REFERENCE_BITS: Final = 3072
_STEP_SECONDS: Final = 4.2e-6
_BLINDER_SECONDS: Final = 0.028
_MASK_SECONDS: Final = 6e-6
_STEP_GROWTH: Final = 1.7
_POWER_GROWTH: Final = 2.4

# Statistics, seconds: a row's map and integers, each of its numbers, one number of noise, and the
# eigenvalues, by p cubed.
_ROW_SECONDS: Final = 4e-5
_NUMBER_SECONDS: Final = 7e-9
_NOISE_SECONDS: Final = 1e-5
_EIGEN_SECONDS: Final = 1.8e-9


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds of single operations on one core, for keys of one length.

    `step`: a product of a number modulo n^2 and one of n's length; `blinder`: one of full range;
    `table`, `encrypt`: the table of a short-order key, and a ciphertext made with it; `decrypt`;
    `read`: a ciphertext read and checked; `mask`: one ciphertext's mask that one mate shares.
    """

    step: float
    blinder: float
    table: float
    encrypt: float
    decrypt: float
    read: float
    mask: float


@dataclass(frozen=True, slots=True)
class OwnerSeconds:
    """One owner's round: the model's ciphertexts checked, the encrypted product and its packing,
    masks, blinders (unless a pool has them ready), and what puts these together."""

    check: float
    product: float
    masks: float
    blinders: float
    close: float

    @property
    def pool_full(self) -> float:
        """All of it but the blinders."""
        return self.check + self.product + self.masks + self.close

    @property
    def pool_empty(self) -> float:
        """All of it."""
        return self.pool_full + self.blinders


@dataclass(frozen=True, slots=True)
class RequesterSeconds:
    """The requester's round with its largest cohort: replies added, masks made again, sums opened,
    the new weights encrypted."""

    add: float
    unmask: float
    decrypt: float
    encrypt: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.add + self.unmask + self.decrypt + self.encrypt


def reference_pace(key_bits: int) -> Pace:
    """One shared core at 2.5 GHz, for keys of `key_bits`."""
    ratio, table = key_bits / _REFERENCE_BITS, encrypt_seconds(key_bits, 0)
    return Pace(
        step=_STEP_SECONDS * ratio**_STEP_GROWTH,
        blinder=_BLINDER_SECONDS * ratio**_POWER_GROWTH,
        table=table,
        encrypt=encrypt_seconds(key_bits, 1) - table,
        decrypt=decrypt_seconds(key_bits, 1),
        read=add_seconds(key_bits, 1),
        mask=_MASK_SECONDS * ratio,
    )


def layout_of(terms: Terms) -> SealedLayout:
    """A sealed job's layout. Raises InputError if its model is open."""
    layout = terms.layout
    if layout is None:
        raise InputError("is false", "privacy.sealed")
    return layout


def product_steps(rows: int, columns: int, entry_bits: int = ENTRY_BITS) -> float:
    """A matrix of `rows` x `columns` numbers times as many ciphertexts, in steps, by the cheapest
    width of a strip of columns: what protocol.arith.sealed.matvec.cost says, within some
    percent."""

    def cost(width: int) -> float:
        strips = math.ceil(columns / width)
        size, larger = divmod(columns, strips)
        entries = (strips + larger) << size
        if entries > _MAX_ENTRIES and width > 1:
            return math.inf
        return (
            rows * entry_bits * strips * _READING
            + rows * (entry_bits - 1) * _SQUARING
            + entries * _ENTRY
            + rows * strips * _STRIP
        )

    return min(cost(width) for width in range(1, min(_MAX_STRIP, columns) + 1))


def packing_shifts(layout: SealedLayout) -> int:
    """By how many bits, all in all, rows are shifted that share a reply's ciphertext."""
    return layout.groups * (layout.features - layout.replies_per_group) * layout.row_bits


def owner_seconds(terms: Terms, pace: Pace) -> OwnerSeconds:
    """An owner's round in the largest block, its statistics and secrets aside."""
    layout = layout_of(terms)
    p = layout.features
    steps = layout.groups * product_steps(p, p) + packing_shifts(layout) * _SHIFT
    replies = layout.reply_ciphertexts
    return OwnerSeconds(
        check=layout.model_ciphertexts * pace.read,
        product=steps * pace.step,
        masks=layout.members * replies * pace.mask,
        blinders=replies * pace.blinder,
        close=replies * _CLOSE * pace.step,
    )


def requester_seconds(terms: Terms, pace: Pace) -> RequesterSeconds:
    """The requester's round with the largest cohort, rebuilding of secrets aside."""
    layout, owners = layout_of(terms), terms.cohort.max_owners
    replies = layout.reply_ciphertexts
    return RequesterSeconds(
        add=owners * replies * pace.read,
        unmask=owners * replies * pace.mask,
        decrypt=terms.block_count * replies * pace.decrypt,
        encrypt=pace.table + layout.model_ciphertexts * pace.encrypt,
    )


def statistics_seconds(terms: Terms, rows: int) -> float:
    """What an owner of so many rows computes once a job: features, sums, noise, eigenvalues."""
    p, outputs = terms.feature_count, terms.outputs
    numbers = p * (p + 1) // 2 + p * outputs
    noise = numbers * _NOISE_SECONDS if terms.privacy.noisy else 0.0
    return rows * (_ROW_SECONDS + numbers * _NUMBER_SECONDS) + noise + p**3 * _EIGEN_SECONDS
