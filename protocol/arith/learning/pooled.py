"""Training on pooled rows in the clear: the yardstick that a job's result is held against.

Same families, same objective, no owners, no clipping, no encryption.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from protocol.arith.learning.models import Floats, Model, clipped_gradient, layers, loss


@dataclass(frozen=True, slots=True)
class Converged:
    """Pooled training's end: the weights, the objective there, its gradient's norm, iterations."""

    weights: Floats
    loss: float
    gradient_norm: float
    iterations: int


def train_to_convergence(
    model: Model,
    start: Floats,
    x: Floats,
    y: Floats,
    *,
    ridge: float = 0.0,
    tolerance: float = 1e-4,
    max_iterations: int = 2000,
) -> Converged:
    """Minimise the mean loss plus ridge over all rows at once, unclipped, in the clear.

    L-BFGS (Nocedal and Wright 2006, algorithm 7.4, ten pairs) with backtracking. Stops by itself
    when the gradient's norm falls below `tolerance` times that at the start, when ten steps
    together gain less than `tolerance` of the objective, or when no step lowers it.
    """

    def derivative(weights: Floats) -> Floats:
        gradient, _ = clipped_gradient(model, weights, x, y, math.inf)
        for (part, _), (matrix, _) in zip(
            layers(model, gradient), layers(model, weights), strict=True
        ):
            part += ridge * matrix
        return gradient

    weights = start.copy()
    value, gradient = loss(model, weights, x, y, ridge), derivative(weights)
    enough = tolerance * float(np.linalg.norm(gradient))
    pairs: deque[tuple[Floats, Floats, float]] = deque(maxlen=10)
    history: deque[float] = deque([value], maxlen=11)
    iterations = 0
    while iterations < max_iterations and float(np.linalg.norm(gradient)) > enough:
        direction = _two_loop(pairs, gradient)
        found = _line_search(
            lambda point: loss(model, point, x, y, ridge), weights, value, gradient, direction
        )
        if found is None:
            break
        iterations += 1
        moved, value = found
        fresh = derivative(moved)
        step, change = moved - weights, fresh - gradient
        curvature = float(step @ change)
        if curvature > 1e-12 * float(step @ step):
            pairs.append((step, change, curvature))
        weights, gradient = moved, fresh
        history.append(value)
        if len(history) == 11 and history[0] - value <= tolerance * abs(value):
            break
    return Converged(weights, value, float(np.linalg.norm(gradient)), iterations)


def _two_loop(pairs: deque[tuple[Floats, Floats, float]], gradient: Floats) -> Floats:
    """Minus the approximate inverse Hessian times `gradient` (the two-loop recursion)."""
    if not pairs:
        return -gradient / max(1.0, float(np.linalg.norm(gradient)))
    vector = gradient.copy()
    factors = []
    for step, change, curvature in reversed(pairs):
        factor = float(step @ vector) / curvature
        vector -= factor * change
        factors.append(factor)
    _, change, curvature = pairs[-1]
    vector *= curvature / float(change @ change)
    for (step, change, curvature), factor in zip(pairs, reversed(factors), strict=True):
        vector += (factor - float(change @ vector) / curvature) * step
    return -vector


def _line_search(
    objective: Callable[[Floats], float],
    weights: Floats,
    value: float,
    gradient: Floats,
    direction: Floats,
) -> tuple[Floats, float] | None:
    """The first of the steps 1, 1/2, 1/4, ... that gains enough (Armijo's rule); None if none of
    them does, as happens at the limit of float64."""
    slope = float(gradient @ direction)
    if slope >= 0.0:
        return None
    length = 1.0
    for _ in range(40):
        candidate = weights + length * direction
        reached = objective(candidate)
        if reached <= value + 1e-4 * length * slope:
            return candidate, reached
        length *= 0.5
    return None
