"""A column map makes a hospital's columns those of a job, cell by cell."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.examples import examples

from node.data.datasets import Imported, import_file, kinds_under
from node.data.maps.declared import ColumnMap, Renamed, decode_map, encode_map, parse_map
from node.data.maps.mapped import mapped, read_mapped
from node.data.matrix import build_matrix, owned_rows
from node.data.table import Marks, Table
from node.store.blobs import Blobs
from protocol.errors import InputError
from protocol.spec.parts import CategoryFeature, ClassTarget, NumberFeature

MAP = """
[columns]
sex = { name = "gender", words = { M = "male", F = "female", "9" = "" } }
lb = { name = "kg", multiply = 0.5 }
f = { name = "c", multiply = 0.5, offset = -16 }
full = { hundredths = true }
sick = "ill"
"""
CSV = "sex,lb,f,full,sick\nM,180,98.6,45%,no\nF,90.5,32,7 %,yes\n9,x,,100,no\n"
FEATURES = (
    CategoryFeature("gender", ("male", "female")),
    NumberFeature("kg", 0.0, 100.0),
    NumberFeature("c", 0.0, 100.0),
    NumberFeature("full", 0.0, 1.0),
)
TARGET = ClassTarget("ill", ("no", "yes"))


def imported(folder: Path, content: str, renames: str = "", name: str = "ward.csv") -> Path:
    (folder / name).write_text(content)
    found = import_file(folder / name, folder, None, renames)
    return Blobs(folder).path(found.copy.digest)


def test_a_hospitals_columns_fit_a_jobs(tmp_path: Path) -> None:
    renames = encode_map(parse_map(MAP))
    found = import_file_of(tmp_path, CSV, renames)
    assert [name for name, _ in found.columns] == ["gender", "kg", "c", "full", "ill"]
    held = owned_rows(Blobs(tmp_path).path(found.copy.digest), FEATURES, TARGET, renames)
    assert held.unused.tolist() == [False, False, True]
    assert held.features[:2].tolist() == [
        [1.0, 0.0, 0.9, (98.6 * 0.5 - 16) / 100, 0.45],
        [0.0, 1.0, 0.4525, 0.0, 0.07],
    ]
    assert held.target[:2].tolist() == [0.0, 1.0]
    with pytest.raises(InputError, match="line 4: the cell is empty; one of male, female"):
        build_matrix(Blobs(tmp_path).path(found.copy.digest), FEATURES, TARGET, renames=renames)


def import_file_of(folder: Path, content: str, renames: str) -> Imported:
    (folder / "ward.csv").write_text(content)
    return import_file(folder / "ward.csv", folder, None, renames)


def test_without_a_map_nothing_changes(tmp_path: Path) -> None:
    copy = imported(tmp_path, CSV)
    assert read_mapped(copy, "").order == ("sex", "lb", "f", "full", "sick")
    assert encode_map(parse_map("[columns]\n")) == ""


def test_a_name_that_was_given_away_is_gone_and_two_may_change_places(tmp_path: Path) -> None:
    copy = imported(tmp_path, "a,b\n1,2\n")
    there = encode_map(parse_map('[columns]\na = "b"\nb = "a"\n'))
    table = read_mapped(copy, there, frozenset(["a"]))
    assert {name: cells.to_list() for name, cells in table.texts.items()} == {"a": ["2"]}
    away = encode_map(parse_map('[columns]\na = "x"\n'))
    assert read_mapped(copy, away, frozenset(["a", "b"])).order == ("x", "b")
    assert set(read_mapped(copy, away, frozenset(["a", "b"])).texts) == {"b"}
    with pytest.raises(InputError, match="2 columns would be called 'b'"):
        kinds_under(tmp_path, bytes.fromhex(copy.name), encode_map(parse_map('[columns]\na="b"\n')))
    with pytest.raises(InputError, match=r"there is no column 'z'; the file has 'a', 'b'"):
        kinds_under(tmp_path, bytes.fromhex(copy.name), encode_map(parse_map('[columns]\nz="b"\n')))


def test_decimal_commas_and_stored_numbers_are_mapped_as_what_they_are(tmp_path: Path) -> None:
    import polars as pl

    cells = pl.Series(["1.234,5", "0,5", "x", None, "12,5%"])
    lines = np.arange(5)
    table = Table("w", "line", lines, {}, {"v": cells}, ("v",), marks=Marks.COMMA)
    half = mapped(table, parse_map("[columns]\nv = { multiply = 0.5 }\n"))
    assert half.texts["v"].to_list() == ["617,25", "0,25", "x", None, "12,5%"]
    part = mapped(table, parse_map("[columns]\nv = { hundredths = true }\n"))
    assert part.texts["v"].to_list() == ["12,345", "0,005", "x", None, "0,125"]
    numbers = Table("w", "row", lines[:3], {"v": np.array([1.0, np.nan, 9.0])}, {}, ("v",))
    words = mapped(numbers, parse_map('[columns]\nv = { words = { "1" = "yes", "9" = "" } }\n'))
    assert words.texts["v"].to_list() == ["yes", None, None]
    assert mapped(numbers, parse_map("[columns]\nv = { offset = 1 }\n")).numbers["v"][0] == 2.0
    # What leaves float64's range is no number, and never the number that it was.
    far = mapped(numbers, parse_map("[columns]\nv = { multiply = 1e308 }\n"))
    assert np.isinf(far.numbers["v"][2])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("columns", "no TOML"),
        ("a = 1\n", "holds 'a'"),
        ("", r"no table \[columns\]"),
        ("[columns]\na = 5\n", "columns.a: is neither a name"),
        ("[columns]\na = { nam = 'b' }\n", "columns.a.nam: is no part"),
        ("[columns]\na = { name = '' }\n", "columns.a.name: a name has 1 to"),
        ("[columns]\na = { multiply = 0 }\n", "columns.a.multiply: is 0"),
        ("[columns]\na = { multiply = nan }\n", "columns.a.multiply: is no finite"),
        ("[columns]\na = { offset = true }\n", "columns.a.offset: is no finite"),
        ("[columns]\na = { hundredths = 1 }\n", "columns.a.hundredths: is neither"),
        ("[columns]\na = { hundredths = true, offset = 1 }\n", "columns.a: has hundredths"),
        ("[columns]\na = { offset = 1, words = { x = 'y' } }\n", "columns.a: has words and units"),
        ("[columns]\na = { words = 'x' }\n", "columns.a.words: is no table"),
        ("[columns]\na = { words = { x = 1 } }\n", "columns.a.words: is no table"),
        ("[columns]\na = { words = { '' = 'x' } }\n", "columns.a.words: an empty cell stays"),
        (
            "[columns]\na = { words = { x = 'y', ' x' = 'z' } }\n",
            "columns.a.words: 'x' stands twice",
        ),
        ("# " + "x" * 300_000, "at most"),
    ],
)
def test_a_map_that_is_none_is_refused_by_its_field(text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_map(text)
    assert re.search(says, f"{caught.value.field}: {caught.value}"), caught.value


word = st.text("abMF019. ", min_size=1, max_size=3).filter(lambda text: text.strip())
renamed = st.one_of(
    st.builds(
        Renamed,
        st.just("v"),
        st.sampled_from(["v", "w"]),
        st.sampled_from([1.0, -2.5, 1e300, 0.1]),
        st.sampled_from([0.0, 7.0, -1e-3]),
    ),
    st.builds(Renamed, st.just("v"), st.just("v"), hundredths=st.just(True)),
    st.dictionaries(word.map(str.strip), st.sampled_from(["", "male", "1", "b"]), max_size=3).map(
        lambda words: Renamed("v", "v", words=tuple(sorted(words.items())))
    ),
)
cell = st.one_of(
    st.none(), st.sampled_from(["M", "F", "0", "1.0", "1", "50%", "1e300", "-.5", "1,5", "NA", "b"])
)


@given(renamed, st.lists(cell, min_size=1, max_size=6), st.sampled_from(list(Marks)))
@examples(4)
def test_a_cell_becomes_the_same_whatever_stands_beside_it(
    said: Renamed, cells: list[str | None], marks: Marks
) -> None:
    import polars as pl

    columns = ColumnMap((said,))
    assert decode_map(encode_map(columns)) == columns

    def become(some: list[str | None]) -> list[str | None]:
        texts = {"v": pl.Series(some, dtype=pl.String)}
        table = Table("w", "line", np.arange(len(some)), {}, texts, ("v",), marks=marks)
        return mapped(table, columns).texts[said.name].to_list()

    assert become(cells) == [become([each])[0] for each in cells]
