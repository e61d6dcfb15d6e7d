"""Which cards a requester looks for, and which meet a job's spec."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from protocol.spec.encoder import Encoder
from protocol.spec.job import Terms
from protocol.spec.parts import CategoryFeature, ClassTarget, NumberFeature, NumberTarget
from protocol.wire.cards import Card, CardColumn, ColumnKind

_PLAIN: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)\Z")


@dataclass(frozen=True, slots=True)
class Query:
    """What a card must have. Empty or None: anything.

    `columns`: names that it has all of; `kind`: of those, or of any column where none is named.
    `max_rate` is in the smallest unit of `token`.
    """

    columns: tuple[str, ...] = ()
    kind: ColumnKind | None = None
    purpose: str = ""
    token: bytes = b""
    max_rate: int | None = None

    def meets(self, card: Card) -> bool:
        """Whether a card has all of it."""
        by_name = {column.name: column.kind for column in card.columns}
        named = [by_name.get(name) for name in self.columns] or list(by_name.values())
        if any(kind is None for kind in named):
            return False
        if self.kind is not None:
            fits = [kind is self.kind for kind in named]
            if not (all(fits) if self.columns else any(fits)):
                return False
        if self.purpose and card.purposes and self.purpose not in card.purposes:
            return False
        if self.token and card.token != self.token:
            return False
        return self.max_rate is None or card.rate <= self.max_rate


@dataclass(frozen=True, slots=True)
class Meeting:
    """How many cards meet a job: by its columns, its purpose too, and its price as well."""

    columns: int
    purpose: int
    price: int


def meet(cards: Iterable[Card], terms: Terms) -> Meeting:
    """Count the cards whose owners could train on a job's terms, as far as cards tell."""
    columns = purpose = price = 0
    for card in cards:
        if not _has_columns(card, terms):
            continue
        columns += 1
        if card.purposes and terms.purpose not in card.purposes:
            continue
        purpose += 1
        price += card.token == terms.payment.token and card.rate <= terms.payment.rate
    return Meeting(columns, purpose, price)


def _has_columns(card: Card, terms: Terms) -> bool:
    by_name = {column.name: column for column in card.columns}
    if any(name not in by_name for name in terms.columns):
        return False
    for wanted in (*terms.features, terms.target):
        if isinstance(wanted, Encoder):
            continue  # a card does not say which columns are texts
        column = by_name[wanted.name]
        if isinstance(wanted, NumberFeature | NumberTarget):
            if column.kind is not ColumnKind.NUMBER:
                return False
        elif not _has_words(column, _words(wanted)):
            return False
    return True


def _words(wanted: CategoryFeature | ClassTarget) -> tuple[str, ...]:
    return wanted.categories if isinstance(wanted, CategoryFeature) else wanted.classes


def _has_words(column: CardColumn, wanted: tuple[str, ...]) -> bool:
    """Whether a row of the column can be one of the wanted words.

    A column of numbers can where a word is a number. A category that names its words shares one;
    one that names none may have any.
    """
    if column.kind is ColumnKind.NUMBER:
        return any(_PLAIN.match(word) for word in wanted)
    if not column.words:
        return True
    return not _values(column.words).isdisjoint(_values(wanted))


def _values(words: tuple[str, ...]) -> set[str | Decimal]:
    """Words as cells are compared: exact text, and plain decimal numbers by value."""
    found: set[str | Decimal] = set(words)
    found.update(Decimal(word) for word in words if _PLAIN.match(word))
    return found
