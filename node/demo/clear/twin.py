"""The demo's second helper process: a sealed job's training in the clear.

`python -m node.demo.clear.twin train DATA FEATURES SEED ROUNDS MODEL.npz` trains on the same parts,
with the same steps and weights, but without noise, masks, fixed point or encryption; prints
{"accuracies": [after each round]}. MODEL.npz is any model of the job, as its requester downloads
it: it holds the job's own map.
`... model DATA FEATURES SEED MODEL.npz` applies a downloaded model to the hold-out set, as its
buyer would; prints {"accuracy"}.
`... curve DATA FEATURES SPLITS` measures what recipes/sealed.py documents: accuracies at its
epsilons, with the noise of the daemons and everything else in the clear.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from node.demo.recipes.job import ACCEPTING, OWNERS, Recipe
from node.demo.recipes.sealed import DELTA, EPSILON, Asked, FeaturesName, recipe
from node.workers.worker import prepare

if TYPE_CHECKING:
    from node.demo.recipes.columns import DataName
    from node.demo.recipes.data import Rows
    from protocol.arith.learning.models import Floats, Model
    from protocol.arith.sealed.statistics import Statistics

#: The first seed of a measured curve's splits: no run of the demo has it unless it is asked to.
FIRST_SEED: Final = 1_000_000


def features(recipe: Recipe, matrix: Floats | None, x: Floats) -> Floats:
    """Rows of inputs in [0, 1] as what a sealed model is linear in: (n, p), in the unit ball.

    As docs/spec/sealed-statistics.md says it, for `matrix`, a Fourier map's weights, or None; not
    as the daemons do it, a row at a time.
    """
    import numpy as np

    sealing = recipe.sealing
    if sealing is None:
        raise ValueError("an open model takes inputs as they are")
    found = x - sealing.center
    if matrix is not None:
        angles = found @ matrix
        found = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
        found *= (2.0 / found.shape[1]) ** 0.5
    if sealing.bias:
        found = np.concatenate([found, np.full((len(found), 1), sealing.bias)], axis=1)
    lengths = np.linalg.norm(found, axis=1, keepdims=True) * (1.0 + 2.0**-40)
    return np.asarray(found / np.maximum(lengths, recipe.clip_norm))


def train(recipe: Recipe, model: Model, owners: Sequence[Statistics]) -> list[Floats]:
    """Weights (p, C) after each round: owners' moves, weighed by rows (McMahan et al. 2017)."""
    import numpy as np

    from protocol.arith.sealed.affine import local_map

    steps = recipe.local_steps, recipe.rate, recipe.ridge
    maps = [local_map(model, each, *steps) for each in owners]
    shares = np.array([min(s.rows, recipe.batch_rows) for s in owners], dtype=np.float64)
    shares /= shares.sum()
    weights, found = np.zeros((model.inputs, model.outputs)), []
    for _ in range(recipe.rounds):
        moves = [each.matrix @ weights + each.offset for each in maps]
        weights = weights + np.tensordot(shares, moves, axes=1)
        found.append(weights)
    return found


def accuracy(model: Model, weights: Floats, u: Floats, rows: Rows) -> float:
    """The share of `rows` whose class the weights find from their features `u`."""
    import numpy as np

    scores = u @ weights
    told = scores.argmax(axis=1) if model.outputs > 1 else (scores[:, 0] > 0.0)
    return float(np.mean(told == rows.y))


def main(arguments: list[str]) -> None:
    # Before numpy is imported: it reads its thread count then.
    prepare()
    what, data = arguments[0], cast("DataName", arguments[1])
    chosen = recipe(data, Asked(cast("FeaturesName", arguments[2]), EPSILON))
    if what == "curve":
        _curve(data, chosen, int(arguments[3]))
    elif what == "model":
        path = Path(arguments[4])
        _print({"accuracy": _bought(data, chosen, int(arguments[3]), path)})
    else:
        told = chosen.with_rounds(int(arguments[4]))
        path = Path(arguments[5])
        _print({"accuracies": _twin(data, told, int(arguments[3]), path)})


