from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import trio
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from kits.examples import examples

from node.data.cells import kinds, numbers_of
from node.data.datasets import add_dataset, check_name, clear_copies, import_file, load_matrix
from node.data.matrix import build_matrix
from node.data.readers import read_file
from node.data.table import encode_table, read_table
from node.home.home import Home
from node.store import catalogue
from node.store.blobs import Blobs
from node.store.store import Store
from node.workers.compute import open_compute
from protocol import params
from protocol.errors import FatalError, InputError
from protocol.spec.job import CategoryFeature, ClassTarget, NumberFeature, NumberTarget, Outside

AGE = NumberFeature("age", 0.0, 100.0)
WARD = CategoryFeature("ward", ("north", "south", "east"))
SICK = ClassTarget("sick", ("0", "1"))
DOSE = NumberTarget("dose", -1.0, 1.0)

GOOD = "age,ward,sick,dose\n25,north,0,-1\n50,south,1,0\n100,east,1,1\n"


def imported(tmp_path: Path, content: str | bytes, name: str = "ward.csv") -> Path:
    """The path of the imported copy of a file with this content."""
    file = tmp_path / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    copies = tmp_path / "copies"
    copies.mkdir(exist_ok=True)
    return Blobs(copies).path(import_file(file, copies).copy.digest)


def refusal(tmp_path: Path, content: str | bytes, name: str = "ward.csv") -> str:
    with pytest.raises(InputError) as caught:
        imported(tmp_path, content, name)
    assert name in str(caught.value)
    return str(caught.value)


# What is right


def test_declared_ranges_and_words_become_inputs(tmp_path: Path) -> None:
    x, y = build_matrix(imported(tmp_path, GOOD), [AGE, WARD], SICK)
    assert x.dtype == y.dtype == np.float64
    assert x.tolist() == [[0.25, 1, 0, 0], [0.5, 0, 1, 0], [1, 0, 0, 1]]
    assert y.tolist() == [0, 1, 1]
    x, y = build_matrix(imported(tmp_path, GOOD), [WARD, AGE], DOSE)
    assert x[:, 3].tolist() == [0.25, 0.5, 1]
    assert y.tolist() == [0, 0.5, 1]


def test_a_row_says_nothing_about_the_others(tmp_path: Path) -> None:
    whole, _ = build_matrix(imported(tmp_path, GOOD), [AGE, WARD], SICK)
    lines = GOOD.splitlines()
    for row in range(3):
        alone = imported(tmp_path, f"{lines[0]}\n{lines[row + 1]}\n")
        assert build_matrix(alone, [AGE, WARD], SICK)[0].tolist() == [whole[row].tolist()]


@pytest.mark.parametrize(
    "content",
    [
        GOOD.replace("\n", "\r\n"),
        "\ufeff" + GOOD,
        GOOD.rstrip("\n"),
        GOOD + "\n\n",
        GOOD.replace(",", " , "),
        GOOD.replace("north", '"north"').replace("25", '"25"'),
        GOOD.replace("25", "2.5e1").replace("100", "+100."),
        GOOD.replace("0,-1", "0.0,-1"),
    ],
    ids=["crlf", "bom", "no end", "blank lines", "blanks", "quotes", "notations", "0.0 is 0"],
)
def test_dialects_of_the_same_data(tmp_path: Path, content: str) -> None:
    x, y = build_matrix(imported(tmp_path, content), [AGE, WARD], SICK)
    assert x.tolist() == [[0.25, 1, 0, 0], [0.5, 0, 1, 0], [1, 0, 0, 1]]
    assert y.tolist() == [0, 1, 1]


def test_faults_in_columns_that_the_job_does_not_read_do_not_matter(tmp_path: Path) -> None:
    copy = imported(tmp_path, "age,note,sick\n25,,0\n50,hello,1\n100,NaN,1\n")
    assert build_matrix(copy, [AGE], SICK)[0].tolist() == [[0.25], [0.5], [1.0]]


