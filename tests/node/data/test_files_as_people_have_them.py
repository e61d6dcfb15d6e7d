"""Files as people have them: what becomes of each, from the file's bytes to a job's matrix.

tests/cases/data holds small ones; its README says what should become of each.
"""

from __future__ import annotations

import datetime
import decimal
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import zstandard
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from kits.examples import examples
from kits.workbooks import as_xlsx

from node.data import unpacked
from node.data.cells import kinds, numbers_of
from node.data.datasets import import_file
from node.data.matrix import owned_rows, table_matrix
from node.data.readers import read_file
from node.data.reading import Reading, declared
from node.data.table import Table
from node.store.blobs import Blobs
from protocol import params
from protocol.errors import InputError
from protocol.spec.job import CategoryFeature, ClassTarget, NumberFeature, NumberTarget

CASES = Path(__file__).parents[2] / "cases" / "data"


def text(table: Table, name: str) -> list[str | None]:
    found: list[str | None] = table.texts[name].to_list()
    return found


def numbers(table: Table, name: str) -> list[float]:
    found: list[float] = numbers_of(table.texts[name], table.marks).tolist()
    return found


def said(table: Table) -> str:
    return "\n".join(table.notes)


def refused(path: Path, reading: Reading | None = None) -> str:
    with pytest.raises(InputError) as caught:
        read_file(path, reading)
    assert path.name in str(caught.value)
    return str(caught.value)


def taken_index(name: str, columns: tuple[str, ...]) -> None:
    table = read_file(CASES / name)
    assert table.order == columns
    assert table.notes == ("the first column has no name: it is taken as an index and left out",)
    assert table.rows == len(text(table, columns[0])) >= 2


def gaps() -> None:
    table = read_file(CASES / "gaps.csv")
    assert kinds(table) == (("age", "number"), ("dose", "number"), ("outcome", "number"))
    assert text(table, "dose") == ["NA", "2.5", "?", "1.0"]
    assert text(table, "age") == ["61", None, "55", "48"]


def decimal_comma() -> None:
    table = read_file(CASES / "decimal-comma.csv")
    assert numbers(table, "dosis") == [2.5, 1.0]
    assert numbers(table, "alter") == [61.0, 55.0]
    assert "separated by semicolon" in said(table)
    assert "--decimal" in said(table)
    by_hand = read_file(CASES / "decimal-comma.csv", declared("semicolon", ",", "utf-8"))
    assert numbers(by_hand, "dosis") == [2.5, 1.0]
    assert by_hand.notes == ()
    points = read_file(CASES / "decimal-comma.csv", declared(None, ".", None))
    assert np.isnan(numbers(points, "dosis")).all()  # 2,5 is no group of three


def thousands() -> None:
    table = read_file(CASES / "thousands.csv")
    assert np.isnan(numbers(table, "income")).all()
    assert "--decimal '.' reads marks between digits" in said(table)
    by_hand = read_file(CASES / "thousands.csv", declared(None, ".", None))
    assert numbers(by_hand, "income") == [12_500.0, 1_048_576.0]


def other_characters() -> None:
    assert text(read_file(CASES / "tabs.tsv"), "b") == ["2", "4"]
    table = read_file(CASES / "latin-1.csv")
    assert text(table, "ort") == ["Köln", "Bonn"]
    assert "1 line is not UTF-8" in said(table)
    by_hand = read_file(CASES / "latin-1.csv", declared(None, None, "latin1"))
    assert (text(by_hand, "ort"), by_hand.notes) == (["Köln", "Bonn"], ())
    table = read_file(CASES / "utf-16.csv")
    assert (text(table, "a"), said(table)) == (["1", "2"], "its characters are UTF-16")


def booleans() -> None:
    table = read_file(CASES / "booleans.csv")
    for classes in (("false", "true"), ("0", "1"), ("False", "True")):
        _, y = table_matrix(table, [NumberFeature("y", 0.0, 1.0)], ClassTarget("smoker", classes))
        assert y.tolist() == [1.0, 0.0, 1.0]


