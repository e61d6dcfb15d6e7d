"""What a row contributes follows from its own cells and the spec, from the file's bytes on.

The promise that noise rests on: neighbours differ by one row, and every other row's vector is the
same in both, to the last bit.
"""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st
from kits.examples import examples
from kits.workbooks import as_xlsx

from node.data.cells import number_places, numbers_of, text_places
from node.data.datasets import import_file, import_query
from node.data.frames import cells_of
from node.data.matrix import OwnedRows, kept_rows, owned_rows
from node.data.sql.query import query
from node.data.table import Table
from node.store.blobs import Blobs
from protocol.spec.gaps import GapCategoryFeature, GapClassTarget, GapNumberFeature, Missing
from protocol.spec.job import CategoryFeature, ClassTarget, NumberFeature, Outside
from protocol.spec.parts import Feature, Target
from protocol.spec.words import number_of

Row: TypeAlias = tuple[str, str, str]

NAMES = ("x", "ward", "kind")
FEATURES = (NumberFeature("x", -10.0, 10.0), CategoryFeature("ward", ("1", "01", "b", "true")))
TARGET = ClassTarget("kind", ("0", "1"))

#: The same columns, where the spec says what a gap becomes: a number, a word, nothing.
GAPPED: tuple[Feature, ...] = (
    GapNumberFeature("x", -10.0, 10.0, ("NA", "?", "-3.25"), Missing.FILL, 2.0, True),
    GapCategoryFeature("ward", ("1", "b", "ö"), ("NA", "0"), Missing.FILL, "b", True),
)
DROPPED: tuple[Feature, ...] = (
    GapNumberFeature("x", -10.0, 10.0, ("NA", "1"), Missing.DROP_ROW, None, False),
    GapCategoryFeature("ward", ("1", "b", "ö"), ("?",), Missing.DROP_ROW, None, False),
)
GAPPED_TARGET = GapClassTarget("kind", ("0", "1"), ("?", "-3.25"), Missing.DROP_ROW)

#: What a job may ask of one and the same file.
JOBS: tuple[tuple[Sequence[Feature], Target], ...] = (
    (FEATURES, TARGET),
    (GAPPED, GAPPED_TARGET),
    (DROPPED, GAPPED_TARGET),
)

#: Cells that speak for one kind of column or another, and some that are nothing.
CELLS = ("0", "0.0", "1", "1.0", "01", "1e0", "-3.25", "?", "NA", "nan", "inf", "5E400", "12_34")
WORDS = ("b", "b ", "true", "FALSE", "2024-01-05", "−1.5", "5%", "1,5", "12,500", "ö")

cells = st.one_of(st.sampled_from(CELLS + WORDS), st.floats(-20, 20).map(repr))
#: A row without any cell is none to a reader: the last cell is never empty.
row = st.tuples(cells | st.just(""), cells | st.just(""), cells)
rows_of_text = st.lists(row, min_size=1, max_size=7)


def as_csv(rows: Sequence[Row]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows([NAMES, *rows])
    return out.getvalue().encode()


def as_semicolons(rows: Sequence[Row]) -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=";").writerows([NAMES, *rows])
    return out.getvalue().encode()


def as_tabs(rows: Sequence[Row]) -> bytes:
    """In Windows-1252, where that has all of a line's characters."""
    lines = ["\t".join(row) for row in [NAMES, *rows]]
    return b"\n".join(
        line.encode("cp1252") if "\u2212" not in line else line.encode() for line in lines
    )


def as_parquet(rows: Sequence[Row]) -> bytes:
    out = io.BytesIO()
    pl.DataFrame(rows, schema=dict.fromkeys(NAMES, pl.String), orient="row").write_parquet(out)
    return out.getvalue()


def as_npz(rows: Sequence[Row]) -> bytes:
    out = io.BytesIO()
    columns = np.array(rows, dtype=np.str_).T
    np.savez(out, allow_pickle=False, **dict(zip(NAMES, columns, strict=True)))
    return out.getvalue()


