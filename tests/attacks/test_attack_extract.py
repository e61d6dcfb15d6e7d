"""Copying a model on sale: what works without the blinding, and what labels still give away."""

from __future__ import annotations

import random

import numpy as np

from scripts.attacks import extract
from scripts.attacks.__main__ import ATTACKS


def test_the_table_holds_and_is_listed() -> None:
    assert ATTACKS["extract"] is extract.run
    table = extract.run(random.Random(3).randbytes)
    assert table.holds
    spelt, copied = table.rows
    assert spelt.without_defence.startswith("24 of 24")
    assert spelt.with_defence.startswith(("1 of 24", "2 of 24"))
    assert copied.without_defence == "same class on 100.0% of rows"
    assert "after 1,152 labels" in " ".join(table.notes)


def test_digits_are_read_as_they_were_written() -> None:
    digits = [(-1) ** i * i * 1000 for i in range(extract.FEATURES)]
    number = sum(digit << 25 * i for i, digit in enumerate(digits))
    assert extract.spelt(number, 25) == digits


def test_labels_alone_copy_more_with_every_label() -> None:
    rng = np.random.default_rng(5)
    few, many = (extract.retrained(count, rng) for count in (1, 16))
    assert few < 0.9 < many
