"""Prints of rows find the same rows in another file, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.examples import examples

from node.data.frames import cells_of
from node.data.readers import read_file
from node.data.table import Marks, Table
from node.privacy import prints
from node.privacy.prints import decode_sketch, encode_sketch, shared_part, sketch_of
from protocol.errors import InputError

KEY = b"k" * 32

Rows = list[list[str]]


def people(seed: int, count: int = 300, columns: int = 8) -> Rows:
    """Records of people: an age, a sex, and measurements."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        measured = [f"{value:.2f}" for value in rng.normal(50, 15, columns - 2)]
        rows.append([str(rng.integers(18, 90)), str(rng.choice(["f", "m"])), *measured])
    return rows


def table(rows: Rows, names: Sequence[str] = (), marks: Marks = Marks.PLAIN) -> Table:
    """Text as a CSV has it."""
    names = names or NAMES[: len(rows[0])]
    texts = {
        name: cells_of(pl.Series([row[index] for row in rows], dtype=pl.String))
        for index, name in enumerate(names)
    }
    lines = np.arange(2, len(rows) + 2, dtype=np.int64)
    return Table("x.csv", "line", lines, {}, texts, tuple(names), marks=marks)


NAMES = [f"c{index}" for index in range(40)]


def part(one: Rows, other: Rows, names: Sequence[str] = ()) -> float:
    return shared_part(sketch_of(table(one), KEY), sketch_of(table(other, names), KEY))


WARD = people(1)


def without(rows: Rows, *columns: int) -> Rows:
    return [[cell for index, cell in enumerate(row) if index not in columns] for row in rows]


def shuffled(rows: Rows) -> Rows:
    order = np.random.default_rng(5).permutation(len(rows))
    return [rows[index] for index in order]


ALIKE: dict[str, tuple[Rows, float]] = {
    "one row more": ([*WARD, people(2, 1)[0]], 1.0),
    "shuffled": (shuffled(WARD), 1.0),
    "columns in another order and of other names": ([row[::-1] for row in WARD], 0.9),
    "numbers written otherwise": ([[f"{c}0" if "." in c else c for c in row] for row in WARD], 1),
    "words written otherwise": ([[c.upper() + " " for c in row] for row in WARD], 1.0),
    "an empty column more": ([[*row, ""] for row in WARD], 1.0),
    "NA for nothing": ([[*row, "NA"] for row in WARD], 1.0),
    "a half of the rows": (WARD[::2], 1.0),
    "a tenth of the rows among others": ([*WARD[:60], *people(3, 240)], 0.2),
    "one column less": (without(WARD, 3), 0.4),
    "the sex left out": (without(WARD, 1), 0.4),
    "two columns less": (without(WARD, 3, 4), 0.2),
    "a constant column more": ([[*row, "north"] for row in WARD], 0.4),
    "a column of numbers more": ([[*row, str(i)] for i, row in enumerate(WARD)], 0.4),
    "some of all this": (shuffled([[*row[::-1], "north"] for row in without(WARD, 6)][:100]), 0.15),
}


@pytest.mark.parametrize("name", ALIKE)
def test_copies_are_found(name: str) -> None:
    copy, least = ALIKE[name]
    assert part(WARD, copy) >= least
    assert part(copy, WARD) == part(WARD, copy)


@pytest.mark.parametrize("seed", range(3))
def test_a_copy_of_fewer_columns_is_found_by_those_that_are_left(seed: int) -> None:
    wide = people(seed, 300, 16)
    for gone, least in ((1, 0.4), (2, 0.3), (4, 0.2), (8, 0.1)):
        left = np.random.default_rng(seed).permutation(16)[gone:].tolist()
        copy = [[row[column] for column in left] for row in wide]
        assert part(wide, copy, [NAMES[column] for column in left]) > least
    assert part(wide, people(seed + 50, 300, 16)) < 0.02


@pytest.mark.parametrize(
    ("gone", "missing", "other"),
    [
        (4, 0.4, 0.6),
        (16, 0.4, 0.25),
        (17, 0.4, 0.25),
        (24, 0.3, 0.15),
        (33, 0.2, 0.1),
        (45, 0.1, 0),
    ],
)
def test_a_wide_table_of_which_many_columns_are_gone_or_others(
    gone: int, missing: float, other: float
) -> None:
    """A hundred columns: two exports of the same people, as docs/adr/0502 says what is found."""
    wide, names = people(1, 500, 100), [f"c{index}" for index in range(100)]
    rng = np.random.default_rng(7)
    chosen = set(rng.permutation(100)[:gone].tolist())
    left = [column for column in range(100) if column not in chosen]
    fewer = [[row[column] for column in left] for row in wide]
    changed = [
        [
            f"{rng.normal(50, 15):.2f}" if column in chosen else cell
            for column, cell in enumerate(row)
        ]
        for row in wide
    ]

    def found(rows: Rows, names_: Sequence[str]) -> float:
        return shared_part(sketch_of(table(wide, names), KEY), sketch_of(table(rows, names_), KEY))

    assert found(fewer, [names[column] for column in left]) > missing
    assert found(changed, names) >= other
    # Names alone: whole rows without them are the same.
    renamed = [f"{name}x" if column in chosen else name for column, name in enumerate(names)]
    assert found(wide, renamed) > 0.9
    assert found(people(2, 500, 100), names) < 0.02