def test_parquet_and_npz_give_the_same(tmp_path: Path) -> None:
    import polars as pl

    frame = pl.read_csv(io.StringIO(GOOD)).with_columns(
        pl.col("ward").cast(pl.Categorical), pl.col("sick").cast(pl.Boolean)
    )
    frame.with_columns(visits=pl.lit([1, 2])).write_parquet(tmp_path / "ward.parquet")
    np.savez(tmp_path / "ward.npz", **{n: np.array(frame[n].to_list()) for n in frame.columns})
    expected = build_matrix(imported(tmp_path, GOOD), [AGE, WARD], SICK)
    for name in ("ward.parquet", "ward.npz"):
        copy = imported(tmp_path, (tmp_path / name).read_bytes(), name)
        x, y = build_matrix(copy, [AGE, WARD], SICK)
        np.testing.assert_array_equal(x, expected[0])
        np.testing.assert_array_equal(y, expected[1])
    copy = imported(tmp_path, (tmp_path / "ward.parquet").read_bytes(), "ward.parquet")
    with pytest.raises(InputError, match=r"visits: .*of kind List"):
        build_matrix(copy, [NumberFeature("visits", 0.0, 1.0)], SICK)


def test_npz_matrix_becomes_columns(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "in.npz", x=np.arange(6).reshape(3, 2), y=np.array([0, 1, 1]))
    table = read_file(tmp_path / "in.npz")
    assert kinds(table) == (("x0", "number"), ("x1", "number"), ("y", "number"))
    assert table.texts["x1"].to_list() == ["1", "3", "5"]


def test_words_match_numbers_in_any_order(tmp_path: Path) -> None:
    copy = imported(tmp_path, "age,sick\n1,3\n1,-2\n1,1e1\n")
    target = ClassTarget("sick", ("ten", "3.0", "10", "-2"))
    assert build_matrix(copy, [AGE], target)[1].tolist() == [1, 3, 2]
    # Of two words of one value the cell is the one that is spelt as it is.
    both = ClassTarget("sick", ("3", "3.0", "10", "-2"))
    assert build_matrix(copy, [AGE], both)[1].tolist() == [0, 3, 2]


@examples(0.6, allow=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.floats(allow_nan=False, allow_infinity=False),
            st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=8),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_the_copy_holds_what_the_file_held(tmp_path: Path, rows: list[tuple[float, str]]) -> None:
    import csv

    file = tmp_path / "in.csv"
    with file.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([("value", "word"), *((repr(v), "w" + w) for v, w in rows)])
    table = read_file(file)
    (tmp_path / "copy").write_bytes(b"".join(encode_table(table)))
    copy = read_table(tmp_path / "copy")
    for found in (table, copy):
        assert found.texts["value"].to_list() == [repr(value) for value, _ in rows]
        assert numbers_of(found.texts["value"]).tolist() == [value for value, _ in rows]
        assert found.texts["word"].to_list() == [f"w{word}".strip() for _, word in rows]
        assert found.lines.tolist() == list(range(2, len(rows) + 2))


# Bad files


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "has no columns"),
        ("\n", "has no columns"),
        ("age,sick", "has no rows"),
        ("age,sick\n\n\n", "has no rows"),
        ("age,age,sick\n1,2,0\n", "more than one column named 'age'"),
        ("age, age ,sick\n1,2,0\n", "more than one column named 'age'"),
        ("age,,sick\n1,2,0\n", "column 2 has no name"),
        ("age,sick\n1,0\n2\n", "line 3: 1 cell, the header names 2"),
        ('age,sick\n"1\n2",0\n"2"\n', "line 4: 1 cell, the header names 2"),
        ("age,sick\n1,0\n2,1,3\n", "line 3: 3 cells, the header names 2"),
        ('age,sick\n"1\n2",0\n2,1,3\n', "line 4: 3 cells, the header names 2"),
        ('age,sick\n1,0\n"2,1\n', "line 3: has a quote that is never closed"),
        (b"not a csv \x00\xff", "line 1: a NUL"),
    ],
)
def test_bad_csv(tmp_path: Path, content: str | bytes, says: str) -> None:
    assert says in refusal(tmp_path, content)
    assert [path for path in (tmp_path / "copies").iterdir() if path.is_file()] == []


