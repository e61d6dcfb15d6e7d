"""The attack `duplicate` gets a budget for each copy without the comparison, and one with it."""

from __future__ import annotations

import random

import pytest

from node.privacy import prints
from scripts.attacks import duplicate
from scripts.attacks.__main__ import ATTACKS


def test_the_table_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicate, "COPIES", 5)
    table = duplicate.run(random.Random(1).randbytes)
    assert table.holds, table.as_text()
    assert ATTACKS[table.name] is duplicate.run
    _, epsilon, joined, forms = table.rows
    assert (joined.without_defence, joined.with_defence) == ("5", "1")
    assert epsilon.with_defence.endswith("(1 job)")
    assert forms.without_defence == "0 of 8"


def test_a_comparison_of_whole_rows_alone_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    """What finds copies of other columns is a part of the defence."""
    monkeypatch.setattr(prints, "_LEAST_COMMON", 1 << 40)
    entropy = random.Random(2).randbytes
    row = duplicate.forms_row(duplicate.people_of(200, entropy), entropy)
    assert not row.holds
    assert row.with_defence in {"4 of 8", "5 of 8"}
