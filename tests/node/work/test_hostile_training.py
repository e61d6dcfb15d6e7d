"""What a requester's choice of weights, or a second try, could draw out of one owner's training."""

from __future__ import annotations

import secrets
from pathlib import Path

import numpy as np
import pytest
from kits.books import make_spec

from node.store.blobs import Blobs
from node.work import tasks
from protocol.arith import kernels
from protocol.arith.learning.models import Family, Model
from protocol.arith.learning.training import Training
from protocol.arith.numbers.entropy import from_seed
from protocol.arith.numbers.vectors import Kind, encode_vector
from protocol.spec.job import encode_spec

SPEC = make_spec()


@pytest.mark.parametrize("value", [0.2, 0.9])
def test_weights_that_overflow_for_some_rows_only_tell_nothing_outside_the_sum(
    value: float,
) -> None:
    """w x is beyond float64's range for 0.9, and within it for 0.2: were the one refused and the
    other contributed to, a requester would read a row of one owner from the refusal."""
    model, weights = Model(Family.LINEAR, 2), np.array([1.2e308, 1.2e308, 0.0])
    x = np.full((8, 2), 0.1)
    x[0] = value
    found, facts = kernels.train(
        model,
        encode_vector(Kind.MODEL, weights),
        x,
        np.zeros(8),
        Training(1, 8, 1.0, 1.0),
        tasks.envelope_of(SPEC),
        bytes(32),
        secrets.token_bytes,
    )
    assert found.tolist() == [0, 0, 0]
    assert facts.gradient_norm == 0.0


def test_a_second_try_has_the_same_integers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two batches under the masks of one attempt must have no difference to be read."""
    rows = tasks.Rows(tmp_path, bytes(32), "ward")
    x, y = np.linspace(0.0, 1.0, 50)[:, None], np.arange(50.0) % 2
    monkeypatch.setattr(tasks, "matrix_of", lambda spec, rows: (x, y))
    work = tasks.Work(tmp_path, encode_spec(SPEC))
    model = Blobs(tmp_path).put(kernels.initial_model(tasks.model_of(SPEC), SPEC.seed))
    one, two, other = (
        tasks.integers_of(work, tasks.Gradient(rows, model, bytes([seed]) * 32))[0]
        for seed in (1, 1, 2)
    )
    assert one.tolist() == two.tolist()
    assert one.tolist() != other.tolist()


def test_entropy_from_a_seed_is_another_with_each_call_purpose_and_seed() -> None:
    first, second = (from_seed(bytes(32), "rounding") for _ in range(2))
    told = [
        first(16),
        first(16),
        from_seed(bytes(32), "other")(16),
        from_seed(b"1" * 32, "rounding")(16),
    ]
    assert len(set(told)) == 4
    assert second(16) == told[0]