def test_other_bad_files(tmp_path: Path) -> None:
    assert "none of .csv, .tsv, .tab, .xlsx, .parquet" in refusal(tmp_path, "x", "ward.ods")
    assert "ward.parquet" in refusal(tmp_path, b"PAR1 and no more", "ward.parquet")
    assert "no .npz of plain arrays" in refusal(tmp_path, b"no zip", "ward.npz")
    for path in (tmp_path / "nothing.csv", tmp_path):
        with pytest.raises(InputError, match=r"cannot be read|none of|not a file"):
            read_file(path)
    (tmp_path / "directory.csv").mkdir()
    with pytest.raises(InputError, match="not a file"):
        read_file(tmp_path / "directory.csv")


def npz(**arrays: object) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (npz(a=np.array([{}], dtype=object)), "numbers or text needed"),
        (npz(a=np.zeros(3), b=np.zeros(4)), "different numbers of rows"),
        (npz(a=np.zeros((2, 2, 2))), "3 dimensions; 1 or 2 are allowed"),
        (npz(a=np.array(1.0)), "0 dimensions; 1 or 2 are allowed"),
        (npz(a=np.array([["x"]])), "2 dimensions; 1 is allowed"),
        (npz(a=np.zeros(0)), "has no rows"),
        (npz(a=np.zeros((2, 1)), a0=np.zeros(2)), "more than one column named 'a0'"),
        (npz(), "has no columns"),
    ],
)
def test_bad_npz(tmp_path: Path, content: bytes, says: str) -> None:
    assert says in refusal(tmp_path, content, "ward.npz")


def test_an_npz_that_claims_to_be_huge_takes_no_memory(tmp_path: Path) -> None:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f8", "fortran_order": False, "shape": (2**40,)}
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.npy", head.getvalue())
    assert f"{2**40} rows" in refusal(tmp_path, buffer.getvalue(), "ward.npz")
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<U100000000", "fortran_order": False, "shape": (1000,)}
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.npy", head.getvalue())
    assert "too many" in refusal(tmp_path, buffer.getvalue(), "ward.npz")


# Limits: at each, and one past it


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
@pytest.mark.parametrize(
    ("limit", "value", "says"),
    [
        ("MAX_DATASET_ROWS", 3, "4 rows; 3 are allowed"),
        ("MAX_DATASET_CELLS", 8, "4 rows of 2 columns; 7 cells"),
        ("MAX_DATASET_COLUMNS", 2, "2 columns; 1 are allowed"),
    ],
)
def test_limits_of_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, limit: str, value: int, says: str
) -> None:
    import polars as pl

    # The count of line breaks stands for rows in a CSV: without one at the end it is exact.
    frame = pl.DataFrame({"a": [1, 2, 3, 4], "b": [1, 2, 3, 4]})
    path = tmp_path / f"in.{suffix}"
    if suffix == "csv":
        path.write_text(frame.write_csv().rstrip("\n"))
    elif suffix == "parquet":
        frame.write_parquet(path)
    else:
        np.savez(path, a=np.arange(4), b=np.arange(4))
    at = {"MAX_DATASET_ROWS": 4, "MAX_DATASET_CELLS": 8, "MAX_DATASET_COLUMNS": 2}[limit]
    monkeypatch.setattr(params, limit, at)
    assert read_file(path).rows == 4
    monkeypatch.setattr(params, limit, at - 1)
    with pytest.raises(InputError, match=r"allowed|arrays"):
        read_file(path)
    if suffix == "csv":
        with pytest.raises(InputError, match=says):
            read_file(path)


def test_limits_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "in.csv"
    path.write_text(GOOD)
    monkeypatch.setattr(params, "MAX_DATASET_FILE_BYTES", len(GOOD))
    assert read_file(path).rows == 3
    path.write_text(GOOD + "\n")
    with pytest.raises(InputError, match=f"{len(GOOD) + 1} bytes; {len(GOOD)} are allowed"):
        read_file(path)


def test_a_header_without_an_end_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = len("age,ward,sick,dose\n")
    monkeypatch.setattr(params, "MAX_HEADER_BYTES", header)
    imported(tmp_path, GOOD)
    monkeypatch.setattr(params, "MAX_HEADER_BYTES", header - 1)
    assert "the header is longer than 18 bytes" in refusal(tmp_path, GOOD)


