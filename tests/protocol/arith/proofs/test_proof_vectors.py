"""tests/vectors/proofs.json, which plain integers made: rebuilt here, byte for byte."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from kits.paths import VECTORS

from protocol.arith.proofs.challenge import Challenge
from protocol.arith.proofs.prove import share_and_prove
from protocol.arith.proofs.statement import Statement
from protocol.arith.proofs.sums import open_sum, sum_shares
from protocol.arith.proofs.verify import decide, verify_word

CONTENT: dict[str, Any] = json.loads((VECTORS / "proofs.json").read_text())


@pytest.mark.parametrize("case", CONTENT["proofs"], ids=lambda case: str(case["statement"]))
def test_a_dealing_and_its_words_are_made_again(case: dict[str, Any]) -> None:
    statement = Statement(**case["statement"])
    for name in ("length", "wires", "bits", "rows"):
        assert getattr(statement, name) == case[name]
    seeds = [bytes.fromhex(seed) for seed in case["entropy"]]
    drawn = iter(seeds)
    binding = bytes.fromhex(case["binding"])
    integers = np.array(case["integers"], dtype=np.int64)
    dealing = share_and_prove(statement, integers, binding, lambda count: next(drawn))
    assert next(drawn, None) is None
    assert dealing.commitments.hex() == case["commitments"]
    challenge = Challenge(statement, binding, dealing.commitments)
    assert [str(point) for point in challenge.points] == case["points"]
    words = [
        verify_word(statement, binding, dealing.commitments, position, piece)
        for position, piece in enumerate(dealing.pieces)
    ]
    assert [word.hex() for word in words] == case["words"]
    if case["pieces"] is not None:
        assert [piece.hex() for piece in dealing.pieces] == case["pieces"]
        sums = [sum_shares(statement, [piece, piece]) for piece in dealing.pieces]
        assert [data.hex() for data in sums] == case["sums of two"]
        opened = open_sum(statement, enumerate(sums), 2)
        assert opened.integers is not None
        assert opened.integers.tolist() == [2 * number for number in case["integers"]]


@pytest.mark.parametrize("case", CONTENT["verdicts"], ids=lambda case: str(case["name"]))
def test_a_verdict_is_the_one_that_is_expected(case: dict[str, Any]) -> None:
    words = [
        (position, bytes.fromhex(word))
        for position, word in enumerate(case["words"])
        if word is not None
    ]
    found = decide(
        Statement(**case["statement"]),
        bytes.fromhex(case["binding"]),
        bytes.fromhex(case["commitments"]),
        words,
    )
    assert found.outcome.value == case["outcome"]
    assert found.differing == set(case["differing"])
    assert found.liars == set(case["liars"])
    assert found.reason == case["reason"]
