"""Files that people have and that are wrong somewhere: each refusal says where, and what to do."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from kits.workbooks import as_xlsx

from node.data.datasets import import_file
from node.data.matrix import owned_rows
from node.data.readers import read_file
from node.data.reading import declared
from node.store.blobs import Blobs
from protocol.errors import InputError
from protocol.spec.job import CategoryFeature, ClassTarget, NumberFeature

QUOTES = "a cell with quotes stands in quotes, and has each of its own twice"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "ward.csv is empty: it has no columns; export it again"),
        ("\ufeff\n \n", "ward.csv is empty"),
        (
            "\na,b\n1,2\n",
            "line 1: it is empty, .*; .*: take empty lines above them out",
        ),
        ('"a" "b"\n1 2\n', "line 1: the header cannot be read .*; between cells may stand a comma"),
        ('a,b\n1,5" pipe\n2,y\n', f"line 2: has a quote inside of a cell; {QUOTES}"),
        ('a,b\n1,x\n5" x,1\n2,y\n6" z,3\n', f"line 3: has a quote inside of a cell; {QUOTES}"),
        ('a,b\n1,x\n2,"y\n3,z\n', f"line 3: has a quote that is never closed; {QUOTES}"),
        ('a,b\n"1\n2",x\n2,"x"y\n3,z\n', f"line 4: has text behind a quote that closes; {QUOTES}"),
        ("Ward 3\n\na,b\n1,2\n", "line 3: 2 cells, .*; if the names stand further down, take what"),
        ("a,,b\n1,2,3\n", "column 2 has no name; give it one, or leave the column out"),
        ("a,b,\n1,2,\n", "column 3 has no name; give it one, or leave the column out"),
        ("a,b,a\n1,2,3\n", "more than one column named 'a'; give each a name of its own"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_a_remedy(
    tmp_path: Path, content: str, says: str
) -> None:
    path = tmp_path / "ward.csv"
    path.write_bytes(content.encode())
    with pytest.raises(InputError, match=says):
        read_file(path)
    packed = tmp_path / "ward.csv.gz"
    packed.write_bytes(gzip.compress(content.encode()))
    with pytest.raises(InputError, match=says.replace("ward.csv is", "ward.csv.gz is")):
        read_file(packed)


@pytest.mark.parametrize("end", ["\r", ""])
def test_lines_that_end_in_cr_alone(tmp_path: Path, end: str) -> None:
    """As Excel wrote them on old Macs."""
    path = tmp_path / "ward.csv"
    path.write_bytes(f'age;ort\r61;"K\xf6ln"\r\r55;Bonn{end}'.encode("latin-1"))
    table = read_file(path)
    assert table.texts["ort"].to_list() == ["Köln", "Bonn"]
    assert table.lines.tolist() == [2, 4]
    assert table.notes[:2] == (
        "its lines end in CR alone",
        "1 line is not UTF-8 and read as Windows-1252; --encoding declares another",
    )
    path.write_bytes(b"age,ort\r61\r")
    with pytest.raises(InputError, match="line 2: 1 cell, the header names 2"):
        read_file(path)
    # A CR before each LF, or inside of a cell, is none of these.
    path.write_bytes(b'age,ort\r\n61,"a\rb"\r\n')
    assert read_file(path).notes == ()


def test_excels_own_line_says_what_separates_cells(tmp_path: Path) -> None:
    path = tmp_path / "ward.csv"
    for mark, name, cell in ((";", "semicolon", "2,5"), ("\t", "tab", "2"), ("|", "pipe", "2")):
        path.write_text(f'sep={mark}\nage{mark}dose\n61{mark}{cell}\n"5"{mark}3\n')
        table = read_file(path)
        assert table.order == ("age", "dose")
        assert table.texts["age"].to_list() == ["61", "5"]
        assert table.lines.tolist() == [3, 4]
        assert f"its first line says that cells are separated by {name}" in table.notes
    # Rows alone below it, as declared by hand; and a column that is called so.
    path.write_text("SEP=;\r\n61;2,5\r\n")
    table = read_file(path, declared(None, None, None, False, ["age", "dose"]))
    assert (table.order, table.lines.tolist()) == (("age", "dose"), [2])
    path.write_text("sep=x\n1\n")
    assert read_file(path).order == ("sep=x",)


@pytest.mark.parametrize(
    ("first", "odd"),
    [
        ("61,2.5,north", "'61', '2.5'"),
        ("2024-01-05,south,x", "'2024-01-05'"),
        ("5.1.2024,south,0", "'5.1.2024', '0'"),
    ],
)
def test_a_row_that_becomes_names_is_said(tmp_path: Path, first: str, odd: str) -> None:
    """Case no-header.csv, with words in the first row: nothing else tells it from a header."""
    path = tmp_path / "ward.csv"
    path.write_text(f"{first}\n55,1.0,south\n")
    table = read_file(path)
    assert table.order == tuple(first.split(","))
    assert table.notes == (
        f"its first line is taken for names, and {odd} are among them: if that line is a row, "
        "declare it by --no-header --names a,b,c; if not, by --header",
    )
    assert read_file(path, declared(None, None, None, True)).notes == ()
    by_hand = read_file(path, declared(None, None, None, False, ["a", "b", "c"]))
    assert (by_hand.rows, by_hand.notes) == (2, ())
    path.write_bytes(as_xlsx([[*first.split(",")], ["55", "1.0", "south"]]))
    renamed = path.rename(tmp_path / "ward.xlsx")
    assert "is a row, declare it" in read_file(renamed).notes[0]


@pytest.mark.parametrize("names", ["country,1990,1991,1992", "0,1,2", "age,x1,y2"])
def test_years_and_places_are_plain_names(tmp_path: Path, names: str) -> None:
    path = tmp_path / "ward.csv"
    path.write_text(f"{names}\n" + ",".join("x" for _ in names.split(",")) + "\n")
    assert read_file(path).notes == ()


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_column_of_nothing_is_of_the_kind_that_one_more_row_gives_it(
    tmp_path: Path, suffix: str
) -> None:
    """pandas stores a column without any value as of no kind: one row with a value must not decide
    whether its owner can take a job."""
    features = [NumberFeature("x", 0.0, 10.0), CategoryFeature("ward", ("a", "b"))]
    target = ClassTarget("y", ("0", "1"))

    def vectors(rows: list[tuple[str | None, str | None, int]]) -> list[tuple[bytes, bool]]:
        columns = zip(*rows, strict=True)
        frame = pl.DataFrame(dict(zip(("x", "ward", "y"), map(list, columns), strict=True)))
        out = io.BytesIO()
        frame.write_parquet(out) if suffix == "parquet" else frame.write_ipc(out)
        (tmp_path / f"in.{suffix}").write_bytes(out.getvalue())
        found = import_file(tmp_path / f"in.{suffix}", tmp_path)
        assert [name for name, _ in found.columns] == ["x", "ward", "y"]
        held = owned_rows(Blobs(tmp_path).path(found.copy.digest), features, target)
        numbers = np.column_stack([held.features, held.target])
        return [
            (row.tobytes(), bool(unused)) for row, unused in zip(numbers, held.unused, strict=True)
        ]

    nothing = vectors([(None, None, 0), (None, None, 1)])
    assert [unused for _, unused in nothing] == [True, True]
    assert vectors([(None, None, 0), (None, None, 1), ("1", "b", 0)])[:2] == nothing


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (as_xlsx([["a"], [1]]), "a zip archive, as .xlsx and .npz are"),
        (gzip.compress(b"a\n1\n", mtime=0), "packed by gzip, as .csv.gz is"),
        (b"PAR1....", "a Parquet file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "save it as .xlsx or .csv"),
        (b"SQLite format 3\x00", "--sql 'SELECT …' --url sqlite:///PATH"),
    ],
    ids=["xlsx", "gzip", "parquet", "xls", "sqlite"],
)
def test_a_file_that_is_called_what_it_is_not(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "ward.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_file(path)
    assert "ward.csv is no text, and begins like " in str(caught.value)
    assert says in str(caught.value)


def test_names_that_say_nothing(tmp_path: Path) -> None:
    for name in ("ward.ods", "ward.xls", "ward"):
        with pytest.raises(InputError, match="; save it as one of them, or call it what it is"):
            read_file(tmp_path / name)
    (tmp_path / "ward.csv").mkdir()
    with pytest.raises(InputError, match=r"ward\.csv is a directory, not a file"):
        read_file(tmp_path / "ward.csv")
    (tmp_path / "ward.xlsx").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"is no .xlsx .*; if it is text, call it \.csv"):
        read_file(tmp_path / "ward.xlsx")
    np.savez(tmp_path / "ward.npz", a=np.array(["x", None], dtype=object))
    with pytest.raises(InputError, match=r"numbers or text needed, as \.astype\(str\) makes"):
        read_file(tmp_path / "ward.npz")


def test_columns_that_no_job_can_use_are_said(tmp_path: Path) -> None:
    pl.DataFrame({"age": [1], "visits": [[1]], "raw": [[b"x"]]}).write_parquet(
        tmp_path / "w.parquet"
    )
    table = read_file(tmp_path / "w.parquet")
    assert table.notes == ("no job can use 'visits', 'raw', of kind List(Binary), List(Int64)",)
