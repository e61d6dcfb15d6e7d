"""Rows to vectors: as an owner's worker makes them of its copy, and by polars and NumPy alone.

Both sides start from a file on disk that holds the same cells and end with the same matrix: numbers
scaled by declared ranges, one input for each category, gaps filled with what is declared. The plain
side does no more than that: it checks no range and no word, and its file has no checksum.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from node.data.datasets import import_file
from node.data.matrix import build_matrix
from node.store.blobs import Blobs
from protocol.spec.gaps import GapNumberFeature, Missing
from protocol.spec.job import CategoryFeature, ClassTarget, Feature, NumberFeature

PACKAGES = ("polars", "numpy")

#: How a file holds its cells: as text, which a CSV's stay, or as the types that Parquet stores.
KINDS: Final = ("text", "types")

_WARDS: Final = ("north", "south", "east", "west", "none")
_NUMBERS, _GAPPED, _WORDS = 24, 4, 5

FEATURES: Final[tuple[Feature, ...]] = (
    *(
        GapNumberFeature(f"gapped_{k}", 0.0, 100.0, ("NA",), Missing.FILL, 50.0, False)
        for k in range(_GAPPED)
    ),
    *(NumberFeature(f"number_{k}", 0.0, 100.0) for k in range(_NUMBERS - _GAPPED)),
    *(CategoryFeature(f"ward_{k}", _WARDS) for k in range(_WORDS)),
)
TARGET: Final = ClassTarget("sick", ("0", "1"))


def make(folder: str, rows: int) -> dict[str, object]:
    """Both kinds of file in `folder`, and the copy that a node makes of each: 30 columns."""
    began = time.perf_counter()
    random = np.random.default_rng(1)
    columns: dict[str, pl.Series] = {}
    for feature in FEATURES:
        if isinstance(feature, NumberFeature):
            cells = pl.Series(np.round(100.0 * random.random(rows), 3))
            if isinstance(feature, GapNumberFeature):
                gaps = random.choice(rows, rows // 20, replace=False)
                cells = cells.scatter(np.sort(gaps), None)
            columns[feature.name] = cells
        else:
            columns[feature.name] = pl.Series(np.array(_WARDS)[random.integers(0, 5, rows)])
    columns[TARGET.name] = pl.Series(random.integers(0, 2, rows))
    frame = pl.DataFrame(columns)
    place = Path(folder)
    for kind in KINDS:
        held = frame.select(pl.all().cast(pl.String)) if kind == "text" else frame
        held.write_ipc(place / f"{kind}.arrow")
        imported = import_file(place / f"{kind}.arrow", place)
        Blobs(place).path(imported.copy.digest).rename(place / f"{kind}.copy")
    return {"seconds": time.perf_counter() - began}


def vectors(folder: str, kind: str) -> dict[str, object]:
    """The product's way, seconds."""
    return _timed(_vectors, Path(folder), kind)


def plain(folder: str, kind: str) -> dict[str, object]:
    """Polars and NumPy alone."""
    return _timed(_plain, Path(folder), kind)


def same(folder: str, kind: str) -> dict[str, object]:
    """Raises ValueError unless both make the same matrix, but for the last bits of a division."""
    began = time.perf_counter()
    ours, theirs = _vectors(Path(folder), kind), _plain(Path(folder), kind)
    for mine, other in zip(ours, theirs, strict=True):
        if mine.shape != other.shape or not np.allclose(mine, other, rtol=0.0, atol=1e-12):
            raise ValueError(f"both ways make different vectors of {kind}")
    return {"seconds": time.perf_counter() - began, "counts": {"inputs": ours[0].shape[1]}}


def _timed(compute: Callable[[Path, str], Any], folder: Path, kind: str) -> dict[str, object]:
    began = time.perf_counter()
    compute(folder, kind)
    return {"seconds": time.perf_counter() - began}


def _vectors(folder: Path, kind: str) -> tuple[Any, Any]:
    return build_matrix(folder / f"{kind}.copy", FEATURES, TARGET)


def _plain(folder: Path, kind: str) -> tuple[Any, Any]:
    made = []
    for feature in FEATURES:
        cell = pl.col(feature.name)
        if isinstance(feature, NumberFeature):
            value = cell.cast(pl.Float64)
            if isinstance(feature, GapNumberFeature):
                value = value.fill_null(feature.fill)
            value = value.clip(feature.low, feature.high) - feature.low
            made.append(value / (feature.high - feature.low))
        else:
            made += [
                (cell == word).cast(pl.Float64).alias(f"{feature.name}_{word}")
                for word in feature.categories
            ]
    frame = pl.read_ipc(folder / f"{kind}.arrow")
    target = frame.select(pl.col(TARGET.name).cast(pl.Float64)).to_series().to_numpy()
    return frame.select(made).to_numpy(order="c"), target


CALLS: Mapping[str, Callable[..., dict[str, object]]] = {
    "make": make,
    "vectors": vectors,
    "plain": plain,
    "same": same,
}
