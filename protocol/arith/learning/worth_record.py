"""The requester's record of measured worth: one row a round, appended, in canonical bytes.

    'assay'  version (1 byte)  'W'  0 (1)  rounds (4)      then for each round
    number (2)  blocks (2)  sums' digest (32)  sums' bytes (4)
    members of each block (2 each)  value of each block (8 each)  own part of each (8 each)
    member indices, block by block, ascending within a block (2 each)

Integers are big-endian, values little-endian IEEE 754. Sums are the blob of the round's mean
gradients, as docs/spec/worth.md, 'What is published', has it; zeros where none is published. The
pot is shared by a record, so that it is read as bytes from outside are; an auditor's are.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from protocol.arith.learning.models import Floats
from protocol.errors import FatalError, Malformed
from protocol.params import (
    MAX_BLOB_BYTES,
    MAX_COHORT,
    MAX_RECORD_BYTES,
    MAX_ROUNDS,
    PROTOCOL_VERSION,
)

Indices = npt.NDArray[np.intp]

#: A block's members, and its value with what of it is its own (worth.measure).
Entry: TypeAlias = tuple[Sequence[int], tuple[float, float]]

_HEADER: Final = struct.Struct(">5sBcBI")
_ROUND: Final = struct.Struct(">HH32sI")
_MAGIC: Final = b"assay"

_KIND: Final = b"W"

#: In the place of a digest where a round's sums are not published.
NO_SUMS: Final = bytes(32)

#: Largest absolute value of a block: sums over a job, and their squares, stay far within float64.
MAX_VALUE: Final = 1e100


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredRound:
    """One round's blocks: sizes, values and own parts (one each), all members, block by block.

    `sums` names the blob of their mean gradients, which has `sums_bytes`; zeros: there is none.
    """

    number: int
    sizes: Indices
    values: Floats
    own: Floats
    members: Indices
    sums: bytes = NO_SUMS
    sums_bytes: int = 0

    @property
    def entries(self) -> tuple[Entry, ...]:
        """(members, (value, own part)) of each block, as they were appended."""
        ends = np.cumsum(self.sizes)
        return tuple(
            (tuple(self.members[end - size : end].tolist()), (float(value), float(own)))
            for size, end, value, own in zip(self.sizes, ends, self.values, self.own, strict=True)
        )


def append(
    previous: bytes | None,
    round_: int,
    entries: Sequence[Entry],
    sums: bytes = NO_SUMS,
    sums_bytes: int = 0,
) -> bytes:
    """The record with one more round; `entries` are each block's members and what was measured of
    it, `sums` (32 bytes) names the blob of their mean gradients where it is published.

    A block whose sum was dropped belongs in it with zeros: it added nothing. Appending a round to
    the same record twice gives the same bytes. Raises Malformed for a `previous` that is no record,
    FatalError for a round that does not come after the last or entries that are none.
    """
    rounds = decode(previous) if previous is not None else ()
    try:
        added = MeasuredRound(
            round_,
            np.array([len(members) for members, _ in entries], dtype=np.intp),
            np.array([value for _, (value, _) in entries], dtype=np.float64) + 0.0,  # no -0.0
            np.array([own for _, (_, own) in entries], dtype=np.float64) + 0.0,
            np.array([m for members, _ in entries for m in members], dtype=np.intp),
            sums,
            sums_bytes,
        )
        _check(added, rounds[-1].number if rounds else -1)
    except (Malformed, OverflowError, TypeError, ValueError) as error:
        raise FatalError(f"a round cannot be recorded: {error}") from error
    header = _HEADER.pack(_MAGIC, PROTOCOL_VERSION, _KIND, 0, len(rounds) + 1)
    body = previous[_HEADER.size :] if previous is not None else b""
    return header + body + _encode(added)


def decode(data: bytes) -> tuple[MeasuredRound, ...]:
    """The rounds of a record. Raises Malformed unless `data` is exactly what `append` gives."""
    if not _HEADER.size <= len(data) <= MAX_RECORD_BYTES:
        raise Malformed(
            f"a record of worth has {len(data)} bytes, {_HEADER.size} to {MAX_RECORD_BYTES} are one"
        )
    magic, version, kind, zero, count = _HEADER.unpack_from(data)
    if magic != _MAGIC or kind != _KIND or zero:
        raise Malformed("does not begin as a record of worth does")
    if version != PROTOCOL_VERSION:
        raise Malformed(f"a record of worth of version {version}, this is {PROTOCOL_VERSION}")
    if not 1 <= count <= MAX_ROUNDS:
        raise Malformed(f"a record of worth of {count} rounds, 1 to {MAX_ROUNDS} are allowed")
    rounds: list[MeasuredRound] = []
    reader = _Reader(data, _HEADER.size)
    for _ in range(count):
        number, blocks, sums, sums_bytes = _ROUND.unpack(reader.take(_ROUND.size))
        sizes = reader.array(">u2", blocks).astype(np.intp)
        values = reader.array("<f8", blocks).astype(np.float64)
        own = reader.array("<f8", blocks).astype(np.float64)
        members = reader.array(">u2", int(sizes.sum())).astype(np.intp)
        both = np.concatenate([values, own])
        if np.any((both == 0.0) & np.signbit(both)):
            raise Malformed(f"round {number}: a negative zero, which has no canonical form")
        each = MeasuredRound(number, sizes, values, own, members, sums, sums_bytes)
        _check(each, rounds[-1].number if rounds else -1)
        rounds.append(each)
    if reader.at != len(data):
        raise Malformed(f"{len(data) - reader.at} bytes follow the last round")
    return tuple(rounds)


class _Reader:
    """Takes bytes off the front, never more than there are."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self.at = at

    def take(self, count: int) -> bytes:
        if self.at + count > len(self._data):
            raise Malformed(f"the record of worth ends {self.at + count - len(self._data)} short")
        self.at += count
        return self._data[self.at - count : self.at]

    def array(self, dtype: str, count: int) -> npt.NDArray[np.generic]:
        return np.frombuffer(self.take(count * np.dtype(dtype).itemsize), dtype=dtype)