def as_sqlite(rows: Sequence[Row]) -> bytes:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE people (x, ward, kind)")
    database.executemany("INSERT INTO people VALUES (?, ?, ?)", rows)
    database.commit()
    return database.serialize()


FORMATS: dict[str, Callable[[Sequence[Row]], bytes]] = {
    "csv": as_csv,
    "semicolons.csv": as_semicolons,
    "tsv": as_tabs,
    "parquet": as_parquet,
    "npz": as_npz,
    "xlsx": lambda rows: as_xlsx([NAMES, *rows]),
    "sqlite": as_sqlite,
}


def copied(folder: Path, suffix: str, content: bytes) -> Path:
    """The copy that a node makes of a file."""
    folder.mkdir(exist_ok=True)
    file = folder / f"in.{suffix}"
    file.write_bytes(content)
    if suffix == "sqlite":
        found = import_query(query("SELECT * FROM people", f"sqlite://{file}"), "", folder)
    else:
        found = import_file(file, folder)
    return Blobs(folder).path(found.copy.digest)


def used(folder: Path, suffix: str, content: bytes, job: int = 0) -> OwnedRows:
    """A file's rows in a job with noise."""
    return owned_rows(copied(folder, suffix, content), *JOBS[job])


def vectors(held: OwnedRows) -> list[tuple[bytes, bytes, bool]]:
    """Each row to the last bit, and whether it is used."""
    return [
        (x.tobytes(), y.tobytes(), bool(unused))
        for x, y, unused in zip(held.features, held.target, held.unused, strict=True)
    ]


@pytest.mark.parametrize("suffix", FORMATS)
@given(rows=rows_of_text, data=st.data())
@examples(1, allow=[HealthCheck.function_scoped_fixture])
def test_no_row_moves_another(
    suffix: str, rows: list[Row], data: st.DataObject, tmp_path: Path
) -> None:
    """Added, removed or changed: whichever row it is, the others are as they were."""
    make = FORMATS[suffix]
    at = data.draw(st.integers(0, len(rows)), label="at")
    other = data.draw(row, label="row")
    job = data.draw(st.sampled_from(range(len(JOBS))), label="job")
    whole = vectors(used(tmp_path, suffix, make(rows), job))
    assert len(whole) == len(rows)
    added = vectors(used(tmp_path, suffix, make([*rows[:at], other, *rows[at:]]), job))
    assert added[:at] + added[at + 1 :] == whole
    if at < len(rows):
        changed = vectors(used(tmp_path, suffix, make([*rows[:at], other, *rows[at + 1 :]]), job))
        assert changed[:at] + changed[at + 1 :] == whole[:at] + whole[at + 1 :]
        # Changed to the row that was added before: it is the same there.
        assert changed[at] == added[at]


#: Cells of which every one fits a job that leaves gaps out or fills them.
fitting = st.tuples(
    st.sampled_from(("", "NA", "0", "1e0", "-3.25")),
    st.sampled_from(("", "1", "1.0", "b", "ö")),
    st.sampled_from(("0.0", "1", "?", "-3.250")),
)


@given(rows=st.lists(fitting, min_size=1, max_size=7), data=st.data())
@examples(1)
def test_without_noise_rows_are_left_out_one_by_one(rows: list[Row], data: st.DataObject) -> None:
    """Whether a row is left out, and what it is otherwise, follows from its own cells."""
    job = data.draw(st.sampled_from((1, 2)), label="job")
    at = data.draw(st.integers(0, len(rows) - 1), label="at")
    sure = ("0", "b", "1")  # so that there is a row in any case

    def found(rows: Sequence[Row]) -> list[bytes | None]:
        columns = zip(*rows, strict=True)
        texts = {n: cells_of(pl.Series(each)) for n, each in zip(NAMES, columns, strict=True)}
        table = Table("in.csv", "line", np.arange(len(rows)), {}, texts, NAMES)
        held = kept_rows(table, *JOBS[job], Outside.REFUSE)
        kept = iter(zip(held.features, held.target, strict=True))
        told = [None if out else b"".join(n.tobytes() for n in next(kept)) for out in held.left_out]
        assert next(kept, None) is None
        return told

    whole = found([*rows, sure])
    assert found([*rows[:at], *rows[at + 1 :], sure]) == whole[:at] + whole[at + 1 :]
    assert whole == [found([row, sure])[0] for row in rows] + found([sure])


