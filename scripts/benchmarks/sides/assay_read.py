"""A large CSV: added as a worker adds it, and read by polars alone, with as many threads."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

# Before polars is imported, as in a worker.
os.environ["POLARS_MAX_THREADS"] = "1"

import numpy as np
import polars as pl

from node.data.datasets import import_file

PACKAGES = ("polars", "numpy")

_NAME: Final = "table.csv"
_ROWS: Final = 50_000
_WARDS: Final = np.array(["north", "south", "east wing", "w"])


def make(folder: str, megabytes: int) -> dict[str, object]:
    """Writes the table: rows until it has so many megabytes."""
    rng = np.random.default_rng(12)
    path, rows = Path(folder, _NAME), 0
    part = _part(rng)
    with path.open("wb") as file:
        while file.tell() < megabytes * 1_000_000:
            part.write_csv(file, include_header=not rows)
            rows += part.height
            part = _part(rng)
    return {
        "seconds": 0.0,
        "counts": {"rows": rows, "columns": part.width, "bytes": path.stat().st_size},
    }


def _part(rng: np.random.Generator) -> pl.DataFrame:
    columns: dict[str, object] = {}
    for place in range(10):
        columns[f"dose{place}"] = np.round(rng.normal(0, 100, _ROWS), 6)
        columns[f"count{place}"] = rng.integers(0, 1_000_000, _ROWS)
    for place in range(8):
        columns[f"ward{place}"] = _WARDS[rng.integers(0, len(_WARDS), _ROWS)]
    days = np.datetime64("2020-01-01") + rng.integers(0, 1000, _ROWS)
    columns["day"], columns["sick"] = days, rng.integers(0, 2, _ROWS)
    return pl.DataFrame(columns)


def add(folder: str) -> dict[str, object]:
    """What a worker does for `data add`. Its copy is removed again."""
    copies = Path(folder, "copies")
    copies.mkdir(exist_ok=True)
    began = time.perf_counter()
    added = import_file(Path(folder, _NAME), copies)
    seconds = time.perf_counter() - began
    (copies / added.copy.digest.hex()).unlink()
    return {"seconds": seconds, "counts": {"bytes": added.copy.size}}


def read(folder: str) -> dict[str, object]:
    """What a person does who has polars: types are found by a look at the first rows."""
    began = time.perf_counter()
    frame = pl.read_csv(Path(folder, _NAME))
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "counts": {"rows": frame.height}}


CALLS: Mapping[str, Callable[..., dict[str, object]]] = {"make": make, "add": add, "read": read}
