"""Worth by vectors that other code made: values of a round, estimates, errors, worths."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from kits.paths import VECTORS

from protocol.arith.learning import worth
from protocol.arith.learning.models import Family, Model
from protocol.arith.learning.training import Training
from protocol.arith.learning.worth_fit import estimate
from protocol.arith.learning.worth_record import append, decode

MADE = json.loads((VECTORS / "worth.json").read_text())


@pytest.mark.parametrize("case", MADE["rounds"])
def test_a_rounds_values_are_the_vectors(case: dict[str, Any]) -> None:
    blocks = [(np.array(each["gradient"]), each["members"]) for each in case["blocks"]]
    training = Training(1, 10, case["rate"], 10.0)
    found = worth.measure(
        Model(Family.SOFTMAX, 2, 3),
        np.array(case["weights"]),
        None,
        training,
        blocks,
        np.array(case["x"]),
        np.array(case["y"]),
        bytes(32),
        np.array(case["before"]),
    )
    assert np.array(found) == pytest.approx(np.array(case["values"]), rel=1e-12)


@pytest.mark.parametrize("case", MADE["jobs"])
def test_members_worths_are_the_vectors(case: dict[str, Any]) -> None:
    record: bytes | None = None
    for number, (blocks, values, own) in enumerate(
        zip(case["blocks"], case["values"], case["own"], strict=True)
    ):
        record = append(
            record, number, list(zip(blocks, zip(values, own, strict=True), strict=True))
        )
    assert record is not None
    observed = worth.observations(decode(record))
    for values, made in zip((observed.values, observed.own), case["estimates"], strict=True):
        told = estimate(observed, values, case["members"])
        assert told.worths == pytest.approx(np.array(made["worths"]), rel=1e-9)
        assert told.errors == pytest.approx(np.array(made["errors"]), rel=1e-9)
    found = worth.worth_of_members(record, case["members"], shuffled=True)
    assert found == pytest.approx(case["worths"], rel=1e-7, abs=1e-9)
