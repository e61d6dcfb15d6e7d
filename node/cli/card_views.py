"""Cards of datasets as a person sees them; their texts are other people's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from node.console.amounts import short, span
from node.console.currency import pay
from node.console.show import Pairs, Part, Table

if TYPE_CHECKING:
    from node.control import shapes
    from protocol.tokens import Tokens

#: How many columns a line of `assay card search` names.
_NAMED = 6


def offers(found: shapes.Offers, tokens: Tokens | None = None) -> list[Part]:
    rows = [
        (
            o["card"][:10],
            o["title"],
            o["rows"],
            _columns(o),
            ", ".join(o["purposes"]) or "any",
            pay(o["least_rate"], o["token"], tokens),
            _left(o),
            "this node" if o["mine"] else short(o["peer"]),
        )
        for o in found["offers"]
    ]
    headings = ("card", "title", "rows", "columns", "purposes", "least rate", "valid", "peer")
    empty = "no card is known here"
    if found["known"] or found["matching"]:
        empty = f"none of {found['known']} known cards is like this"
    parts: list[Part] = [Table(headings, rows, empty, right=frozenset({"rows"}))]
    left = found["matching"] - len(rows)
    if left:
        parts.append(f"and {left} more; --limit lists them")
    if rows:
        parts.append("next: assay card search CARD, or: assay job new --card CARD")
    return parts


def offer(o: shapes.Offer, tokens: Tokens | None = None) -> list[Part]:
    """All of one card."""
    columns = [(c["name"], c["kind"], ", ".join(c["words"]) or "-") for c in o["columns"]]
    pairs = [
        ("card", o["card"]),
        ("title", o["title"]),
        ("peer", f"{o['peer']} (this node)" if o["mine"] else o["peer"]),
        ("rows", o["rows"]),
        ("purposes", ", ".join(o["purposes"]) or "any"),
        ("least rate", f"{pay(o['least_rate'], o['token'], tokens)}, for a contribution"),
        ("valid", _left(o)),
    ]
    headings = ("column", "kind", "words")
    said = "its owner's word; nobody has looked at the data"
    return [Pairs(pairs), Table(headings, columns, title="columns"), said]


def own_cards(found: Sequence[shapes.OwnCard]) -> list[Part]:
    rows = [
        (
            c["dataset"],
            c["offer"]["card"][:10],
            c["offer"]["title"],
            c["offer"]["rows"],
            str(len(c["offer"]["columns"])),
            _left(c["offer"]),
            "; ".join(c["notes"]) or "-",
        )
        for c in found
    ]
    headings = ("dataset", "card", "title", "rows", "columns", "valid", "note")
    empty = "no card is published; this node tells nobody of its data"
    return [Table(headings, rows, empty, right=frozenset({"rows", "columns"}))]


def own_card(c: shapes.OwnCard, tokens: Tokens | None = None) -> list[Part]:
    """What was published, or would be."""
    name = c["dataset"]
    said = f"published; take it back: assay card withdraw {name}"
    if not c["published"]:
        said = "nothing is published: this is what everybody would read, and keep"
    return [*offer(c["offer"], tokens)[:2], *(f"note: {note}" for note in c["notes"]), said]


def _columns(o: shapes.Offer) -> str:
    names = [c["name"] for c in o["columns"]]
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _left(o: shapes.Offer) -> str:
    left = o["valid_until"] - time.time()
    return span(left) if left > 0 else "ended"
