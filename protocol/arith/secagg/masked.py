"""The masks envelope: values as words modulo 2^w, hidden by their masks and nothing else.

w is the width of a lane (encoding/lanes.py: a value and its sum's carries) in whole bytes. A signed
value v travels as (v + mask) modulo 2^w, little-endian, w / 8 bytes; a sum wraps like its summands,
and once its masks are off it is read as the signed number nearest to zero. That is the true sum if
all are honest, since `summands` values stay below 2^(w - 1); any sum is checked against that bound.

The mask is uniform modulo 2^w, so a batch tells nothing to anybody who lacks its seeds. It is the
only layer: if a member's seed *and* its pairwise seeds leak later, its batch opens. Under Paillier
it then opens to the requester alone (docs/spec/arithmetic.md, 'Two envelopes').
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from protocol.arith.numbers.fixedpoint import Integers
from protocol.arith.numbers.shape import HEADER_BYTES, Shape
from protocol.arith.secagg.masks import WordArray, Words
from protocol.errors import FatalError


def word_bits(lane_bits: int) -> int:
    """Bits of a word that holds a lane: whole bytes."""
    return -(-lane_bits // 8) * 8


def to_words(values: Integers, space: Words, max_int: int) -> WordArray:
    """Signed values (one dimension) modulo 2^w. Raises FatalError if a magnitude is above
    `max_int`."""
    if values.ndim != 1 or values.dtype != np.int64:
        raise FatalError(f"values to mask are {values.dtype} of shape {values.shape}")
    if values.size and max(int(values.max()), -int(values.min())) > max_int:
        raise FatalError(f"a value to mask is beyond {max_int}")
    return space.cut(values.astype(space.dtype))


def centred(words: WordArray, space: Words) -> Integers:
    """The numbers in [-2^(w-1), 2^(w-1)) that words stand for, as int64."""
    shift = np.int64(64 - space.bits)  # the word's sign bit becomes int64's, and is pulled back
    return np.asarray((words.astype(np.int64) << shift) >> shift)


def encode_words(words: WordArray, shape: Shape, maker: bytes) -> bytes:
    """The bytes of a batch of words: the low w / 8 bytes of each. `words` must be of the shape."""
    if words.size != shape.count:
        raise FatalError(f"{words.size} words to encode as {shape}")
    rows = words.view(np.uint8).reshape(shape.count, words.itemsize)
    return shape.header(maker) + rows[:, : shape.number_bytes].tobytes()


def decode_words(
    data: bytes | memoryview, shape: Shape, maker: bytes | None, name: str = "batch"
) -> WordArray:
    """The words of a batch; any are valid. Raises Malformed, beginning with `name`, unless header
    and length are of `shape` and say `maker` (None: whoever)."""
    shape.check(data, maker, name)
    words = Words(shape.bits).zero(shape.count)
    body = np.frombuffer(data, dtype=np.uint8, offset=HEADER_BYTES)
    rows = words.view(np.uint8).reshape(shape.count, words.itemsize)
    rows[:, : shape.number_bytes] = body.reshape(shape.count, shape.number_bytes)
    return words


def add_words(batches: Iterable[bytes], shape: Shape) -> WordArray:
    """The sum of peers' batches; two vectors are in memory at a time.

    Raises Malformed, naming the batch by its position, and FatalError if there is none.
    """
    space, total = Words(shape.bits), None
    for position, batch in enumerate(batches):
        words = decode_words(batch, shape, None, f"batch {position}")
        total = words if total is None else np.add(total, words, out=total)
    if total is None:
        raise FatalError("there is no batch to add")
    return space.cut(total)
