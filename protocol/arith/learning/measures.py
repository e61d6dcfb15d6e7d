"""How good a model is on rows that somebody holds, by the names that its family's measures have.

Classifiers: accuracy, log loss, each class's recall (the share of its rows that are found), and
between two classes the AUC. Linear models: R^2, and the RMSE in the target's own scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protocol.arith.learning import models
from protocol.arith.learning.models import Family, Floats, Model


@dataclass(frozen=True, slots=True)
class Measures:
    """None stands for what the family, or these rows, do not have.

    `loss` is the family's own without ridge: a classifier's log loss, half a linear model's mean
    squared error. `accuracy` and `auc` lie in [0, 1]; `r_squared` is at most 1; `rmse` is that of
    targets from 0 to 1. `recall` has (class, share) of every class that the rows hold.
    """

    rows: int
    loss: float
    accuracy: float | None = None
    auc: float | None = None
    recall: tuple[tuple[int, float], ...] = ()
    r_squared: float | None = None
    rmse: float | None = None


def measure(model: Model, weights: Floats, x: Floats, y: Floats) -> Measures:
    """Of rows as `models.check_rows` gives them."""
    rows, loss = len(x), models.loss(model, weights, x, y)
    if model.family is Family.LINEAR:
        error = models.scores(model, weights, x)[:, 0] - y
        return Measures(
            rows,
            loss,
            r_squared=models.accuracy(model, weights, x, y),
            rmse=float(np.sqrt(np.mean(error**2))),
        )
    found = models.scores(model, weights, x)
    one_output = model.family is Family.LOGISTIC
    right = (found[:, 0] > 0.0 if one_output else found.argmax(axis=1)) == y
    order = found[:, 0] if one_output else found[:, 1] - found[:, 0]
    return Measures(
        rows,
        loss,
        accuracy=models.accuracy(model, weights, x, y),
        auc=area(order, y == 1) if model.classes == 2 else None,
        recall=tuple(
            (each, float(right[y == each].mean())) for each in np.unique(y).astype(int).tolist()
        ),
    )


def area(scores: Floats, positive: np.typing.NDArray[np.bool_]) -> float | None:
    """The area under the ROC curve: how often a positive row's score is above a negative one's,
    ties counted half (Mann and Whitney 1947). None where either kind is missing."""
    ones = int(np.count_nonzero(positive))
    zeros = len(positive) - ones
    if not ones or not zeros:
        return None
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks = (last - (count - 1) / 2.0)[place]  # equal scores share the mean of their ranks
    return float((ranks[positive].sum() - ones * (ones + 1) / 2.0) / (ones * zeros))
