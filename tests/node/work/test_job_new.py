"""`assay job new`: whatever table it is given, the spec that it writes is one that holds."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kits.examples import examples
from kits.paths import ROOT

from node.data.matrix import input_rows
from node.data.readers import read_file
from node.data.reading import Reading
from node.work.files import asked
from node.work.files.proposal import Column, Kind, propose
from node.work.files.sketch import outwards
from protocol.cost.weakness import weak
from protocol.errors import InputError
from protocol.spec.gaps import Missing, gap_rule
from protocol.spec.job import Family, Outside
from protocol.spec.parts import CategoryFeature, ClassTarget, NumberFeature, NumberTarget
from protocol.spec.toml import parse_toml

CASES = ROOT / "tests" / "cases" / "data"

PENGUINS = """\
row,island,bill_mm,sex,year,note,constant,species
1,Torgersen,39.1,male,2007,a b,x,Adelie
2,Torgersen,39.5,NA,2007,c,x,Adelie
3,Biscoe,,female,2008,d,x,Gentoo
4,Biscoe,50.2,female,2008,e "f",x,Gentoo
5,Dream,46.5,male,2009,g,x,Chinstrap
6,Dream,51.3,?,2009,h,x,Chinstrap
7,Dream,49.9,male,2009,i,x,Chinstrap
8,Dream,48.1,male,2007,j,x,Adelie
9,Biscoe,47.2,male,2008,k,x,Gentoo
"""


@pytest.fixture
def penguins(tmp_path: Path) -> Path:
    path = tmp_path / "penguins.csv"
    path.write_text(PENGUINS)
    return path


def test_a_tables_columns_become_a_spec_that_holds(penguins: Path) -> None:
    made = asked.propose_job(penguins, Reading(), None, "job.toml")
    terms = parse_toml(made.text).terms
    assert made.target == "species"
    assert made.guessed
    assert terms.target == ClassTarget("species", ("Adelie", "Chinstrap", "Gentoo"))
    assert terms.model.family is Family.SOFTMAX
    features = {feature.name: feature for feature in terms.features}
    assert set(features) == {"island", "bill_mm", "sex", "year", "note"}
    assert features["island"] == CategoryFeature("island", ("Biscoe", "Dream", "Torgersen"))
    assert features["sex"] == CategoryFeature("sex", ("female", "male"))  # gap words are none
    bill = features["bill_mm"]
    assert isinstance(bill, NumberFeature)
    assert bill.low < 39.1 < 51.3 < bill.high
    left_out = dict(made.left_out)
    assert set(left_out) == {"row", "constant"}
    assert "counts the rows" in left_out["row"]
    assert terms.privacy.noisy
    assert not list(weak(terms))
    for said in (
        "Declare what you know of the population",
        '# Gaps: "NA" in 1 rows, "?" in 1 rows',
        '# gaps = ["NA", "?"]',
        "# Gaps: empty in 1 rows",
        '# missing = "drop-row"',
        "# 'constant' is 'x' in every row",
    ):
        assert said in " ".join(made.text.replace("\n# ", " # ").split()), said
    table = read_file(penguins)
    rows = input_rows(table, terms.features, Outside.REFUSE)
    assert rows.unused.tolist() == [False, True, True, *[False] * 2, True, *[False] * 3]


def test_what_is_proposed_for_gaps_holds_once_it_is_declared(penguins: Path) -> None:
    """Its reader takes the comment signs away."""
    made = asked.propose_job(penguins, Reading(), None, "job.toml").text
    lines = [
        line.removeprefix("# ") if line.startswith(("# gaps = ", "# missing = ")) else line
        for line in made.splitlines()
    ]
    features = {each.name: each for each in parse_toml("\n".join(lines)).terms.features}
    sex, bill = gap_rule(features["sex"]), gap_rule(features["bill_mm"])
    assert (set(sex.words), sex.missing) == ({"NA", "?"}, Missing.DROP_ROW)
    assert (bill.words, bill.missing) == ((), Missing.DROP_ROW)


def test_a_target_is_taken_by_name_and_of_its_kind(penguins: Path) -> None:
    made = asked.propose_job(penguins, Reading(), "bill_mm", "job.toml")
    terms = parse_toml(made.text).terms
    assert (made.target, made.guessed) == ("bill_mm", False)
    assert isinstance(terms.target, NumberTarget)
    assert terms.model.family is Family.LINEAR
    years = parse_toml(asked.propose_job(penguins, Reading(), "year", "job.toml").text).terms
    assert years.target == ClassTarget("year", ("2007", "2008", "2009"))
    for target, why in (("wing", "no column is named 'wing'"), ("row", "counts the rows")):
        with pytest.raises(InputError, match=why) as raised:
            asked.propose_job(penguins, Reading(), target, "job.toml")
        assert raised.value.field == "target"


@pytest.mark.parametrize("case", ["codes.csv", "gaps.csv", "index-column.csv", "tabs.tsv"])
def test_files_as_people_have_them_become_specs(case: str) -> None:
    made = asked.propose_job(CASES / case, Reading(), None, "job.toml")
    assert parse_toml(made.text).terms.features


def test_typed_files_too(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "dose": [0.1, math.inf, 0.35, None],
            "all_inf": [math.inf] * 4,
            "flag": [True, False, True, None],
            "many": [[1], [2], [3], [4]],
            "y": [0, 1, 1, 0],
        }
    )
    frame.write_parquet(tmp_path / "rows.parquet")
    made = asked.propose_job(tmp_path / "rows.parquet", Reading(), "flag", "job.toml")
    terms = parse_toml(made.text).terms
    assert terms.target == ClassTarget("flag", ("0", "1"))  # true is 1, by value
    assert [feature.name for feature in terms.features] == ["dose", "y"]
    assert {name for name, _ in made.left_out} == {"all_inf", "many"}


@given(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300))
@example(0.1, 0.3)
@example(5e-324, 1e-323)
@example(1.0, float(np.nextafter(1.0, 2.0)))
@examples(1.0)
def test_a_proposed_range_holds_what_it_is_made_of(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    wide = outwards(low, high)
    assert wide[0] <= low <= high <= wide[1]
    if 1e-200 < high - low < 1e200:
        assert wide[1] - wide[0] <= 3.1 * (high - low)
    assert outwards(23.0, 89.0) == (20.0, 90.0)


WORDS = st.text(min_size=1, max_size=70)


@given(
    st.lists(
        st.builds(
            Column,
            WORDS,
            st.sampled_from(Kind),
            st.just(0.25),
            st.just(1e21),
            st.lists(st.text("ab\"\\'#\n é", min_size=1), max_size=3, unique=True).map(tuple),
            st.integers(0, 3),
            st.dictionaries(st.sampled_from(["NA", "?", "n/a"]), st.integers(1, 9)),
            st.text("why\n\x00#"),
        ),
        min_size=1,
        max_size=5,
        unique_by=lambda column: column.name,
    ),
    WORDS,
)
@examples(1.0)
def test_no_name_writes_anything_but_itself_into_a_spec(columns: list[Column], file: str) -> None:
    """Names and words of a file are text in the spec, whatever stands in them, or are left out."""
    try:
        text, target = propose(columns, None, file)
    except InputError:
        return
    terms = parse_toml(text).terms
    known = {column.name: column for column in columns}
    assert terms.target.name == target
    for feature in (*terms.features, terms.target):
        told = known[feature.name]
        if isinstance(feature, CategoryFeature):
            assert feature.categories == told.words
