"""Columns for which a spec says what a gap becomes: which cells are gaps, and the rule for them.

A gap is an empty cell, or one of the words in `gaps`, spelt as it is or of the same value. What
becomes of it is declared and never computed from other rows: a mean would tell of them.

A column that declares nothing of it is one of protocol.spec.parts, where a gap is refused. A spec
thus has one encoding, and specs that were written before there were gaps keep theirs.
docs/spec/job.md, 'Gaps', says what each rule means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, TypeAlias

from protocol import params
from protocol.spec.checks import Fault, distinct
from protocol.spec.parts import (
    CategoryFeature,
    ClassTarget,
    Feature,
    Name,
    NumberFeature,
    NumberTarget,
    Target,
)
from protocol.spec.words import number_of
from protocol.wire.codec import Size

GapWords: TypeAlias = Annotated[tuple[Name, ...], Size(0, params.MAX_GAP_WORDS)]


class Missing(StrEnum):
    """What a gap becomes: its row cannot be used, its row is left out, or a declared value."""

    REFUSE = "refuse"
    DROP_ROW = "drop-row"
    FILL = "fill"


@dataclass(frozen=True, slots=True)
class GapNumberFeature(NumberFeature):
    """A column of numbers; with FILL a gap is the number `fill`. `indicator`: one more input behind
    the others, 1 where the cell was a gap and 0 elsewhere."""

    gaps: GapWords
    missing: Missing
    fill: float | None
    indicator: bool

    def faults(self) -> Iterator[Fault]:
        yield from NumberFeature.faults(self)
        yield from _feature_faults(self)
        if self.fill is not None and not self.low <= self.fill <= self.high:
            found = f"is {self.fill:g}; a number from {self.low:g} to {self.high:g} is declared"
            yield Fault("missing", found)

    @property
    def inputs(self) -> int:
        return 1 + self.indicator


@dataclass(frozen=True, slots=True)
class GapCategoryFeature(CategoryFeature):
    """A column of words; with FILL a gap is the category `fill`."""

    gaps: GapWords
    missing: Missing
    fill: Name | None
    indicator: bool

    def faults(self) -> Iterator[Fault]:
        yield from CategoryFeature.faults(self)
        yield from _feature_faults(self)
        yield from _twice(self.gaps, self.categories, "category")
        if self.fill is not None and self.fill not in self.categories:
            yield Fault("missing", f"is {self.fill!r}, which is none of the categories")
        elif self.fill in (Missing.REFUSE, Missing.DROP_ROW):
            # The file could not say whether the rule or the category is meant.
            yield Fault("missing", f"is {self.fill!r}, a rule's name; call the category otherwise")

    @property
    def inputs(self) -> int:
        return len(self.categories) + self.indicator


@dataclass(frozen=True, slots=True)
class GapClassTarget(ClassTarget):
    """A column of classes, some of which are missing: no class can be made up for them."""

    gaps: GapWords
    missing: Missing

    def faults(self) -> Iterator[Fault]:
        yield from ClassTarget.faults(self)
        yield from _target_faults(self)
        yield from _twice(self.gaps, self.classes, "class")


@dataclass(frozen=True, slots=True)
class GapNumberTarget(NumberTarget):
    """A column of numbers, some of which are missing."""

    gaps: GapWords
    missing: Missing

    def faults(self) -> Iterator[Fault]:
        yield from NumberTarget.faults(self)
        yield from _target_faults(self)


GapFeature: TypeAlias = GapNumberFeature | GapCategoryFeature
GapTarget: TypeAlias = GapClassTarget | GapNumberTarget


@dataclass(frozen=True, slots=True)
class GapRule:
    """What any column says of its gaps; `fill` and `indicator` are a feature's."""

    words: tuple[str, ...] = ()
    missing: Missing = Missing.REFUSE
    fill: float | str | None = None
    indicator: bool = False


def gap_rule(column: Feature | Target) -> GapRule:
    """What becomes of the gaps of a column, whether it says so or not."""
    if isinstance(column, GapFeature):
        return GapRule(column.gaps, column.missing, column.fill, column.indicator)
    if isinstance(column, GapTarget):
        return GapRule(column.gaps, column.missing)
    return GapRule()


def _feature_faults(column: GapFeature) -> Iterator[Fault]:
    yield from distinct("gaps", column.gaps)
    if (column.fill is None) is (column.missing is Missing.FILL):
        yield Fault("missing", f"is {column.missing}; a value goes with 'fill', and with it alone")
    if column.indicator and column.missing is not Missing.FILL:
        found = f"is true; with missing = {str(column.missing)!r} no row with a gap is used, and it"
        yield Fault("indicator", f"{found} would be 0 in all others")
    elif not column.gaps and column.missing is Missing.REFUSE:
        yield Fault("missing", _NOTHING)


def _target_faults(target: GapTarget) -> Iterator[Fault]:
    yield from distinct("gaps", target.gaps)
    if target.missing is Missing.FILL:
        yield Fault("missing", "is a value; a target's gap is 'refuse' or 'drop-row'")
    elif not target.gaps and target.missing is Missing.REFUSE:
        yield Fault("missing", _NOTHING)


_NOTHING = "is 'refuse' without any words for gaps; a column that says no more leaves both out"


def _twice(gaps: Sequence[str], words: Sequence[str], what: str) -> Iterator[Fault]:
    """A cell is a gap or a word, and the spec alone says which."""
    values = {number: word for word in words if (number := number_of(word)) is not None}
    for k, gap in enumerate(gaps):
        number = number_of(gap)
        if gap in words or number in values:
            word = gap if gap in words else values[number or 0.0]
            yield Fault(f"gaps[{k}]", f"is {gap!r}, and {word!r} is a {what}")
