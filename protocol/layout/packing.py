"""How large a masked contribution is: by its lanes or words, its batch's header, a sealed layout.

Limits and estimates need it above the arithmetic floor, where numpy may not be imported. A test
holds the two to each other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from protocol.layout.sealed import SealedLayout

#: Before the numbers of a batch: tag, version, kind, bits, count, maker (arith's numbers.shape).
BATCH_HEADER_BYTES: Final = 45

#: Before the floats of a model: tag, version, kind, count (protocol.arith.numbers.vectors).
MODEL_HEADER_BYTES: Final = 16

#: How a contribution travels: encrypted besides its masks, under its masks alone,
PAILLIER: Final = "paillier"
MASKS: Final = "masks"

#: Or dealt as shares with a proof of its norm: what is listed is then the dealing, not a batch.
SHARES: Final = "shares"
ENVELOPES: Final = (PAILLIER, MASKS, SHARES)

#: A dealing's bytes for each member: the commitment to its piece, and the digest of its box.
DEALT_BYTES: Final = 2 * 32

_MAKER: Final = b"assay/1 batch maker\x00"


def batch_maker(place: bytes, sender: bytes) -> bytes:
    """The maker in a batch's header (32 bytes): who made it, for which attempt. So nobody can
    announce another member's batch as its own: SHA-256 of a tag, `place` (the encoding of chain,
    contract, job, round and attempt) behind its length, and the sender's peer id."""
    framed = len(place).to_bytes(4, "big") + place
    return hashlib.sha256(_MAKER + framed + sender).digest()


@dataclass(frozen=True, slots=True)
class Packing:
    """Values of `value_bits`, sign included; `summands` of them are added; n has `key_bits`.

    `envelope` is one of ENVELOPES; `ciphertexts`, `lanes` and `ciphertext_bytes` are about
    Paillier's alone, `word_bits` about that of masks. `sealed` is the layout of a sealed model,
    whose replies have as many values as it has weights.
    """

    value_bits: int
    summands: int
    key_bits: int
    envelope: str = PAILLIER
    sealed: SealedLayout | None = None

    @property
    def lane_bits(self) -> int:
        """Width of a lane: a value and the carries of its sum."""
        if self.sealed is not None:
            return self.sealed.width
        return self.value_bits + (self.summands - 1).bit_length()

    @property
    def word_bits(self) -> int:
        """Width of a masked word: a lane, in whole bytes."""
        return -(-self.lane_bits // 8) * 8

    @property
    def lanes(self) -> int:
        """Values in one ciphertext; two bits of n stay free for the sign of the packed number."""
        return (self.key_bits - 2) // self.lane_bits

    @property
    def max_int(self) -> int:
        """The largest magnitude of a value."""
        if self.sealed is not None:
            return self.sealed.max_int
        return (1 << (self.value_bits - 1)) - 1

    @property
    def headroom(self) -> int:
        """How many batches may be added before a lane could overflow; at least `summands`."""
        return ((1 << (self.lane_bits - 1)) - 1) // self.max_int

    def ciphertexts(self, values: int) -> int:
        """Ciphertexts that hold `values` values: of a sealed model's reply, all of them."""
        if self.sealed is not None:
            return self.sealed.reply_ciphertexts
        return -(-values // self.lanes)

    @property
    def ciphertext_bytes(self) -> int:
        """A ciphertext is a number modulo n squared."""
        return self.key_bits // 4

    def batch_bytes(self, values: int) -> int:
        """Bytes of a batch of `values` values, header included; of a dealing to `summands`
        members."""
        if self.envelope == SHARES:
            return BATCH_HEADER_BYTES + self.summands * DEALT_BYTES
        if self.envelope == MASKS:
            return BATCH_HEADER_BYTES + values * (self.word_bits // 8)
        return BATCH_HEADER_BYTES + self.ciphertexts(values) * self.ciphertext_bytes


def model_bytes(parameters: int) -> int:
    """Bytes of a model's weights as they travel: float64 behind a header."""
    return MODEL_HEADER_BYTES + 8 * parameters
