"""Measures by their definitions, written out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from protocol.arith.learning import measures, models
from protocol.arith.learning.models import Family, Model


def test_a_linear_model_has_r_squared_and_rmse_and_no_accuracy() -> None:
    model = Model(Family.LINEAR, 1)
    x, y = np.array([[0.0], [1.0], [2.0]]), np.array([0.0, 1.5, 2.0])
    found = measures.measure(model, np.array([1.0, 0.0]), x, y)
    mean = 3.5 / 3
    assert found.r_squared == pytest.approx(1 - 0.25 / sum((value - mean) ** 2 for value in y))
    assert found.rmse == pytest.approx(math.sqrt(0.25 / 3))
    assert (found.accuracy, found.auc, found.recall, found.rows) == (None, None, (), 3)


def test_recall_is_of_each_class_that_the_rows_hold() -> None:
    model = Model(Family.SOFTMAX, 1, 4)
    weights = np.array([0.0, 1.0, -1.0, 0.0, 0.5, 0.0, 0.0, -9.0])  # classes 0 to 2 by the sign
    x = np.array([[3.0], [3.0], [-3.0], [-3.0], [0.1], [3.0]])
    y = np.array([1.0, 1.0, 2.0, 1.0, 0.0, 2.0])
    found = measures.measure(model, weights, x, y)
    assert found.recall == ((0, 1.0), (1, pytest.approx(2 / 3)), (2, 0.5))
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.loss == models.loss(model, weights, x, y)
    assert (found.auc, found.r_squared, found.rmse) == (None, None, None)


@pytest.mark.parametrize("family", [Family.LOGISTIC, Family.SOFTMAX])
def test_auc_is_how_often_a_pair_is_in_order(family: Family) -> None:
    random = np.random.default_rng(5)
    model = Model(family, 2, 1 if family is Family.LOGISTIC else 2)
    x = random.integers(0, 4, (60, 2)).astype(float)  # many ties
    y = random.integers(0, 2, 60).astype(float)
    weights = random.normal(size=model.parameter_count)
    scores = models.scores(model, weights, x)
    order = scores[:, 0] if family is Family.LOGISTIC else scores[:, 1] - scores[:, 0]
    pairs = [
        (one > other) + 0.5 * (one == other) for one in order[y == 1] for other in order[y == 0]
    ]
    assert measures.measure(model, weights, x, y).auc == pytest.approx(np.mean(pairs))
    assert measures.measure(model, weights, x[y == 1], y[y == 1]).auc is None
