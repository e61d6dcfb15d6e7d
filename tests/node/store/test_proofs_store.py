"""Words once an attempt, one sum a round: for ever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.store import proofs
from node.store.store import Store
from protocol.errors import FatalError

JOB, ONE, OTHER = b"j" * 32, b"1" * 32, b"2" * 32


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "assay.db") as opened:
        yield opened


def test_words_are_said_on_one_list_of_dealings_an_attempt(store: Store) -> None:
    for _ in range(2):
        with store.transaction() as tx:
            proofs.record_words(tx, JOB, 3, 0, ONE, ONE)
    for wrong in ((OTHER, ONE), (ONE, OTHER)):
        with pytest.raises(FatalError, match="words on other dealings"), store.transaction() as tx:
            proofs.record_words(tx, JOB, 3, 0, *wrong)
    with store.transaction() as tx:
        proofs.record_words(tx, JOB, 3, 1, OTHER, OTHER)  # another attempt is another dealing


def test_one_sum_of_one_set_leaves_a_round(store: Store) -> None:
    for _ in range(2):
        with store.transaction() as tx:
            proofs.record_sum(tx, JOB, 3, 1, ONE, ONE)
    for wrong in ((0, ONE, ONE), (1, OTHER, ONE), (1, ONE, OTHER), (2, OTHER, OTHER)):
        with pytest.raises(FatalError, match="a sum was released"), store.transaction() as tx:
            proofs.record_sum(tx, JOB, 3, *wrong)
    with store.transaction() as tx:
        proofs.record_sum(tx, JOB, 4, 0, OTHER, OTHER)