def test_a_sketch_of_an_earlier_assay_is_read_without_what_it_lacks() -> None:
    now = sketch_of(table(WARD), KEY)
    # Three cells and six, which stand behind the first ten and bear a mark.
    read = decode_sketch(b"".join(encode_sketch([each]) for each in (*now[:10], *now[12:])))
    assert len(read) == len(now)
    assert [len(each.prints) for each in read[10:12]] == [0, 0]
    assert shared_part(read, now) == shared_part(now, read) == 1.0
    narrow = sketch_of(table(without(WARD, 3)), KEY)
    assert shared_part(read, narrow) > 0.4
    again = decode_sketch(encode_sketch(read))
    assert [len(each.prints) for each in again] == [len(each.prints) for each in read]


@pytest.mark.parametrize("gone", range(5))
def test_a_narrow_table_without_any_one_column_is_found(gone: int) -> None:
    """A number, an age, a sex, a ward and a dose: no half of the cells tells these rows apart."""

    def patients(seed: int) -> Rows:
        rng = np.random.default_rng(seed)
        cells = zip(
            rng.integers(0, 10**6, 300).tolist(),
            rng.integers(18, 90, 300).tolist(),
            rng.choice(["f", "m"], 300).tolist(),
            rng.choice(["north", "south", "east"], 300).tolist(),
            rng.integers(0, 200, 300).tolist(),
            strict=True,
        )
        return [[str(cell) for cell in row] for row in cells]

    names = [name for column, name in enumerate(NAMES[:5]) if column != gone]
    assert part(patients(1), without(patients(1), gone), names) > 0.5
    assert part(without(patients(1), gone), without(patients(2), gone)) < 0.05


@pytest.mark.parametrize("seed", range(3, 9))
def test_other_people_share_nothing(seed: int) -> None:
    assert part(WARD, people(seed)) < 0.05
    assert part(WARD, people(seed, 40)) < 0.1
    assert part(WARD, people(seed, 3000)) < 0.05


def test_rows_that_say_little_are_compared_whole() -> None:
    """Six columns of two words: any two cells agree with somebody's, and selections tell nothing.

    Whole rows agree by chance just as well: then the budget is shared, to be safe.
    """
    rng = np.random.default_rng(4)
    one, other = (rng.choice(["yes", "no"], (400, 6)).tolist() for _ in range(2))
    assert part(one, other) > 0.9
    wide, unlike = (rng.choice(["yes", "no"], (400, 30)).tolist() for _ in range(2))
    assert part(wide, unlike) < 0.1


def test_one_file_in_every_format_is_the_same(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "age": [30, 41, 52, 63],
            "dose": [0.1, 2.5, 1e-3, 17.25],
            "smokes": [True, False, None, True],
            "ward": ["North", "south", "east", None],
        }
    )
    frame.write_csv(tmp_path / "a.csv")
    frame.cast({"dose": pl.Float32}).write_parquet(tmp_path / "a.parquet")
    frame.cast({"age": pl.Float64}).write_ipc(tmp_path / "a.arrow")
    (tmp_path / "comma.csv").write_text(
        "age;dose;smokes;ward\n30;0,1;TRUE;NORTH\n41;2,5;false;South\n"
        "52;0,001;NA;east\n63;17,25;true;?\n"
    )
    files = [read_file(tmp_path / name) for name in ("a.csv", "a.parquet", "a.arrow", "comma.csv")]
    first, *others = (sketch_of(each, KEY) for each in files)
    assert len(first[0].prints) == 4
    assert [shared_part(first, each) for each in others] == [1.0, 1.0, 1.0]


def test_another_key_is_another_print() -> None:
    one, other = sketch_of(table(WARD), KEY), sketch_of(table(WARD), b"j" * 32)
    assert shared_part(one, other) == 0.0
    assert np.array_equal(sketch_of(table(WARD), KEY)[0].prints, one[0].prints)


def test_empty_rows_are_no_people() -> None:
    gaps = [["", "NA", "?"]] * 50
    assert part([*gaps, ["1", "2", "3"]], [*gaps, ["4", "5", "6"]]) == 0.0
    assert part(gaps, gaps) == 0.0


@given(
    st.integers(20, 400),
    st.integers(20, 400),
    st.floats(0, 1),
    st.sampled_from([64, 128, 1 << 18]),
)
@examples(0.3)
def test_the_estimate_is_near_the_share(first: int, second: int, share: float, kept: int) -> None:
    """Exact where all prints are kept; else within what so many samples allow."""
    common = int(share * min(first, second))
    one, other = people(1, first), people(2, second)
    other[:common] = one[:common]
    sketches = [sketch_of(table(rows), KEY, whole=kept, part=16) for rows in (one, other)]
    truth = common / min(first, second)
    found = shared_part(*sketches)
    if kept >= max(first, second):
        assert found >= truth
        assert found <= max(truth, 1.0 if common else 0.0)
    samples = kept * min(first, second) / max(first, second)
    assert found >= truth - 4.5 * np.sqrt(0.25 / max(samples, 1)) - 0.02
    back = tuple(decode_sketch(encode_sketch(each)) for each in sketches)
    assert shared_part(*back) == found


def test_a_few_rows_are_found_in_a_great_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prints, "_ROWS_AT_ONCE", 1000)  # several steps
    few = people(1, 40)
    many = [*people(2, 6000), *few]
    small, large = sketch_of(table(few), KEY), sketch_of(table(many), KEY)
    assert shared_part(small, large) == 1.0
    cut = sketch_of(table(many), KEY, whole=2000, part=500)
    assert cut[0].distinct == pytest.approx(6040, rel=0.1)
    assert shared_part(small, cut) > 0.9
    nobody = sketch_of(table(people(3, 40)), KEY)
    assert shared_part(nobody, cut) == 0.0


def test_a_damaged_sketch_is_refused() -> None:
    content = encode_sketch(sketch_of(table(WARD[:5]), KEY))
    for wrong in (content[:-1], content + b"x", b"", content * 5):
        with pytest.raises(InputError, match="sketch"):
            decode_sketch(wrong)
