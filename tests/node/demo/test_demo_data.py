"""The demo's data: a split is a function of its seed, and unequal; files hold what was split."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from node.demo.recipes.columns import TABLES, DataName
from node.demo.recipes.data import MIN_ROWS, load, split, write_csv
from node.demo.recipes.job import ACCEPTING, OWNERS, RECIPES, ModelName, spec
from protocol.spec.toml import parse_toml

DATA: list[DataName] = ["digits", "breast-cancer"]


@pytest.mark.parametrize("name", DATA)
def test_every_row_goes_to_exactly_one(name: DataName) -> None:
    rows = load(name)
    for seed in range(20):
        found = split(rows.y, OWNERS, seed, rows.table.holdout)
        together = np.concatenate([found.holdout, *found.parts])
        assert sorted(together) == list(range(len(rows.y)))
        assert len(found.parts) == OWNERS
        assert len(found.holdout) == round(rows.table.holdout * len(rows.y))
        assert min(len(part) for part in found.parts) >= MIN_ROWS


@pytest.mark.parametrize("name", DATA)
def test_a_split_is_a_function_of_its_seed(name: DataName) -> None:
    rows = load(name)
    first, again, other = (split(rows.y, OWNERS, seed, rows.table.holdout) for seed in (3, 3, 4))
    assert [list(part) for part in first.parts] == [list(part) for part in again.parts]
    assert list(first.holdout) == list(again.holdout)
    assert list(first.holdout) != list(other.holdout)


@pytest.mark.parametrize("name", DATA)
def test_owners_differ_in_size_and_balance(name: DataName) -> None:
    rows = load(name)
    for seed in range(20):
        parts = [rows.take(part) for part in split(rows.y, OWNERS, seed, rows.table.holdout).parts]
        sizes = [len(part.y) for part in parts]
        assert max(sizes) > 1.5 * min(sizes)
        shares = np.array([np.array(part.balance()) / len(part.y) for part in parts])
        # An even split of so few rows would stay within a few points of the whole set's balance.
        assert (shares.max(axis=0) - shares.min(axis=0)).max() > 0.1


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="100 rows are too few for 6 owners"):
        split(np.zeros(100, dtype=np.int64), OWNERS, 1, 0.2)


def test_the_pool_is_the_owners_that_take_part() -> None:
    rows = load("digits")
    found = split(rows.y, OWNERS, 1, rows.table.holdout)
    pooled = set(found.together(ACCEPTING))
    assert pooled == {row for part in found.parts[:ACCEPTING] for row in part}
    assert not pooled & set(found.holdout)


@pytest.mark.parametrize("name", DATA)
def test_declared_ranges_hold_every_value(name: DataName) -> None:
    inputs = load(name).inputs()
    assert inputs.min() >= 0.0
    assert inputs.max() <= 1.0


@pytest.mark.parametrize("name", DATA)
def test_a_file_holds_the_rows(name: DataName, tmp_path: Path) -> None:
    rows = load(name).take(np.arange(25))
    path = tmp_path / "part.csv"
    write_csv(path, rows)
    with path.open(newline="") as file:
        header, *lines = csv.reader(file)
    assert header == [*(column.name for column in rows.table.columns), rows.table.target]
    assert np.array_equal([[float(value) for value in line[:-1]] for line in lines], rows.x)
    assert [rows.table.classes.index(line[-1]) for line in lines] == list(rows.y)


@pytest.mark.parametrize(("name", "model"), RECIPES)
def test_the_posted_spec_is_valid(name: DataName, model: ModelName) -> None:
    table, recipe = TABLES[name], RECIPES[name, model]
    terms = parse_toml(spec(table, recipe)).terms
    assert terms.columns[-1] == table.target or table.target in terms.columns
    assert len(terms.features) == len(table.columns)
    assert terms.training.rounds == recipe.rounds
    assert terms.training.momentum == recipe.momentum
    assert terms.model.hidden == recipe.hidden
    assert (terms.cohort.min_owners, terms.cohort.max_owners) == (ACCEPTING, OWNERS)


def test_rounds_can_be_chosen() -> None:
    recipe = RECIPES["digits", "softmax"]
    assert recipe.with_rounds(None) is recipe
    assert recipe.with_rounds(3).rounds == 3