def test_the_matrix_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = imported(tmp_path, GOOD)
    monkeypatch.setattr(params, "MAX_MATRIX_CELLS", 12)
    build_matrix(copy, [AGE, WARD], SICK)
    monkeypatch.setattr(params, "MAX_MATRIX_CELLS", 11)
    with pytest.raises(InputError, match="3 rows and the job 4 inputs; 11 values are allowed"):
        build_matrix(copy, [AGE, WARD], SICK)


# Bad values


@pytest.mark.parametrize(
    ("old", "new", "field", "says"),
    [
        ("\n50,", "\nfifty,", "age", "ward.csv, line 3: 'fifty'; a number from 0 to 100"),
        ("\n50,", "\n,", "age", "ward.csv, line 3: the cell is empty"),
        ("\n50,", '\n"",', "age", "ward.csv, line 3: the cell is empty"),
        ("\n50,", "\nNaN,", "age", "ward.csv, line 3: 'NaN'"),
        ("\n50,", "\ninf,", "age", "ward.csv, line 3: 'inf'; a number from 0 to 100"),
        ("\n50,", "\n1e999,", "age", "ward.csv, line 3: '1e999'; a number from 0 to 100"),
        ("\n50,", "\n-0.001,", "age", "ward.csv, line 3: '-0.001'; a number from 0 to 100"),
        ("\n100,", "\n100.00000000000001,", "age", "line 4: '100.00000000000001'; a number"),
        ("\n50,", "\n\n500,", "age", "ward.csv, line 4: '500'; a number from 0 to 100"),
        ("\n25,north", '\n25,"no\nrth"', "ward", "ward.csv, line 2: 'no\\nrth'; one of north"),
        ("south", "west", "ward", "ward.csv, line 3: 'west'; one of north, south, east"),
        ("south", "", "ward", "ward.csv, line 3: the cell is empty; one of north"),
        ("0,-1", "2,-1", "sick", "ward.csv, line 2: '2'; one of 0, 1 is declared"),
        ("0,-1", "0.5,-1", "sick", "ward.csv, line 2: '0.5'; one of 0, 1 is declared"),
        ("0,-1", "no,-1", "sick", "ward.csv, line 2: 'no'; one of 0, 1 is declared"),
        ("0,-1", ",-1", "sick", "ward.csv, line 2: the cell is empty"),
        ("sick,", "ill,", "sick", "has no column 'sick'; it has 'age', 'ward', 'ill', 'dose'"),
    ],
)
def test_bad_value_is_named_by_line_column_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, field: str, says: str
) -> None:
    assert old in GOOD
    copy = imported(tmp_path, GOOD.replace(old, new))
    with pytest.raises(InputError) as caught:
        build_matrix(copy, [AGE, WARD], SICK)
    assert caught.value.field == field
    assert says in str(caught.value)


def test_lines_below_a_quoted_line_break_are_counted_right(tmp_path: Path) -> None:
    content = 'age,"wa\nrd",sick\n1,"a\n\nb",0\n2,c,1\n300,d,1\n'
    with pytest.raises(InputError, match=r"line 7: '300';"):
        build_matrix(imported(tmp_path, content), [AGE], SICK)


