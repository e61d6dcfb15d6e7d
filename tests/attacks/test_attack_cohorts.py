"""Attacks on blocks and cohorts: they read owners without a defence, and nothing with it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from protocol.arith import kernels
from protocol.arith.numbers.entropy import Entropy
from protocol.owner import attempt, release
from protocol.policy import policy
from scripts.attacks import aggregated, differ, dropouts, puppets
from scripts.attacks.__main__ import ATTACKS
from scripts.attacks.aggregated import Block, gradient, owners_rows
from scripts.attacks.table import Table

RUNS: dict[str, Callable[[Entropy], Table]] = {
    "differ": differ.run,
    "dropouts": dropouts.run,
    "puppets": puppets.run,
}


def seeded(seed: int) -> Entropy:
    return random.Random(seed).randbytes


@pytest.mark.parametrize("name", RUNS)
def test_the_table_holds(name: str) -> None:
    table = RUNS[name](seeded(1))
    assert table.holds, table.as_text()
    assert table.name == name
    assert ATTACKS[name] is RUNS[name]


def test_what_is_read_without_the_defences() -> None:
    assert [row.without_defence for row in puppets.run(seeded(2)).rows] == [
        "1300 of 1300 (privacy.corrupt = 0)",
        "accept (corrupt_least=0)",
    ]
    assert differ.run(seeded(2)).rows[0].without_defence == "650 of 650 numbers"
    assert [row.without_defence for row in dropouts.run(seeded(2)).rows] == [
        "the sum of 2 of the four"
    ] * 2


@pytest.mark.parametrize(
    ("name", "default"), [("puppets", "DEFAULT_CORRUPT_LEAST"), ("differ", "DEFAULT_NO_NOISE_JOBS")]
)
def test_a_default_that_gives_way_is_seen(
    name: str, default: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, default, 0 if name == "puppets" else 2)
    assert not RUNS[name](seeded(3)).holds


@pytest.mark.parametrize(
    ("broken", "holds"),
    [
        ((attempt,), [True, True]),  # whoever contributes to such a roster still releases nothing
        ((release,), [True, False]),
        ((attempt, release), [False, False]),
    ],
)
def test_a_place_in_which_known_members_are_not_asked_for_is_seen(
    broken: tuple[Any, ...], holds: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in broken:
        monkeypatch.setattr(module, "too_few_known", lambda turn, members, where: "")
    assert [row.holds for row in dropouts.run(seeded(4)).rows] == holds
    assert dropouts.contributes(7, (0, 1, 2, 3, 6, 7), 3) is (attempt in broken)


def test_a_sum_opens_by_a_threshold_of_shares_and_by_no_fewer() -> None:
    entropy = seeded(5)
    block = Block(5, 1, entropy)
    assert block.threshold == 4
    weights = kernels.initial_model(aggregated.MODEL, bytes(32))
    numbers = [gradient(rows, weights, block, entropy) for rows in owners_rows(5, entropy)]
    batches = {m: block.batch(m, numbers[m], block.everybody) for m in block.everybody}
    found = block.opened(batches, block.everybody, block.everybody[:4])
    assert found is not None
    assert np.array_equal(found, np.sum(numbers, axis=0))
    assert block.opened(batches, block.everybody, block.everybody[:3]) is None
    assert block.alone(4, batches[4], block.everybody, block.everybody[:3]) is None
    read = block.alone(4, batches[4], block.everybody, block.everybody[:4])
    assert read is not None
    assert np.array_equal(read, numbers[4])
