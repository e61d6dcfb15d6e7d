"""A million rows of 30 columns to vectors, beside polars and NumPy alone, from the same cells."""

from __future__ import annotations

import tempfile
from functools import partial
from typing import Final

from scripts.benchmarks.figures import Bar, Context, Figure, Measurement, On
from scripts.benchmarks.harness import interleave, median_seconds, spread

ROWS: Final = 1_000_000

#: sides/assay_rows.py's: importing it here would import polars.
_KINDS: Final = ("text", "types")


def rows(context: Context) -> Measurement:
    """Seconds of a CSV's cells; the ratio is the worse one of cells as text and as stored types."""
    return measured(context, ROWS)


def measured(context: Context, count: int) -> Measurement:
    """`rows` of so many. Raises BenchError where both ways make different vectors."""
    side = context.side("rows")
    with tempfile.TemporaryDirectory() as folder:
        context.say(f"making {count:,} rows")
        side.call("make", folder=folder, rows=count)
        runs = {}
        for kind in _KINDS:
            inputs = side.call("same", folder=folder, kind=kind).counts["inputs"]
            for way in ("vectors", "plain"):
                runs[f"{way} {kind}"] = partial(side.call, way, folder=folder, kind=kind)
        replies = interleave(runs, context.runs)
    parts, ratios = {}, {}
    for kind in _KINDS:
        mine = median_seconds(replies[f"vectors {kind}"])
        theirs = median_seconds(replies[f"plain {kind}"])
        parts[kind], ratios[kind] = (mine, theirs), mine / theirs
    text = replies[f"vectors {_KINDS[0]}"], replies[f"plain {_KINDS[0]}"]
    return Measurement(
        ours=parts[_KINDS[0]][0],
        peer=parts[_KINDS[0]][1],
        own_ratio=max(ratios.values()),
        parts=parts,
        notes=[
            f"{count:,} rows: 24 numbers, 4 of them with gaps in one row of 20, 5 columns of 5 "
            f"words, a class; {inputs} inputs. `text`: cells as a CSV has them; `types`: as in "
            "Parquet. Here the ratio is ours over the peer's, the larger one of both kinds",
            "ours reads the node's copy, whose checksums it verifies, and holds every cell to the "
            "spec; the peer reads an Arrow file and checks nothing. Both end with the same matrix",
            f"text: {spread(*text, 1.0)} s (least to most of {len(text[0])} runs each)",
        ],
    )


FIGURE: Final = Figure(
    name="rows",
    what="a million rows of 30 columns to vectors, over polars and NumPy alone",
    unit="s",
    bar=Bar(On.RATIO, 2, at_most=True),
    measure=rows,
    peer=("rows", "polars"),
)
