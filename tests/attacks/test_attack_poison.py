"""The attack `poison`: what is too long is named and not paid; what is within the bound passes."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from protocol.arith.numbers.entropy import Entropy
from protocol.arith.proofs.verify import Outcome, Verdict
from scripts.attacks import poison, poisoned
from scripts.attacks.__main__ import ATTACKS
from scripts.attacks.poison import KINDS, TIGHT, run
from scripts.attacks.poisoned import CLIP, Block, Job, bound_of
from scripts.attacks.table import Row, Table

FIVE = ((5, 1),)
HUGE, FLIPS, LONG = KINDS[0], KINDS[1], KINDS[2]
TIGHT_LONG = next(kind for kind in KINDS if kind.length == TIGHT)
SEEDS = bytes(range(32))


def seeded(seed: int) -> Entropy:
    return random.Random(seed).randbytes


def test_what_is_too_long_is_named_and_what_is_not_passes() -> None:
    table = run(seeded(1), FIVE, (HUGE, FLIPS, LONG, TIGHT_LONG), rounds=3)
    assert table.holds, table.as_text()
    assert ATTACKS[table.name] is run
    assert [row.holds for row in table.rows] == [True, None, None, True]
    assert all(row.without_defence.endswith("paid 3 of 3, named 0 of 1") for row in table.rows)
    assert [row.with_defence.split("; ")[1] for row in table.rows] == [
        "paid 0 of 3, named 1 of 1",
        "paid 3 of 3, named 0 of 1",
        "paid 3 of 3, named 0 of 1",
        "paid 0 of 3, named 1 of 1",
    ]


def test_a_verdict_that_lets_everything_pass_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def passes(*_: Any) -> Verdict:
        return Verdict(Outcome.PASSED, frozenset(), frozenset(), "")

    monkeypatch.setattr(poisoned, "decide", passes)
    # The sum that opens is still held to the norm of a sum: long, and not too long for that.
    table = run(seeded(2), FIVE, (TIGHT_LONG._replace(poison=poisoned.vouched_flip),), rounds=2)
    assert [row.holds for row in table.rows] == [False]


def test_an_honest_owner_that_is_named_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Verdict:
        return Verdict(Outcome.FAILED, frozenset(), frozenset(), "")

    base = Job(5, 1, None, 1).run(SEEDS, seeded(3))
    before = Job(5, 1, poisoned.huge, 1).run(SEEDS, seeded(3))
    job = Job(5, 1, poisoned.huge, 1, bound_of(CLIP))
    after = job.run(SEEDS, seeded(3))
    assert poison.stopped(base, before, after, 1, opens=False)
    # All fail but the last owner, whose proof is not looked at.
    monkeypatch.setattr(
        Block, "verdict", lambda self, dealer, *_: fails() if dealer < 4 else passed()
    )
    wrong = job.run(SEEDS, seeded(3))
    assert wrong.named == {0, 1, 2, 3}
    assert not poison.stopped(base, before, wrong, 1, opens=False)


def passed() -> Verdict:
    return Verdict(Outcome.PASSED, frozenset(), frozenset(), "")


def test_two_liars_pass_each_other_in_a_block_of_five_and_not_in_one_of_ten() -> None:
    """Five admit c = 1 (docs/spec/proofs.md): the promise ends there, and this is how."""
    for owners, outcome in ((5, Outcome.PASSED), (10, Outcome.FAILED)):
        job = Job(owners, 2, poisoned.vouched_flip, 1, bound_of(TIGHT), TIGHT)
        vector = np.full(poisoned.MODEL.parameter_count, CLIP, dtype=np.int64)
        binding = bytes(32)
        alone = Block(job.statement)
        dealing = alone.dealing(vector, binding, seeded(4))
        assert alone.verdict(0, dealing, binding).outcome is Outcome.FAILED
        together = Block(job.statement, frozenset({0, 1}))
        found = together.verdict(0, dealing, binding)
        assert (job.corrupt, found.outcome) == ({5: 1, 10: 2}[owners], outcome)
        # An honest dealer passes beside them, and is not named.
        honest = together.dealing(vector // CLIP, binding, seeded(5))
        assert together.verdict(4, honest, binding).outcome is Outcome.PASSED


def test_the_poisons_are_as_long_as_they_say() -> None:
    lengths: dict[str, float] = {}

    def noted(kind: poison.Kind, bound: int) -> None:
        def send(view: poisoned.View, entropy: Entropy) -> Any:
            found = kind.poison(view, entropy)
            lengths[kind.what] = float(np.linalg.norm(found.astype(np.float64))) / CLIP
            return found

        Job(5, 1, send, 1, bound, kind.length).run(SEEDS, seeded(6))

    for kind in KINDS:
        noted(kind, bound_of(kind.length))
    assert 101 < lengths["norm x 102"] < 102
    assert 0.99 < lengths["sign flips, as long as clip_norm"] <= 1
    assert 0.009 < lengths["sign flips, as long as passes"] <= bound_of(TIGHT) / CLIP
    assert lengths["zeros"] == 0
    assert lengths["sign flips"] < 0.1


def test_a_row_that_is_told_claims_nothing() -> None:
    told, held = Row("a", "b", "c", None), Row("a", "b", "c", True)
    assert not Table("t", "T", [told]).holds
    assert Table("t", "T", [told, held]).holds
    assert not Table("t", "T", [told, held, Row("a", "b", "c", False)]).holds
    assert "told" in Table("t", "T", [told]).as_text()
    assert Table("t", "T", [told]).as_json()["rows"] == [
        {"what": "a", "without the defence": "b", "with it": "c", "holds": None}
    ]


@pytest.mark.long
def test_the_whole_table_holds() -> None:
    table = run(seeded(7))
    assert table.holds, table.as_text()
    assert len(table.rows) == len(KINDS) + 2