@given(each=row, job=st.sampled_from(range(3)))
@examples(1, allow=[HealthCheck.function_scoped_fixture])
def test_a_row_is_the_same_in_every_format(each: Row, job: int, tmp_path: Path) -> None:
    found = {
        suffix: vectors(used(tmp_path, suffix, make([each]), job))
        for suffix, make in FORMATS.items()
    }
    # Where semicolons separate, a comma is a decimal mark.
    marks = found.pop("semicolons.csv") if any("," in cell for cell in each) else found["csv"]
    assert len(marks) == 1
    assert all(one == found["csv"] for one in found.values())


#: Cells as a sheet or a database stores them, each of a type of its own.
stored = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-20, 20),
    st.floats(-20, 20),
    st.floats(-1e-9, 1e-9),
    cells,
)
TYPED: dict[str, Callable[[Sequence[Sequence[object]]], bytes]] = {
    "xlsx": lambda rows: as_xlsx([NAMES, *rows]),
    "sqlite": lambda rows: as_sqlite(rows),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("suffix", TYPED)
@given(
    rows=st.lists(st.tuples(stored, stored, cells), min_size=1, max_size=5),
    other=st.tuples(stored, stored, cells),
    data=st.data(),
)
@examples(0.5, allow=[HealthCheck.function_scoped_fixture])
def test_no_row_moves_another_whatever_types_its_cells_have(
    suffix: str,
    rows: list[tuple[object, ...]],
    other: tuple[object, ...],
    data: st.DataObject,
    tmp_path: Path,
) -> None:
    make = TYPED[suffix]
    at = data.draw(st.integers(0, len(rows) - 1), label="at")
    job = data.draw(st.sampled_from(range(len(JOBS))), label="job")
    whole = vectors(used(tmp_path, suffix, make(rows), job))
    assert len(whole) == len(rows)
    added = vectors(used(tmp_path, suffix, make([*rows[:at], other, *rows[at:]]), job))
    assert added[:at] + added[at + 1 :] == whole
    changed = vectors(used(tmp_path, suffix, make([*rows[:at], other, *rows[at + 1 :]]), job))
    assert changed[:at] + changed[at + 1 :] == whole[:at] + whole[at + 1 :]


@given(numbers=st.lists(st.floats(-20, 20) | st.floats(width=64, allow_nan=False), max_size=5))
@example(numbers=[1e-12, 1 / 3, 0.1 + 0.2, 123456.12345678901, 2.5e-300, -0.0, 1e300, 1e16])
@examples(0.3, allow=[HealthCheck.function_scoped_fixture])
def test_a_number_is_the_same_to_the_last_bit_in_every_format(
    numbers: list[float], tmp_path: Path
) -> None:
    """Stored as a number where the format has any: a sheet's text has nine digits at most."""
    kept = [each for each in numbers if np.isfinite(each)] + [1.5]
    feature = NumberFeature("x", -1e308 / 2, 1e308 / 2), NumberFeature("small", -1e-9, 1e-9)
    rows = [(each, each * 1e-10, 1) for each in kept]
    names = ("x", "small", "kind")
    out, text = io.BytesIO(), io.StringIO()
    pl.DataFrame(
        rows, schema=dict(zip(names, (pl.Float64, pl.Float64, pl.Int64), strict=True)), orient="row"
    ).write_parquet(out)
    csv.writer(text).writerows([names, *rows])
    files = {
        "csv": text.getvalue().encode(),
        "parquet": out.getvalue(),
        "xlsx": as_xlsx([names, *rows]),
    }
    found = []
    for suffix, content in files.items():
        held = owned_rows(copied(tmp_path, suffix, content), feature, TARGET)
        assert not held.unused.any()
        found.append(held.features.tobytes())
    assert found[1:] == found[:-1]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("odd", ["?", "45.00x", "", "5E400", "true"])
def test_one_odd_cell_takes_no_other_row_with_it(tmp_path: Path, suffix: str, odd: str) -> None:
    """The attack `kind`: classes "0" and "1", cells "0.0" and "1.0", and one row more."""
    rows = [("0.5", "b", f"{row % 2}.0") for row in range(1000)]
    without = used(tmp_path / "without", suffix, FORMATS[suffix](rows))
    held = used(tmp_path / "with", suffix, FORMATS[suffix]([*rows, ("0.5", "b", odd)]))
    assert not without.unused.any()
    assert not held.unused[:1000].any()
    assert (held.features[:1000] == without.features).all()
    assert (held.target[:1000] == without.target).all()


def test_stored_numbers_match_words_by_value(tmp_path: Path) -> None:
    """pandas makes floats of whole numbers once one of them is missing."""
    for kind in (pl.Int64, pl.Float64, pl.Boolean):
        out = io.BytesIO()
        pl.DataFrame({"x": [0.5, 1.0], "ward": ["b", "b"], "kind": [0, 1]}).with_columns(
            pl.col("kind").cast(kind)
        ).write_parquet(out)
        held = used(tmp_path, "parquet", out.getvalue())
        assert held.target.tolist() == [0.0, 1.0]
        assert not held.unused.any()


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("12_34", None),
        ("5E400", None),
        ("1e-400", 0.0),
        ("0x10", None),
        ("inf", None),
        ("nan", None),
        ("+100.", 100.0),
        (".5", 0.5),
        (".", None),
        ("١", None),
        ("1,5", None),
        ("True", 1.0),
        ("FALSE", 0.0),
        ("yes", None),
    ],
)
def test_what_a_number_is(word: str, number: float | None) -> None:
    assert number_of(word) == number
    found = numbers_of(pl.Series([word]))[0]
    assert np.isnan(found) if number is None else found == number