def codes() -> None:
    table = read_file(CASES / "codes.csv")
    assert numbers(table, "code")[:2] == [1e30, 2e60]
    assert np.isnan(numbers(table, "code")[2])
    assert numbers(table, "code")[3:] == [1067.0, 1067.0]
    feature = CategoryFeature("code", ("1E30", "2E60", "5E400", "01067", "1067"))
    x, _ = table_matrix(table, [feature], ClassTarget("y", ("a", "b")))
    assert x.tolist() == np.eye(5).tolist()


def underscore() -> None:
    assert np.isnan(numbers(read_file(CASES / "underscore.csv"), "a")).tolist() == [True, False]


def one_odd_cell() -> None:
    table = read_file(CASES / "one-odd-cell.csv")
    classes = ClassTarget("y", ("0", "1"))
    with pytest.raises(InputError, match=r"line 6: '\?'; one of 0, 1 is declared"):
        table_matrix(table, [NumberFeature("x", 0.0, 1.0)], classes)


def comment() -> None:
    table = read_file(CASES / "comment.csv")
    assert table.order == ("a", "y")
    assert table.lines.tolist() == [3, 4]
    assert said(table) == "its first line is a comment (#) and left out"


def dates() -> None:
    table = read_file(CASES / "dates.csv")
    assert text(table, "day") == ["2024-01-05", "2024-02-29"]
    with pytest.raises(InputError, match="a date is no number"):
        table_matrix(table, [NumberFeature("day", 0.0, 1.0)], ClassTarget("y", ("0", "1")))


def blanks() -> None:
    table = read_file(CASES / "blanks.csv")
    assert table.order == ("a", "grade")
    assert text(table, "grade") == ["high", "high", "low"]


def no_header() -> None:
    table = read_file(CASES / "no-header.csv")
    assert table.order == ("column_1", "column_2", "column_3")
    assert text(table, "column_1")[0] == "61"
    assert table.lines[0] == 1
    by_hand = read_file(
        CASES / "no-header.csv", declared(None, None, None, False, ["age", "dose", "sick"])
    )
    assert by_hand.order == ("age", "dose", "sick")
    assert (by_hand.lines[0], by_hand.notes) == (1, ())
    names = read_file(CASES / "no-header.csv", declared(None, None, None, True))
    assert (names.order[0], names.lines[0], names.rows) == ("61", 2, by_hand.rows - 1)
    assert "columns are called column_1 to column_3" in said(table)


