"""Writes tests/vectors/worth.json: run by hand when the estimator changes, from the root.

By the words of docs/spec/worth.md, with plain floats and whole matrices: neither assay's own code
nor numpy is imported.
"""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

VECTORS = Path(__file__).parent

Vector = list[float]


def dot(one: Vector, other: Vector) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


# --- a round's values: a softmax of two inputs and three classes


def wrongness_gradient(weights: Vector, rows: list[tuple[Vector, int]]) -> Vector:
    """Matrix row by row, then bias; 1 - p of the right class, its mean over the rows."""
    total = [0.0] * 9
    for x, right in rows:
        inputs = [*x, 1.0]
        scores = [sum(inputs[i] * weights[3 * i + c] for i in range(3)) for c in range(3)]
        powers = [math.exp(score) for score in scores]
        p = [power / sum(powers) for power in powers]
        for i in range(3):
            for c in range(3):
                slope = p[right] * (p[c] - (c == right))
                total[3 * i + c] += inputs[i] * slope / len(rows)
    return total


def measured(draw: random.Random) -> dict[str, object]:
    rate = 0.75
    rows = [([draw.uniform(-1, 1), draw.uniform(-1, 1)], draw.randrange(3)) for _ in range(7)]
    weights = [draw.uniform(-1, 1) for _ in range(9)]
    blocks = [([draw.uniform(-1, 1) for _ in range(9)], size) for size in (5, 6, 5)]
    before = [draw.uniform(-1, 1) for _ in range(9)]
    everybody = sum(size for _, size in blocks)
    mean = [sum(g[i] * size for g, size in blocks) / everybody for i in range(9)]
    moved = [w - rate * m for w, m in zip(weights, mean, strict=True)]
    ends = [wrongness_gradient(w, rows) for w in (weights, moved)]
    length = sum(math.sqrt(dot(end, end)) for end in ends)
    u = [(a + b) / length for a, b in zip(*ends, strict=True)]
    part = dot(u, before) / dot(before, before)
    new = [a - part * b for a, b in zip(u, before, strict=True)]
    size = math.sqrt(dot(new, new))
    new = [each / size for each in new]
    return {
        "rate": rate,
        "x": [x for x, _ in rows],
        "y": [y for _, y in rows],
        "weights": weights,
        "blocks": [{"gradient": g, "members": size} for g, size in blocks],
        "before": before,
        "values": [[size * dot(u, g), size * dot(new, g)] for g, size in blocks],
    }


# --- members' worths


def solved(matrix: list[Vector], right: Vector) -> Vector:
    """Gauss and Jordan, with the largest pivot."""
    size = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for column in range(size):
        best = max(range(column, size), key=lambda r: abs(rows[r][column]))
        rows[column], rows[best] = rows[best], rows[column]
        rows[column] = [each / rows[column][column] for each in rows[column]]
        for other in range(size):
            if other != column:
                factor = rows[other][column]
                rows[other] = [
                    a - factor * b for a, b in zip(rows[other], rows[column], strict=True)
                ]
    return [row[size] for row in rows]