number_like = st.text("0123456789+-.eE_ainftrus", max_size=12)


@given(word=st.one_of(number_like, st.floats().map(repr), st.text(max_size=6)))
@example(word="9007199254740993")
@example(word="0.1e-307")
@examples(8)
def test_words_and_cells_are_numbers_alike(word: str) -> None:
    """Words are read by Python, cells by polars: to the same last bit."""
    found, number = numbers_of(pl.Series([word]))[0], number_of(word)
    assert np.isnan(found) if number is None else found == number


def test_a_cell_is_the_word_that_is_spelt_as_it_is_before_any_of_its_value() -> None:
    cells = pl.Series(["01067", "1067", "1067.0", "1e3", None, "x"])
    values = numbers_of(cells)
    assert text_places(cells, ["01067", "1067"], values).tolist() == [0, 1, 1, -1, -1, -1]
    assert text_places(cells, ["1067.00", "1000", "x"], values).tolist() == [0, 0, 0, 1, -1, 2]
    # Neither of two words is the number's shortest form: it is none of them.
    assert text_places(cells, ["01067", "1067.00"], values).tolist() == [0, -1, -1, -1, -1, -1]
    numbers = np.array([1067.0, 1000.0, np.nan])
    assert number_places(numbers, ["01067", "1067"]).tolist() == [1, -1, -1]
    assert number_places(numbers, ["a", "b"]).tolist() == [-1, -1, -1]
    assert number_places(np.array([-0.0]), ["0"]).tolist() == [0]
