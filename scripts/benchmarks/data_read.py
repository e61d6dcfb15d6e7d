"""Seconds to add a large CSV, copy and all, beside polars alone, which reads it."""

from __future__ import annotations

import tempfile
from typing import Final

from scripts.benchmarks.figures import Bar, Context, Figure, Measurement, On
from scripts.benchmarks.harness import interleave, median_seconds, spread

MEGABYTES: Final = 300


def read(context: Context) -> Measurement:
    """Seconds for a file of `MEGABYTES`; the ratio is ours over the peer's."""
    return measured(context, MEGABYTES)


def measured(context: Context, megabytes: int) -> Measurement:
    """`read` of so much."""
    side = context.side("read")
    with tempfile.TemporaryDirectory() as folder:
        context.say(f"writing {megabytes} MB")
        made = side.call("make", folder=folder, megabytes=megabytes).counts
        replies = interleave(
            {
                "ours": lambda: side.call("add", folder=folder),
                "peer": lambda: side.call("read", folder=folder),
            },
            context.runs,
        )
    mine, theirs = median_seconds(replies["ours"]), median_seconds(replies["peer"])
    copied = replies["ours"][0].counts["bytes"]
    return Measurement(
        ours=mine,
        peer=theirs,
        own_ratio=mine / theirs,
        notes=[
            f"{made['rows']:,} rows of {made['columns']} columns, {made['bytes'] / 1e6:.0f} MB: "
            "fractions, whole numbers, words and days. Here the ratio is ours over the peer's",
            "ours checks every byte, keeps each cell as it is written, and leaves a copy that is "
            f"hashed and on the disk: {copied / made['bytes']:.2f} times the file's bytes; polars "
            "finds types and leaves columns in memory",
            f"{spread(replies['ours'], replies['peer'], 1.0)} s "
            f"(least to most of {len(replies['ours'])} runs each)",
        ],
    )


FIGURE: Final = Figure(
    name="read",
    what="a CSV of 300 MB added, with its copy, over polars alone reading it",
    unit="s",
    bar=Bar(On.RATIO, 2, at_most=True),
    measure=read,
    peer=("read", "polars"),
)
