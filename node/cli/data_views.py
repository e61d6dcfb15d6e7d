"""What a data set looks like to its owner, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from node.console.amounts import short, size
from node.console.show import Pairs, Part, Table

if TYPE_CHECKING:
    from node.control import shapes

#: Words of one column in a table: a line that is still read.
_WORDS = 5


def shown(d: shapes.DatasetView) -> list[Part]:
    """A data set from the inside, and against a job where one was named."""
    format_ = ", ".join(f"{name} {value}" for name, value in d["format"].items())
    pairs = [
        ("dataset", d["name"]),
        ("file", d["path"]),
        ("format", format_),
        ("rows", str(d["rows"])),
        ("columns", str(d["column_count"])),
        ("copy", size(d["bytes"])),
        ("use", "hold-out: it is offered to no job" if d["holdout"] else ""),
    ]
    rows = [
        (
            c["name"],
            *([c["column"] if c["column"] != c["name"] else ""] if d["mapped"] else []),
            c["kind"],
            str(c["gaps"]),
            "-" if c["low"] is None else f"{c['low']:g}",
            "-" if c["high"] is None else f"{c['high']:g}",
            str(c["distinct"]),
            _words(c["words"]),
        )
        for c in d["columns"]
    ]
    mapped = ("in the file",) if d["mapped"] else ()
    headings = ("column", *mapped, "kind", "gaps", "least", "greatest", "distinct", "commonest")
    right = frozenset({"gaps", "least", "greatest", "distinct"})
    parts: list[Part] = [
        Pairs([each for each in pairs if each[1]]),
        Table(headings, rows, right=right),
    ]
    if d["column_count"] > len(rows):
        parts.append(f"{d['column_count'] - len(rows)} more columns are not shown")
    if d["fit"] is not None:
        parts += _fit(d["name"], d["fit"])
    return parts


def _words(words: Sequence[shapes.DatasetWord]) -> str:
    more = ", …" if len(words) > _WORDS else ""
    return ", ".join(f"{w['word']} ({w['rows']})" for w in words[:_WORDS]) + more


def _fit(name: str, f: shapes.DatasetFit) -> list[Part]:
    job = short(f["job"])
    older = f"{job} goes on with the version of {name} that it was joined with; this is about that"
    parts: list[Part] = [older] if f["older"] else []
    if f["refused"]:
        return [*parts, f"{job} cannot use {name}: {f['refused']}"]
    rows = [
        (
            r["column"],
            "empty" if r["empty"] else ", ".join(map(repr, r["cells"])),
            r["declared"],
            str(r["rows"]),
            ", ".join(map(str, r["lines"])) + (", …" if r["rows"] > len(r["lines"]) else ""),
        )
        for r in f["reasons"]
    ]
    if rows:
        headings = ("column", "cells", "the job", "rows", f"{f['unit']}s")
        title = "why rows cannot be used"
        parts.append(Table(headings, rows, title=title, right=frozenset({"rows"})))
    used = f"{job} can use {f['usable']} of {f['rows']} rows"
    if not f["usable"]:
        used += f"; to keep out of it: assay job decline {f['job'][:10]}"
    return [*parts, used]


def changed(d: shapes.DatasetChanged) -> list[Part]:
    """A new version, or a new map."""
    columns = ", ".join(d["columns"][:12]) + (", …" if d["column_count"] > 12 else "")
    parts: list[Part] = [
        f"{d['name']}: {d['rows']} rows, {d['column_count']} columns: {columns}",
        *(f"note: {note}" for note in d["notes"]),
    ]
    if d["kept"]:
        jobs = ", ".join(map(short, d["kept"]))
        parts.append(f"running jobs keep what they were joined with: {jobs}")
    return parts


def removed(d: shapes.DatasetRemoved) -> list[Part]:
    """What is gone, and what is not."""
    copies = "1 copy" if d["copies"] == 1 else f"{d['copies']} copies"
    parts: list[Part] = [f"{d['name']} is removed, and {copies} of it deleted; your own file stays"]
    if d["told"]:
        parts.append(
            "jobs have learnt from it: the same name or the same file finds its budget again"
        )
    return parts
