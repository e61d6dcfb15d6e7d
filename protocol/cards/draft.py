"""A job's file to start from, made of one card: its columns, purposes and price, the rest to fill.

Ranges are for the requester to declare: a card has none, since any that were measured would tell of
single rows. Lines that wait for them are comments, and `assay job check` names what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from protocol.addresses import to_checksum
from protocol.amounts import format_amount
from protocol.spec.parts import ETHER
from protocol.wire.cards import Card, CardColumn, ColumnKind, bucket_span


def draft_spec(card: Card, card_id: str) -> str:
    """A commented spec in TOML, the last column its target.

    `card_id` is how the requester's commands name the card. All texts of a card are printable and
    of one line, so that none can end its comment or its string.
    """
    *features, target = card.columns
    purpose = card.purposes[0] if card.purposes else "research"
    lines = [
        f"# Begun from card {card_id[:18]}: {card.title}",
        f"# of a data set of {rows_text(card.rows)} rows, as its owner declares it.",
        "# A card says nothing of ranges. Declare each from what is generally known, such as an",
        "# age from 0 to 120; then: assay job check FILE",
        "",
        f"title = {_text(card.title)}",
        f"purpose = {_text(purpose)}",
        *(
            [f"# the card allows: {', '.join(card.purposes)}"]
            if card.purposes
            else ["# the card allows any purpose"]
        ),
    ]
    for _, alike in groupby(features, key=lambda column: (column.kind, column.words)):
        lines += ["", "[[features]]", *_feature(tuple(alike))]
    lines += [
        "",
        "# The card's last column; change places with whichever is to be told.",
        "[target]",
    ]
    lines += _target(target)
    return "\n".join([*lines, *_rest(card, target)]) + "\n"


def rows_text(bucket: int) -> str:
    """A bucket in words: 'under 100', '100 to 300', '10000000 or more'."""
    low, past = bucket_span(bucket)
    if not low:
        return f"under {past}"
    return f"{low} or more" if past is None else f"{low} to {past}"


def _feature(alike: tuple[CardColumn, ...]) -> Iterator[str]:
    names = [_text(column.name) for column in alike]
    yield f"name = {names[0]}" if len(names) == 1 else f"names = [{', '.join(names)}]"
    first = alike[0]
    if first.kind is ColumnKind.NUMBER:
        yield from _RANGE
    else:
        yield from _labels("categories", first.words)


def _target(column: CardColumn) -> Iterator[str]:
    yield f"name = {_text(column.name)}"
    if column.kind is ColumnKind.NUMBER:
        yield from _RANGE
        yield "# or, where its numbers are classes:"
        yield '# classes = ["0", "1"]'
    else:
        yield from _labels("classes", column.words)


_RANGE = (
    "# low = 0.0    # declare both: what no value may be below,",
    "# high = 1.0   # and above",
)


def _labels(key: str, words: tuple[str, ...]) -> Iterator[str]:
    if len(words) < 2:
        yield f'# {key} = ["a", "b"]   # the card names no words: declare them'
        return
    yield f"{key} = [{', '.join(map(_text, words))}]"


def _rest(card: Card, target: CardColumn) -> Iterator[str]:
    ether = card.token == ETHER
    rate = format_amount(card.rate) if ether else str(card.rate)
    if not card.rate:
        rate = "0.001 ether" if ether else "1"
    yield from ("", "[model]")
    yield f'family = "{"linear" if target.kind is ColumnKind.NUMBER else "softmax"}"'
    yield from ("", "[training]", "rounds = 10", "local_steps = 1")
    yield from ("", "[privacy]", "epsilon = 8.0", "delta = 1e-5")
    yield from ("", "[cohort]", "min_owners = 5", "max_owners = 5")
    yield from ("", "[payment]")
    if not ether:
        yield f'token = "{to_checksum(card.token)}"'
    yield f'rate = "{rate}"   # a contribution; the least that this card takes'


def _text(text: str) -> str:
    """A TOML basic string. Texts of cards hold no control characters."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
