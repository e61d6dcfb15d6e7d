"""What a person sees of a spec that was proposed, of predictions, and of encoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from node.console.amounts import size
from node.console.show import Pairs, Part, Table

if TYPE_CHECKING:
    from node.control import shapes


def predicted(p: Mapping[str, Any]) -> list[Part]:
    """Where predictions are, of how many rows, and why some have none."""
    rows, unused = p["rows"], p["unused"]
    parts: list[Part] = [*(f"note: {note}" for note in p["notes"])]
    parts.append(f"{rows - unused} of {rows} rows predicted: {p['out']}")
    parts.append(f"columns: {', '.join(p['columns'])}")
    if unused:
        parts.append(f"{unused} rows have an empty prediction; the first: {p['why']}")
    return parts


def proposed(p: Mapping[str, Any]) -> list[Part]:
    """What a proposed spec is made of, and what its reader is to do with it."""
    parts: list[Part] = [*(f"note: {note}" for note in p["notes"])]
    guessed = " (guessed; --target names another)" if p["guessed"] else ""
    parts.append(f"{p['out']}: {len(p['features'])} features of {p['rows']} rows")
    parts.append(f"target {p['target']}{guessed}")
    parts += [f"left out: {name} {why}" for name, why in p["left_out"]]
    parts.append(
        "ranges and words are proposals made of this file: declare what you know of the population"
    )
    return [*parts, f"next: edit it, then assay job check {p['out']}"]


def encoders(found: list[shapes.Encoder]) -> list[Part]:
    """The encoders of a home."""
    rows = [
        (
            e["name"],
            e["digest"][:16],
            e["kind"] or "nothing: add its package again",
            str(e["size"]),
            size(e["bytes"]),
            str(e["jobs"]),
        )
        for e in found
    ]
    headings = ("name", "digest", "reads", "features", "size", "jobs")
    empty = "no encoder is here; assay encoder add FILE.onnx"
    return [Table(headings, rows, empty, right=frozenset({"features", "size", "jobs"}))]


def encoder_added(e: shapes.Encoder) -> list[Part]:
    """What is kept now, and what to do with it."""
    return [
        f"{e['name']}: reads {e['kind']}, makes {e['size']} features, {size(e['bytes'])}",
        f"digest {e['digest']}",
        f"for a job's file: assay encoder show {e['digest'][:8]}; an owner allows it by "
        f"assay policy set NAME encoders={e['digest']}",
    ]


def encoder_fetched(e: shapes.FetchedEncoder) -> list[Part]:
    """An encoder that an offer named."""
    how = "was fetched" if e["fetched"] else "was here before"
    return [f"{e['name']} {how}: {e['bytes']:,} bytes, digest {e['digest']}"]


def encoder_made(e: shapes.Encoder, pooling: str, assumed: tuple[str, ...]) -> list[Part]:
    """A package that was made of a network, what nobody said of it, and what to do with it."""
    words = f"made of {e['origin']}: pooling {pooling}"
    words += f", at most {e['max_tokens']} tokens of a text" if e["max_tokens"] else ""
    return [words, *(f"assumed: {each}" for each in assumed), *encoder_added(e)]


def encoder(d: shapes.EncoderDetail) -> list[Part]:
    """One encoder, what is in it, and its part of a job's file."""
    e = d["encoder"]
    pairs = [
        ("name", e["name"]),
        ("digest", e["digest"]),
        ("title", e["title"]),
        ("licence", e["licence"] or "not said"),
        ("source", e["source"] or "not said"),
        ("came from", e["origin"]),
        ("reads", e["kind"]),
        ("features", str(e["size"])),
        ("size", size(e["bytes"])),
        ("weights", f"{d['weights']:,}"),
        ("operators", ", ".join(d["operators"])),
        ("confined by", ", ".join(d["walls"]) or "nothing on this machine"),
        ("running jobs", str(e["jobs"])),
    ]
    return [Pairs(pairs), "", "in a job's file:", "", *d["toml"].splitlines()]


def encoder_removed(d: shapes.EncoderRemoved) -> list[Part]:
    """What is gone."""
    return [f"{d['name']} is removed; your own file stays"]