def _check(each: MeasuredRound, last: int) -> None:
    """Raises Malformed unless this is a round that may follow round `last`."""
    where = f"round {each.number}"
    if not last < each.number < MAX_ROUNDS:
        raise Malformed(f"{where} after round {last}, {last + 1} to {MAX_ROUNDS - 1} may follow")
    if not 1 <= len(each.sizes) <= MAX_COHORT:
        raise Malformed(f"{where}: {len(each.sizes)} blocks, 1 to {MAX_COHORT} are allowed")
    named = len(each.sums) == len(NO_SUMS) and (each.sums != NO_SUMS) == (each.sums_bytes > 0)
    if not named or not 0 <= each.sums_bytes <= MAX_BLOB_BYTES:
        raise Malformed(f"{where}: sums of {each.sums_bytes} bytes do not fit their digest")
    for told in (each.values, each.own):
        sound = np.abs(told) <= MAX_VALUE  # false for what is not a number, too
        if not sound.all():
            block = int(np.argmin(sound))
            raise Malformed(
                f"{where}: block {block} is worth {told[block]}; {MAX_VALUE:g} bounds it"
            )
    if each.sizes.min() < 1:
        raise Malformed(f"{where}: block {int(np.argmin(each.sizes))} has no member")
    members = each.members
    if members.min() < 0 or members.max() >= MAX_COHORT:
        raise Malformed(f"{where}: a member outside 0 to {MAX_COHORT - 1}")
    if len(np.unique(members)) != len(members):
        raise Malformed(f"{where}: a member stands in it twice")
    inside = np.ones(len(members), dtype=bool)
    inside[np.cumsum(each.sizes)[:-1]] = False
    if np.any(np.diff(members)[inside[1:]] < 0):
        raise Malformed(f"{where}: a block's members do not ascend")


def _encode(each: MeasuredRound) -> bytes:
    return b"".join(
        (
            _ROUND.pack(each.number, len(each.sizes), each.sums, each.sums_bytes),
            each.sizes.astype(">u2").tobytes(),
            each.values.astype("<f8").tobytes(),
            each.own.astype("<f8").tobytes(),
            each.members.astype(">u2").tobytes(),
        )
    )