def estimated(rounds: list[list[list[int]]], values: list[Vector], n: int) -> list[Vector]:
    """Worths by least squares, and their errors."""
    blocks = [(r, block) for r, dealt in enumerate(rounds) for block in dealt]
    flat = [value for each in values for value in each]
    squares = [sum(len(block) ** 2 for block in dealt) for dealt in rounds]

    def projected(column: Vector) -> Vector:
        shares = [
            sum(len(b) * c for (r, b), c in zip(blocks, column, strict=True) if r == at)
            / squares[at]
            for at in range(len(rounds))
        ]
        return [c - len(b) * shares[r] for (r, b), c in zip(blocks, column, strict=True)]

    columns = [projected([float(m in block) for _, block in blocks]) for m in range(n)]
    y = projected(flat)
    contributions = sum(len(block) for _, block in blocks)
    ridge = contributions / n / 256.0
    matrix = [
        [dot(a, b) + ridge * (i == j) for j, b in enumerate(columns)] for i, a in enumerate(columns)
    ]
    d = solved(matrix, [dot(column, y) for column in columns])
    fitted = [sum(d[m] for m in block) for _, block in blocks]
    level = (sum(flat) - sum(fitted)) / contributions
    left = projected([a - b for a, b in zip(flat, fitted, strict=True)])
    equations = len(blocks) - len(rounds)
    spread = dot(left, left) / (equations - (n - 1))
    told = [
        sum(1.0 - len(b) ** 2 / squares[r] for r, b in blocks if m in b)
        * (1.0 - (n - 1) / equations)
        for m in range(n)
    ]
    return [[each + level for each in d], [math.sqrt(spread / each) for each in told]]


def mixed(worths: Vector, errors: Vector) -> list[Vector]:
    """The slab's posterior means, and the probabilities that a member is of the slab."""
    n = len(worths)
    mean = sum(worths) / n
    s = [each * each for each in errors]
    variance = max(sum((w - mean) ** 2 for w in worths) / n - sum(s) / n, 0.0)
    adds = [0.25] * n
    for _ in range(100):
        odds = [
            0.25
            / 0.75
            * math.sqrt(e / (variance + e))
            * math.exp(min(w * w / e / 2 - (w - mean) ** 2 / (variance + e) / 2, 500.0))
            for w, e in zip(worths, s, strict=True)
        ]
        adds = [each / (1.0 + each) for each in odds]
        total = sum(adds)
        mean = dot(adds, worths) / total
        variance = max(
            sum(a * ((w - mean) ** 2 - e) for a, w, e in zip(adds, worths, s, strict=True)) / total,
            0.0,
        )
    slab = [(mean * e + w * variance) / (e + variance) for w, e in zip(worths, s, strict=True)]
    sure = [min(max(math.sqrt((mean**2 + variance) / e) - 2.0, 0.0), 1.0) for e in s]
    return [slab, [1.0 - c * (1.0 - a) for c, a in zip(sure, adds, strict=True)]]


def told(draw: random.Random, n: int, rounds: int, noise: float) -> dict[str, object]:
    """A job of `n` owners in blocks of five, of whom the first adds nothing, and the second nothing
    of its own."""
    worths = [0.0, 1.0, *(draw.uniform(0.6, 1.2) for _ in range(n - 2))]
    own = [0.0, 0.0, *worths[2:]]
    dealt = []
    for _ in range(rounds):
        order = list(range(n))
        draw.shuffle(order)
        dealt.append([sorted(order[at : at + 5]) for at in range(0, n, 5)])
    values, owns = (
        [[sum(true[m] for m in b) + draw.gauss(0, noise) for b in each] for each in dealt]
        for true in (worths, own)
    )
    estimates = [estimated(dealt, each, n) for each in (values, owns)]
    (slab, adds), (_, adds_own) = (mixed(*each) for each in estimates)
    found = [s * a * b for s, a, b in zip(slab, adds, adds_own, strict=True)]
    positive = sorted(each for each in found if each > 0.0)
    middle = (positive[len(positive) // 2] + positive[(len(positive) - 1) // 2]) / 2.0
    return {
        "members": n,
        "blocks": dealt,
        "values": values,
        "own": owns,
        "estimates": [{"worths": w, "errors": e} for w, e in estimates],
        "worths": [min(each, 2.0 * middle) for each in found],
    }


def main() -> None:
    draw = random.Random(13)
    jobs = [told(draw, 15, 20, noise) for noise in (0.1, 0.5, 2.0)]
    vectors = {"rounds": [measured(draw) for _ in range(2)], "jobs": jobs}
    (VECTORS / "worth.json").write_text(json.dumps(vectors, indent=1) + "\n")


if __name__ == "__main__":
    main()
