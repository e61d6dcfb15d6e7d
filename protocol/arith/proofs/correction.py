"""Reed-Solomon: which of several members' vectors are wrong, and the true polynomials at 0.

All coordinates of honest vectors lie on polynomials of degree below the threshold. The first
coordinate on which the vectors contradict each other is decoded (Welch and Berlekamp 1986), those
that are wrong there are set aside, and all coordinates are tried again: nothing is left to chance,
and no coordinate but the contradicting ones costs more than a product of matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from protocol.arith.proofs.field import Elements, P
from protocol.arith.proofs.shamir import interpolated


@dataclass(frozen=True)
class Corrected:
    """`secrets` are the polynomials' values at 0; `wrong` are indices into what was given."""

    secrets: Elements
    wrong: frozenset[int]


def correct(
    points: Sequence[int], vectors: Elements, threshold: int, allowance: int
) -> Corrected | None:
    """The polynomials of degree below `threshold` that all rows of `vectors` but `allowance` at
    most have, row i at points[i]; None if there are none.

    `points` are distinct and not 0. With 2 allowance <= rows - threshold there is one such set of
    polynomials at most.
    """
    alive = list(range(len(points)))
    while len(alive) >= threshold + max(0, allowance - (len(points) - len(alive))):
        here = [points[index] for index in alive]
        column = _contradiction(here, vectors[alive], threshold)
        if column is None:
            base = alive[:threshold]
            at = [points[index] for index in base]
            secrets = interpolated(at, vectors[base], [0])[0]
            return Corrected(secrets, frozenset(range(len(points))) - frozenset(alive))
        left = allowance - (len(points) - len(alive))
        values = [int(value) for value in vectors[alive, column]]
        wrong = _errors(here, values, threshold, left)
        if wrong is None:
            return None
        alive = [index for place, index in enumerate(alive) if place not in wrong]
    return None


def _contradiction(points: Sequence[int], vectors: Elements, threshold: int) -> int | None:
    """The first column that no polynomial of degree below `threshold` goes through."""
    if len(points) == threshold:
        return None
    expected = interpolated(points[:threshold], vectors[:threshold], points[threshold:])
    off = np.any(expected != vectors[threshold:], axis=0)
    return int(np.argmax(off)) if off.any() else None


def _errors(
    points: Sequence[int], values: Sequence[int], threshold: int, most: int
) -> frozenset[int] | None:
    """Places at which `values` leave the polynomial of degree below `threshold` that the others lie
    on: 1 to `most` of them; None if there is no such polynomial.

    E has the wrong points among its zeros and degree e, Q = E F: Q(x) = y E(x) at every point. All
    solutions have the same quotient F.
    """
    e = min(most, (len(points) - threshold) // 2)
    if e < 1:
        return None
    equations = []
    for x, y in zip(points, values, strict=True):
        row = [pow(x, power, P) for power in range(e + threshold)]
        row += [-y * pow(x, power, P) % P for power in range(e)]
        equations.append([*row, y * pow(x, e, P) % P])
    solution = _solved(equations, 2 * e + threshold)
    if solution is None:
        return None
    q, locator = solution[: e + threshold], [*solution[e + threshold :], 1]
    f = _quotient(q, locator)
    if f is None:
        return None
    places = range(len(points))
    found = frozenset(i for i in places if _value(f, points[i]) != values[i])
    return found if len(found) <= e else None


def _solved(rows: list[list[int]], unknowns: int) -> list[int] | None:
    """One solution of linear equations, each row its coefficients and its right side; None if they
    contradict each other. What is free is 0."""
    pivots: list[int] = []
    for column in range(unknowns):
        top = len(pivots)
        pivot = next((i for i in range(top, len(rows)) if rows[i][column]), None)
        if pivot is None:
            continue
        rows[top], rows[pivot] = rows[pivot], rows[top]
        inverse = pow(rows[top][column], -1, P)
        rows[top] = [value * inverse % P for value in rows[top]]
        for i, row in enumerate(rows):
            if i != top and row[column]:
                factor = row[column]
                rows[i] = [(a - factor * b) % P for a, b in zip(row, rows[top], strict=True)]
        pivots.append(column)
    if any(row[-1] for row in rows[len(pivots) :]):
        return None
    solution = [0] * unknowns
    for row, column in zip(rows, pivots, strict=False):
        solution[column] = row[-1]
    return solution


def _quotient(dividend: Sequence[int], divisor: Sequence[int]) -> list[int] | None:
    """The quotient by a monic polynomial, lowest coefficients first; None if it leaves a rest."""
    rest, degree = list(dividend), len(divisor) - 1
    found = [0] * (len(rest) - degree)
    for place in reversed(range(len(found))):
        factor = found[place] = rest[place + degree]
        for offset, coefficient in enumerate(divisor):
            rest[place + offset] = (rest[place + offset] - factor * coefficient) % P
    return None if any(rest) else found


def _value(coefficients: Sequence[int], x: int) -> int:
    found = 0
    for coefficient in reversed(coefficients):
        found = (found * x + coefficient) % P
    return found
