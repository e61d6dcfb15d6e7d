"""A buyer's file: its rows as features by the job's own public map, and the CSV of what was bought.

Cells are read as a model's local predictions read them (node/work/files/predictions.py), so that a
label that was bought is the one that the seller's model would have given to this file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from node.data.reading import Reading
from node.work import tasks
from node.work.embedding import Encoders
from protocol.errors import InputError
from protocol.layout.queries import Mode
from protocol.sale import limits
from protocol.spec.job import JobSpec, decode_spec
from protocol.spec.model import Family
from protocol.spec.parts import NumberTarget

if TYPE_CHECKING:
    from protocol.arith.learning.models import Floats

_DIGEST: Final = 32

#: Numbers of a row's features lie one after the other: float64, little-endian.
ROW_NUMBER_BYTES: Final = 8

#: Rows whose features are made at once.
_STEP: Final = 4096


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file's rows. `digests`: 32 bytes each, of the row's features; zeros for a row that training
    could not have used. `lines`: where each stands in the file, by `unit`. `why`: of the first such
    row."""

    digests: bytes
    lines: tuple[int, ...]
    unit: str
    unused: int
    why: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """A CSV of what was bought: its rows without a prediction, and its columns."""

    empty: int
    columns: tuple[str, ...]


def prepare(
    spec_bytes: bytes,
    file: Path,
    reading: Reading,
    most_rows: int,
    out: Path,
    encoders: Encoders,
) -> Prepared:
    """Make the features of a file's rows, row after row, in the private file `out`.

    `encoders`: where the one of the job is, if it has one. Raises InputError: the file, a column
    that it lacks, more rows than are allowed, an encoder that is not here.
    """
    from node.data.matrix import input_rows
    from node.data.readers import read_file

    spec = decode_spec(spec_bytes)
    table = read_file(file, reading)
    width = feature_count(spec)
    most = min(most_rows, limits.MAX_PURCHASE_CELLS // width)
    if table.rows > most:
        raise InputError(
            f"{file.name} has {table.rows} rows; {most} of {width} features are allowed at once: "
            "split it",
            "file",
        )
    digests, unused, why = [], 0, ""
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as written, encoders.opened(table.rows) as embed:
        for start in range(0, table.rows, _STEP):
            rows = input_rows(
                table.part(start, min(start + _STEP, table.rows)),
                spec.features,
                spec.beyond,
                embed,
            )
            features = features_of(spec, rows.features).astype("<f8")
            for row, bad in zip(features, rows.unused, strict=True):
                body = row.tobytes()
                written.write(body)
                digests.append(bytes(_DIGEST) if bad else sha256(body).digest())
            unused, why = unused + int(rows.unused.sum()), why or rows.why
    lines = tuple(int(line) for line in table.lines)
    return Prepared(b"".join(digests), lines, table.unit, unused, why, table.notes)


def feature_count(spec: JobSpec) -> int:
    """Numbers of a row that a query encrypts."""
    return spec.feature_count if spec.privacy.sealed else spec.inputs


def features_of(spec: JobSpec, x: Floats) -> Floats:
    """Inputs (rows, inputs) as a query has them: the public map of a sealed model, an open one's
    inputs themselves, an encoder's scaled down to norm 1. All lie in [-1, 1]."""
    return tasks.mapped(spec, x)


def write_bought(
    spec_bytes: bytes,
    mode: Mode,
    unit: float,
    prepared: Prepared,
    results: list[tuple[int, ...] | None],
    out: Path,
) -> Written:
    """Write predictions as CSV; a row without an answer has an empty one. Scores that were bought
    stand beside it, in the model's own units."""
    import polars as pl

    spec = decode_spec(spec_bytes)
    told: dict[str, object] = {prepared.unit: prepared.lines}
    told |= {
        "prediction": [None if r is None else _prediction(spec, mode, unit, r) for r in results]
    }
    if mode is Mode.SCORES and not isinstance(spec.target, NumberTarget):
        names = spec.target.classes
        if spec.model.family.value == Family.LOGISTIC:
            names = names[1:]
        for place, name in enumerate(names):
            told[f"score_{name}"] = [None if r is None else r[place] * unit for r in results]
    part = out.with_name(f".{out.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        pl.DataFrame(told).write_csv(file)
    part.replace(out)
    return Written(sum(r is None for r in results), tuple(told))


def _prediction(
    spec: JobSpec, mode: Mode, unit: float, result: tuple[int, ...]
) -> str | float | None:
    """A result in the target's own words. None for what is none of this job's."""
    target = spec.target
    if isinstance(target, NumberTarget):
        return target.low + (target.high - target.low) * result[0] * unit
    if mode is Mode.LABEL:
        label = result[0]
    elif len(result) == 1:
        label = int(result[0] > 0)
    else:
        label = max(range(len(result)), key=result.__getitem__)
    return target.classes[label] if label < len(target.classes) else None
