"""The attack `kind`: where a whole column decides, one row moves all others; read cell by cell,
none."""

from __future__ import annotations

import random

import numpy as np
import polars as pl
import pytest

from node.data import matrix
from node.data.cells import numbers_of
from node.data.table import Marks, Numbers
from protocol.arith.numbers.entropy import Entropy
from scripts.attacks import kind
from scripts.attacks.__main__ import ATTACKS


def seeded(seed: int) -> Entropy:
    return random.Random(seed).randbytes


def test_the_table_holds() -> None:
    table = kind.run(seeded(1))
    assert table.holds, table.as_text()
    assert ATTACKS[table.name] is kind.run
    assert [row.with_defence.split()[:3] for row in table.rows] == [
        ["moves", "by", "0"],
        ["move", "by", "0"],
        ["moves", "by", "1"],
    ]


def test_a_product_in_which_a_column_decides_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def decided(cells: pl.Series, marks: Marks = Marks.PLAIN) -> Numbers:
        found = numbers_of(cells, marks)
        return found if not np.isnan(found).any() else np.full(len(found), np.nan)

    assert kind.sealed_row(seeded(2)).holds
    monkeypatch.setattr(matrix, "numbers_of", decided)
    assert not kind.sealed_row(seeded(2)).holds
    assert not kind.open_row(seeded(2)).holds


def test_a_product_that_fills_in_a_mean_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, "by_filling", kind.by_mean)
    assert not kind.mean_row().holds