def test_all_missing_columns_are_listed_and_all_bad_rows_counted(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no column 'age', 'ward'; it has 'x', 'sick'"):
        build_matrix(imported(tmp_path, "x,sick\n1,0\n"), [AGE, WARD], SICK)
    many = "age,sick\n" + "500,0\n" * 13
    with pytest.raises(InputError, match=r"line 2: '500'; .* is declared; so are 12 more rows"):
        build_matrix(imported(tmp_path, many), [AGE], SICK)


def test_text_in_numbers_counts_every_such_row(tmp_path: Path) -> None:
    content = "age,sick\n1,0\nx,0\n,1\n2,1\ny,1\n"
    with pytest.raises(InputError, match=r"line 3: 'x'; .* so are 2 more rows"):
        build_matrix(imported(tmp_path, content), [AGE], SICK)


def test_clip_takes_the_nearer_end_and_forgives_nothing_else(tmp_path: Path) -> None:
    copy = imported(tmp_path, "age,sick,dose\n-5,0,-9\n105,1,9\n")
    x, y = build_matrix(copy, [AGE], DOSE, Outside.CLIP)
    assert x.tolist() == [[0.0], [1.0]]
    assert y.tolist() == [0.0, 1.0]
    for bad in ("inf", "nan", "", "x"):
        copy = imported(tmp_path, f"age,sick\n1,0\n{bad},1\n")
        with pytest.raises(InputError, match="line 3"):
            build_matrix(copy, [AGE], SICK, Outside.CLIP)


# The copy


def test_a_damaged_copy_is_refused(tmp_path: Path) -> None:
    copy = imported(tmp_path, GOOD)
    content = copy.read_bytes()
    at = content.index(b"25")
    copy.write_bytes(content[:at] + b"\x01" + content[at + 1 :])
    with pytest.raises(FatalError, match="add the data set again"):
        build_matrix(copy, [AGE], SICK)
    copy.unlink()
    with pytest.raises(FatalError, match="add the data set again"):
        build_matrix(copy, [AGE], SICK)


def test_the_same_data_has_the_same_digest(tmp_path: Path) -> None:
    assert imported(tmp_path, GOOD) == imported(tmp_path, GOOD)
    assert imported(tmp_path, GOOD) != imported(tmp_path, GOOD.replace("25", "26"))


@pytest.mark.parametrize("name", ["", "Ward", "../ward", "a/b", ".a", "x" * 65, "a b"])
def test_names(name: str) -> None:
    check_name("x" * 64)
    with pytest.raises(InputError, match=r"name: .* is no name"):
        check_name(name)


async def test_adding_through_a_worker(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    file = trio.Path(tmp_path / "ward.csv")
    await file.write_text(GOOD)
    with Store.open(home.database) as store:
        async with open_compute() as compute:
            lines: list[str] = []
            added, _ = await add_dataset(
                home, store, compute, "ward", Path(file), tell=lines.append
            )
            assert lines[-1] == "3 rows read; copying, 100 %"
            assert (added.name, added.rows) == ("ward", 3)
            assert added.columns == (
                ("age", "number"),
                ("ward", "text"),
                ("sick", "number"),
                ("dose", "number"),
            )
            with pytest.raises(InputError, match="'ward' is taken"):
                await add_dataset(home, store, compute, "ward", Path(file))
            with pytest.raises(InputError, match="absolute"):
                await add_dataset(home, store, compute, "other", Path("ward.csv"))
            await file.write_text("")
            with pytest.raises(InputError, match="has no columns"):
                await add_dataset(home, store, compute, "other", Path(file))
        found = await store.read(catalogue.datasets)
        assert found == [added]
        assert await store.read(catalogue.policies) == {}
    # The file changed since; what was added did not.
    copy = Blobs(home.datasets).path(added.digest)
    assert build_matrix(copy, [AGE], SICK)[0].tolist() == [[0.25], [0.5], [1.0]]
    assert copy.stat().st_mode & 0o777 == 0o600
    assert not Blobs(home.blobs).size(added.digest)


async def test_copies_of_no_data_set_are_cleared(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    file = tmp_path / "ward.csv"
    copies = Blobs(home.datasets)
    with Store.open(home.database) as store:
        await trio.Path(file).write_text(GOOD)
        async with open_compute() as compute:
            added, _ = await add_dataset(home, store, compute, "ward", file)
        orphan = copies.put(b"imported, never entered")
        await trio.Path(home.datasets / ".new-cut-off").write_bytes(b"private")
        assert await clear_copies(home, store) == 2
        assert await clear_copies(home, store) == 0
    assert copies.size(orphan.digest) is None
    assert copies.size(added.digest) == added.bytes


def test_a_job_reads_by_its_terms(tmp_path: Path) -> None:
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Terms:
        features = (AGE,)
        target = DOSE
        beyond = Outside.CLIP

    copy = imported(tmp_path, "age,dose\n150,0\n")
    digest = bytes.fromhex(copy.name)
    x, y = load_matrix(copy.parent, digest, "ward", Terms())  # type: ignore[arg-type]
    assert (x.tolist(), y.tolist()) == ([[1.0]], [0.5])
    copy.unlink()
    with pytest.raises(FatalError, match=r"data set 'ward': .*add the data set again"):
        load_matrix(copy.parent, digest, "ward", Terms())  # type: ignore[arg-type]