def _twin(data: DataName, recipe: Recipe, seed: int, path: Path) -> list[float]:
    from protocol.arith.sealed import statistics

    _, matrix = _downloaded(path)
    holdout, parts = _split(data, seed)
    model = _model(recipe, holdout)
    owners = [
        statistics.exact(model, features(recipe, matrix, part.inputs()), part.y) for part in parts
    ]
    u = features(recipe, matrix, holdout.inputs())
    return [accuracy(model, weights, u, holdout) for weights in train(recipe, model, owners)]


def _bought(data: DataName, recipe: Recipe, seed: int, path: Path) -> float:
    weights, matrix = _downloaded(path)
    holdout, _ = _split(data, seed)
    u = features(recipe, matrix, holdout.inputs())
    return accuracy(_model(recipe, holdout), weights, u, holdout)


def _curve(data: DataName, recipe: Recipe, splits: int) -> None:
    """One line for each split, then one with mean, standard deviation and least of them all."""
    import numpy as np

    from protocol.arith.noise.accountant import multiplier
    from protocol.arith.sealed import statistics

    epsilons = (1.0, 2.0, 4.0, 8.0, None)
    noise = [None if e is None else multiplier(e, DELTA, 1.0, 1) for e in epsilons]
    found = []
    for seed in range(FIRST_SEED, FIRST_SEED + splits):
        holdout, parts = _split(data, seed)
        model, matrix = _model(recipe, holdout), _drawn(recipe, holdout, seed)
        rows = [(features(recipe, matrix, part.inputs()), part.y) for part in parts]
        u = features(recipe, matrix, holdout.inputs())
        accuracies = []
        for sigma in noise:
            owners = [
                statistics.exact(model, *own)
                if sigma is None
                else statistics.noised(model, *own, sigma)
                for own in rows
            ]
            weights = train(recipe, model, owners)[-1]
            accuracies.append(accuracy(model, weights, u, holdout))
        found.append(accuracies)
        _print({"seed": seed, "accuracies": accuracies})
    table = np.array(found)
    spread = table.std(axis=0, ddof=1) if splits > 1 else np.zeros(len(epsilons))
    columns = zip(epsilons, table.mean(axis=0), spread, table.min(axis=0), strict=True)
    names = ("epsilon", "mean", "deviation", "worst")
    points = [(e, round(m, 4), round(s, 4), round(w, 4)) for e, m, s, w in columns]
    _print({"points": [dict(zip(names, point, strict=True)) for point in points]})


def _split(data: DataName, seed: int) -> tuple[Rows, list[Rows]]:
    """The hold-out set, and the parts of the owners that take part."""
    from node.demo.recipes.data import load, split

    rows = load(data)
    chosen = split(rows.y, OWNERS, seed, rows.table.holdout)
    return rows.take(chosen.holdout), [rows.take(part) for part in chosen.parts[:ACCEPTING]]


def _model(recipe: Recipe, rows: Rows) -> Model:
    from protocol.arith.learning.models import Family, Model

    if recipe.sealing is None:
        raise ValueError("the recipe is an open job's")
    inputs = recipe.sealing.width or len(rows.table.columns)
    classes = 1 if recipe.family == "logistic" else len(rows.table.classes)
    return Model(Family(recipe.family), inputs + bool(recipe.sealing.bias), classes)


def _downloaded(path: Path) -> tuple[Floats, Floats | None]:
    """Weights (p, C), and the map's matrix if the model has one."""
    import numpy as np

    with np.load(path) as arrays:
        matrix = arrays["map_matrix"] if "map_matrix" in arrays.files else None
        return arrays["weights"], matrix


def _drawn(recipe: Recipe, rows: Rows, seed: int) -> Floats | None:
    """A map's matrix of a seed of its own, as each job draws one."""
    import numpy as np

    if recipe.sealing is None or recipe.sealing.map == "none":
        return None
    shape = len(rows.table.columns), recipe.sealing.width // 2
    return recipe.sealing.scale * np.random.default_rng(seed).standard_normal(shape)


def _print(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