def hint(name: str, column: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        table_matrix(
            read_file(CASES / name),
            [NumberFeature("y", 0.0, 1.0)],
            NumberTarget(column, -10.0, 10.0),
        )


#: Each case, and what becomes of it.
WHAT_BECOMES: dict[str, Callable[[], object]] = {
    "index-column.csv": lambda: taken_index("index-column.csv", ("length", "depth", "kind")),
    "r-row-names.csv": lambda: taken_index("r-row-names.csv", ("age", "status")),
    "gaps.csv": gaps,
    "decimal-comma.csv": decimal_comma,
    "thousands.csv": thousands,
    "tabs.tsv": other_characters,
    "latin-1.csv": other_characters,
    "utf-16.csv": other_characters,
    "booleans.csv": booleans,
    "codes.csv": codes,
    "underscore.csv": underscore,
    "one-odd-cell.csv": one_odd_cell,
    "comment.csv": comment,
    "dates.csv": dates,
    "blanks.csv": blanks,
    "no-header.csv": no_header,
    "unicode-minus.csv": lambda: hint("unicode-minus.csv", "a", "not the '-' of a keyboard"),
    "percent.csv": lambda: hint("percent.csv", "share", "a percent sign makes it text"),
}
REFUSED = {
    "ragged.csv": "ragged.csv, line 3: 1 cell, the header names 3; mend that line",
    "nul.csv": "nul.csv, line 2: a NUL",
}


@pytest.mark.parametrize("case", WHAT_BECOMES)
def test_a_case_that_is_taken(case: str) -> None:
    WHAT_BECOMES[case]()


@pytest.mark.parametrize("case", REFUSED)
def test_a_case_that_is_refused(case: str) -> None:
    assert REFUSED[case] in refused(CASES / case)


def test_every_case_is_tested() -> None:
    there = {path.name for path in CASES.iterdir()} - {"README.md"}
    assert there == {*WHAT_BECOMES, *REFUSED}


def test_one_odd_cell_leaves_the_four_good_rows(tmp_path: Path) -> None:
    copy = import_file(CASES / "one-odd-cell.csv", tmp_path).copy.digest
    held = owned_rows(
        Blobs(tmp_path).path(copy), [NumberFeature("x", 0.0, 1.0)], ClassTarget("y", ("0", "1"))
    )
    assert held.unused.tolist() == [False, False, False, False, True]
    assert held.target.tolist()[:4] == [0.0, 1.0, 0.0, 1.0]


# Packed


CSV = b"age,sick\n61,1\n55,0\n"


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_packed_files(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = gzip.compress if suffix == ".gz" else zstandard.ZstdCompressor().compress
    path = tmp_path / f"ward.csv{suffix}"
    path.write_bytes(pack(CSV))
    assert text(read_file(path), "age") == ["61", "55"]
    (tmp_path / f"ward.tsv{suffix}").write_bytes(pack(CSV.replace(b",", b"\t")))
    assert text(read_file(tmp_path / f"ward.tsv{suffix}"), "age") == ["61", "55"]
    path.write_bytes(pack(CSV)[:-3] if suffix == ".gz" else b"no frame at all")
    assert "cannot be unpacked" in refused(path)
    # What a file holds has the limit of the file itself, whatever it says of its size.
    path.write_bytes(pack(CSV * 10_000))
    monkeypatch.setattr(params, "MAX_DATASET_FILE_BYTES", 100_000)
    assert "holds more than the 100000 bytes" in refused(path)
    assert "none of" in refused(tmp_path / f"ward.parquet{suffix}")


# Excel, Arrow, Parquet


ROWS: list[list[object]] = [
    [None, "age", "ward", "sick", "smoker"],
    [0, 61, " north ", 0.5, True],
    [1, None, "south", "?", False],
    [None, None, None, None, None],
    [2, "much", "north", 1e-7, True],
]


def test_excel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ward.xlsx"
    path.write_bytes(as_xlsx(ROWS, sheets=2))
    table = read_file(path)
    assert table.order == ("age", "ward", "sick", "smoker")
    assert text(table, "age") == ["61", None, "much"]
    assert text(table, "ward") == ["north", "south", "north"]
    assert numbers(table, "sick")[0] == 0.5
    assert numbers(table, "sick")[2] == 1e-7
    assert numbers(table, "smoker") == [1.0, 0.0, 1.0]
    assert table.lines.tolist() == [2, 3, 5]
    assert "index and left out" in said(table)
    assert "its first sheet, 'S1', was read" in said(table)
    # One row's cell is what it was, whatever another row holds.
    path.write_bytes(as_xlsx(ROWS[:2]))
    assert text(read_file(path), "age") == ["61"]
    assert numbers(read_file(path), "sick") == [0.5]
    # A sheet that begins in its second column.
    path.write_bytes(as_xlsx([[None, "age", "sick"], [None, 61, 1e-12], [None, None, "?"]]))
    assert text(read_file(path), "sick") == ["1e-12", "?"]
    assert text(read_file(path), "age") == ["61", None]
    path.write_bytes(b"no zip")
    assert "is no .xlsx" in refused(path)
    path.write_bytes(as_xlsx([["a"], *([["x" * 1000]] * 1000)]))
    monkeypatch.setattr(params, "MAX_DATASET_FILE_BYTES", 500_000)
    assert "500000 are allowed" in refused(path)


FRAME = pl.DataFrame(
    {
        "__index_level_0__": [7, 8],
        "day": [datetime.date(2024, 1, 5), None],
        "at": [datetime.datetime(2024, 1, 5, 3), None],
        "dose": [decimal.Decimal("1.50"), decimal.Decimal("-2.25")],
        "smoker": [True, False],
        "visits": [[1], [2]],
        "id": [9007199254740993, 2],
    }
)


@pytest.mark.parametrize("suffix", ["parquet", "feather", "arrow"])
def test_files_with_types(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"ward.{suffix}"
    FRAME.write_parquet(path) if suffix == "parquet" else FRAME.write_ipc(path)
    table = read_file(path)
    assert text(table, "day") == ["2024-01-05", None]
    assert numbers(table, "dose") == [1.5, -2.25]
    assert text(table, "smoker") == ["true", "false"]
    assert text(table, "id") == ["9007199254740993", "2"]  # not through a float
    assert table.other == {"visits": "List(Int64)"}
    assert table.order[0] == "day"
    assert "index and left out" in said(table)
    assert "no text; separator" in refused(path, declared("tab", None, None))
    path.write_bytes(b"no such file")
    refused(path)


def test_booleans_are_the_same_in_every_format(tmp_path: Path) -> None:
    pl.DataFrame({"smoker": [True, False, True], "y": [1, 0, 0]}).write_parquet(
        tmp_path / "in.parquet"
    )
    np.savez(tmp_path / "in.npz", smoker=np.array([True, False, True]), y=np.array([1, 0, 0]))
    target = ClassTarget("smoker", ("false", "true"))
    (tmp_path / "in.xlsx").write_bytes(as_xlsx([["smoker", "y"], [True, 1], [False, 0], [True, 0]]))
    files = [tmp_path / f"in.{suffix}" for suffix in ("parquet", "npz", "xlsx")]
    for path in (CASES / "booleans.csv", *files):
        x, y = table_matrix(read_file(path), [NumberFeature("smoker", 0.0, 2.0)], target)
        assert y.tolist() == [1.0, 0.0, 1.0]
        assert x[:, 0].tolist() == [0.5, 0.0, 0.5]


# How text is written


blank_cells = st.lists(
    st.text(" \t\x0bab,;\u00a0\u3000ö", max_size=4).filter(lambda cell: "," not in cell),
    min_size=1,
    max_size=9,
)


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
@given(first=blank_cells, second=blank_cells)
@examples(1, allow=[HealthCheck.function_scoped_fixture])
def test_blanks_are_found_wherever_they_stand(
    first: list[str], second: list[str], end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells are stripped only where a look at the bytes, piece by piece, found that one may need
    it."""
    rows = list(zip(first, second, strict=False))
    lines = ["x,y", *(f"{x},{y}" for x, y in rows)]
    path = tmp_path / "in.csv"
    path.write_bytes((end or "\n").join(lines).encode() + end.encode())
    for size in (1, 7, 1 << 17):
        monkeypatch.setattr(unpacked, "_PIECE_BYTES", size)
        filled = [(x.strip(), y.strip()) for x, y in rows if x or y]
        try:
            table = read_file(path)
        except InputError:
            assert not filled
            return
        found = list(zip(text(table, "x"), text(table, "y"), strict=True))
        assert found == [(x or None, y or None) for x, y in filled]


@pytest.mark.parametrize("end", ["\n", ""])
def test_lines_are_counted_through_quoted_cells(tmp_path: Path, end: str) -> None:
    path = written(tmp_path, f'x,y\n1,"a"\n2,"b\nc"\n3,"d"{end}')
    assert read_file(path).lines.tolist() == [2, 3, 5]
    path = written(tmp_path, f'x,y\n1,"a"\n2,"b"\n3,"d\n\n\ne"{end}')
    assert read_file(path).lines.tolist() == [2, 3, 4]


def written(tmp_path: Path, content: str | bytes, name: str = "in.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolon"), ("\t", "tab"), ("|", "pipe")])
def test_separators_are_seen_at_the_header(tmp_path: Path, mark: str, name: str) -> None:
    path = written(tmp_path, f"a{mark}b, in words{mark}c\n1{mark}2, 3{mark}4\n")
    table = read_file(path)
    assert table.order == ("a", "b, in words", "c")
    assert text(table, "b, in words") == ["2, 3"]
    assert f"separated by {name}; --separator declares another" in said(table)
    with pytest.raises(InputError, match="line 2: 2 cells, the header names"):
        read_file(written(tmp_path, f"a{mark}b{mark}c\n1{mark}2\n"))


def test_no_row_decides_how_another_is_read(tmp_path: Path) -> None:
    """The mark of numbers, the separator and the encoding follow from the header or by hand."""
    rows = ["2,5;a", "2.5;b", "1.234;c", "ö;d", "12,500;e"]
    whole = read_file(written(tmp_path, "x;y\n" + "\n".join(rows)))
    for at, row in enumerate(rows):
        alone = read_file(written(tmp_path, f"x;y\n{row}\n"))
        np.testing.assert_array_equal(numbers(alone, "x")[0], numbers(whole, "x")[at])
    bytes_of = [b"\xf6;a", "ö;b".encode(), b"1;c"]
    whole = read_file(written(tmp_path, b"x;y\n" + b"\n".join(bytes_of)))
    assert text(whole, "x") == ["ö", "ö", "1"]
    for at, line in enumerate(bytes_of):
        assert text(read_file(written(tmp_path, b"x;y\n" + line)), "x")[0] == text(whole, "x")[at]


def test_two_marks_want_a_word_from_the_owner(tmp_path: Path) -> None:
    path = written(tmp_path, "x;y\n1.234,5;a\n1.234;b\n'1;c\n")
    assert "--decimal ',' or --decimal '.'" in refused(path)
    assert numbers(read_file(path, declared(None, ",", None)), "x")[:2] == [1234.5, 1234.0]
    assert numbers(read_file(path, declared(None, ".", None)), "x")[1] == 1.234


@pytest.mark.parametrize(
    ("mark", "cell", "number"),
    [
        (",", "1.234.567,5", 1234567.5),
        (",", "1 234,5", 1234.5),
        (",", "1\u202f234", 1234.0),
        (",", "-,5e1", -5.0),
        (",", "2.5", None),
        (",", "1.23.456", None),
        (",", ",", None),
        (".", "1,234.5", 1234.5),
        (".", "1'234", 1234.0),
        (".", "1,23", None),
        (".", "1,234 567", None),
        (".", "+2.5E3", 2500.0),
        (".", "", None),
    ],
)
def test_declared_marks(tmp_path: Path, mark: str, cell: str, number: float | None) -> None:
    path = written(tmp_path, f'x|y\n"{cell}"|1\n')
    [found] = numbers(read_file(path, declared("|", mark, None)), "x")
    assert np.isnan(found) if number is None else found == number


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("colon", None, None), "separator: is 'colon'; allowed are comma"),
        ((None, "x", None), "decimal: is 'x'"),
        ((None, None, "ebcdic"), "encoding: is 'ebcdic'; allowed are utf-8"),
        ((",", ",", None), "decimal: is ',', which is the separator too"),
    ],
)
def test_what_can_be_declared(given: tuple[str | None, ...], says: str) -> None:
    with pytest.raises(InputError, match=says):
        declared(*given)
    assert declared(None, None, None) == Reading()
    assert declared("tab", None, "Windows_1252") == Reading("\t", "", "cp1252")


def test_a_declared_encoding_holds(tmp_path: Path) -> None:
    path = written(tmp_path, b"a,y\n1,0\n\xff,1\n")
    assert "line 3: not UTF-8, which --encoding declares" in refused(
        path, Reading(encoding="utf-8")
    )
    path.write_bytes("a,y\n1,0\n".encode("utf-16-le"))
    assert "--encoding utf-16-le" in refused(path)
    assert text(read_file(path, Reading(encoding="utf-16-le")), "a") == ["1"]
    path.write_bytes("a,y\n1,0\n".encode("utf-16-le")[:-1])
    assert "not utf-16-le" in refused(path, Reading(encoding="utf-16-le"))


@pytest.mark.parametrize(
    ("content", "first", "lines"),
    [
        ("\ufeff61,2.5\n4,5\n", ["61", "4"], [1, 2]),
        ("# cm\n# kg\n61,2.5\n4,5", ["61", "4"], [3, 4]),
        ("61\t2.5\n\n4\t5\n", ["61", "4"], [1, 3]),
        ("61,NA\n,\n4,1\n", ["61", "4"], [1, 3]),
        ("7,7,7\n7,7,8\n", ["7", "7"], [1, 2]),
    ],
)
def test_a_first_line_of_numbers_is_a_row(
    tmp_path: Path, content: str, first: list[str], lines: list[int]
) -> None:
    table = read_file(written(tmp_path, content))
    assert text(table, "column_1") == first
    assert table.lines.tolist() == lines
    assert "--no-header --names a,b,c, or by --header" in said(table)
    longer = "1,1,1,1,1".replace(",", "\t" if "\t" in content else ",")
    with pytest.raises(InputError, match=r"line [0-9]: 5 cells, the header names"):
        read_file(written(tmp_path, content.rstrip("\n") + f"\n{longer}\n"))


NO_HEADER = declared(None, None, None, False)


@pytest.mark.parametrize("name", ["in.csv", "in.tsv", "in.xlsx"])
@pytest.mark.parametrize("first", ["61|2.5|x", "NA|b|c", "x|y|z", "0|1|2", "|1|2"])
def test_without_a_header_no_first_row_is_names(tmp_path: Path, name: str, first: str) -> None:
    """Whatever stands in it: from the file's bytes on, the first row is as good as any."""
    rows = [first.split("|"), ["5", "6", "7"], ["x", "y", "z"]]
    path = tmp_path / name
    for told in (rows, [rows[1], rows[0], rows[2]]):
        if name.endswith("xlsx"):
            path.write_bytes(as_xlsx([[cell or None for cell in row] for row in told]))
        else:
            mark = "," if name.endswith("csv") else "\t"
            path.write_text("\n".join(mark.join(row) for row in told) + "\n")
        table = read_file(path, NO_HEADER)
        assert table.order == ("column_1", "column_2", "column_3")
        assert table.lines.tolist() == [1, 2, 3]
        found = [[text(table, column)[row] for column in table.order] for row in range(3)]
        assert found == [[cell or None for cell in row] for row in told]
        assert said(table) == (
            "columns are called column_1 to column_3; --names a,b,c calls them otherwise"
        )


def test_names_by_hand_are_as_many_as_cells(tmp_path: Path) -> None:
    path = written(tmp_path, "x,y\n1,2\n")
    with pytest.raises(InputError, match=r"in.csv, line 1: 2 cells, and --names gives 1: 'a'"):
        read_file(path, declared(None, None, None, False, ["a"]))
    with pytest.raises(InputError, match="more than one column named 'a'"):
        read_file(path, declared(None, None, None, False, ["a", "a"]))
    for header in (None, True):
        with pytest.raises(InputError, match="--no-header --names a,b,c; a column map"):
            declared(None, None, None, header, ["a"])


def test_without_a_header_the_separator_is_said_by_hand(tmp_path: Path) -> None:
    """A header shows it; a row must not, since another row might stand in its place."""
    path = written(tmp_path, "61;2,5;x\n5;6;7\n")
    with pytest.raises(InputError, match=r"line 1: .* semicolon; .* say so: --separator semicolon"):
        read_file(path, NO_HEADER)
    table = read_file(path, declared("semicolon", None, None, False))
    assert numbers(table, "column_2") == [2.5, 6.0]
    # A row of decimal commas alone is one of numbers as well.
    assert read_file(written(tmp_path, "61;2,5;1\n5;6;7\n")).order[2] == "column_3"


def test_a_kind_that_stores_names_takes_no_word_on_its_header(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "in.parquet")
    assert "a header and names also for .xlsx" in refused(tmp_path / "in.parquet", NO_HEADER)


def test_numbers_that_count_up_are_names(tmp_path: Path) -> None:
    """pandas writes them for a table whose columns have none."""
    assert read_file(written(tmp_path, ",0,1,2\n0,5,6,7\n")).order == ("0", "1", "2")
    assert read_file(written(tmp_path, "#,y\n1,0\n")).order == ("#", "y")
    assert read_file(written(tmp_path, "#id\n1\n")).order == ("#id",)
