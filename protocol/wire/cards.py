"""Cards: what an owner tells everybody of a data set, and the word that takes a card back.

A card holds what its owner declared by hand and one coarse bucket of a row count. It is bounded
field by field, and its texts may not move a cursor, hide or turn around what stands beside them.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Annotated, Final

from protocol import params
from protocol.errors import Malformed
from protocol.wire.codec import Amount, Range, Size, Wire

#: Characters that no text of a card holds: controls, what hides or reorders others (soft hyphen,
#: joiners, bidirectional marks, tags), line separators, private use, non-characters of the base
#: plane. Listed by number and not by a Unicode category, because categories change with the Unicode
#: version, and a card that one node rejects another must not forward.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ue000-\uf8ff"
    "\ufdd0-\ufdef\ufeff\ufff0-\ufffb\ufffe\uffff\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
)

#: Marks that stack on one letter; five in a row grow out of their line.
_STACKED: Final = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{5}"
)

_PURPOSE: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")


class ColumnKind(enum.Enum):
    """What a job may read a column as."""

    NUMBER = "number"
    CATEGORY = "category"


#: A name or a word, as its file has it.
CardName = Annotated[str, Size(1, params.MAX_NAME_BYTES)]
Slot = Annotated[int, Range(0, params.MAX_CARDS_OF_PEER - 1)]
#: Numbers grow with the clock of their owner, so that one that lost its store goes on above.
Sequence = Annotated[int, Range(1, 2**53)]
Seconds = Annotated[int, Range(1, 2**53)]


@dataclass(frozen=True, slots=True)
class CardColumn(Wire):
    """A column as its owner declares it; `words` of a category, if the owner names them."""

    name: CardName
    kind: ColumnKind
    words: Annotated[tuple[CardName, ...], Size(0, params.MAX_CARD_WORDS)]

    def __post_init__(self) -> None:
        Wire.__post_init__(self)
        _check_text("CardColumn.name", self.name)
        _check_distinct("CardColumn.words", self.words)
        for word in self.words:
            _check_text("CardColumn.words", word)
        if self.words and self.kind is not ColumnKind.CATEGORY:
            raise Malformed(f"CardColumn: {self.name!r} is a number and has words")


@dataclass(frozen=True, slots=True)
class Card(Wire):
    """Owner to all, topic `cards`: I have such data, and these are my terms.

    It stands in one of its owner's slots until `valid_until` (Unix seconds); a higher `sequence`
    replaces it. `rows` is a bucket (`bucket_of`). No `purposes` means any. `rate` is the least that
    a contribution may pay, in the smallest unit of `token`.
    """

    slot: Slot
    sequence: Sequence
    valid_until: Seconds
    title: Annotated[str, Size(1, params.MAX_TITLE_BYTES)]
    rows: Annotated[int, Range(0, params.MAX_ROWS_BUCKET)]
    columns: Annotated[tuple[CardColumn, ...], Size(1, params.MAX_CARD_COLUMNS)]
    purposes: Annotated[tuple[Annotated[str, Size(1, 32)], ...], Size(0, params.MAX_CARD_PURPOSES)]
    token: Annotated[bytes, Size(20)]
    rate: Amount

    def __post_init__(self) -> None:
        Wire.__post_init__(self)
        _check_text("Card.title", self.title)
        _check_distinct("Card.columns", tuple(column.name for column in self.columns))
        if list(self.purposes) != sorted(set(self.purposes)):
            raise Malformed("Card.purposes: entries must ascend, each once")
        for purpose in self.purposes:
            if not _PURPOSE.match(purpose):
                raise Malformed(f"Card.purposes: {purpose!a} is not lower-case words joined by '-'")


@dataclass(frozen=True, slots=True)
class Withdrawn(Wire):
    """Owner to all, topic `cards`: the card of this slot is gone.

    It is remembered until `valid_until`, which is no earlier than that of the card: as long as
    somebody could say the card again.
    """

    slot: Slot
    sequence: Sequence
    valid_until: Seconds


def bucket_of(rows: int) -> int:
    """The bucket of a row count: 0 below 100, then 1 from 100, 2 from 300, 3 from 1,000, and so on
    to the last, which has no upper end."""
    return sum(rows >= low for low in _LOWS)


def bucket_span(bucket: int) -> tuple[int, int | None]:
    """The least row count of a bucket, and the one that is past it; None for the last."""
    ends = (0, *_LOWS)
    return ends[bucket], ends[bucket + 1] if bucket + 1 < len(ends) else None


#: Where buckets 1 to `MAX_ROWS_BUCKET` begin: 100, 300, 1,000, ... 10,000,000.
_LOWS: Final = tuple(
    (1, 3)[step % 2] * 10 ** (2 + step // 2) for step in range(params.MAX_ROWS_BUCKET)
)


def _check_text(where: str, text: str) -> None:
    found = _UNSAFE.search(text)
    if found is not None:
        raise Malformed(f"{where}: U+{ord(found[0]):04X} may not stand in a text that is shown")
    if _STACKED.search(text):
        raise Malformed(f"{where}: five marks on one letter")
    if text != text.strip(" "):
        raise Malformed(f"{where}: begins or ends with a space")


def _check_distinct(where: str, texts: tuple[str, ...]) -> None:
    seen: set[str] = set()
    for text in texts:
        if text in seen:
            raise Malformed(f"{where}: {text!a:.80} stands there twice")
        seen.add(text)
