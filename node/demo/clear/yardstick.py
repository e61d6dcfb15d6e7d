"""The demo's helper process: splits the data, then trains on the pooled rows in the clear.

`python -m node.demo.clear.yardstick DATA MODEL SEED FOLDER` writes holdout.csv and owner-1.csv to
owner-6.csv into FOLDER and prints one line of JSON, {"holdout": rows, "parts": [[rows of each
class]]}; then it trains the same family to convergence on the rows of the owners that take part,
and prints {"accuracy", "iterations", "rows", "seconds"}. It needs 200 MB and a core for a while,
which is why it is a process of its own, niced, beside daemons that have their work.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import cast

from node.demo.recipes.columns import DataName
from node.demo.recipes.job import ACCEPTING, OWNERS, RECIPES, ModelName
from node.workers.worker import prepare


def main(arguments: list[str]) -> None:
    # Before numpy is imported: it reads its thread count then.
    prepare()
    from node.demo.recipes.data import load, split, write_csv
    from protocol.arith.kernels import evaluate, train_pooled
    from protocol.arith.learning.models import Family, Model

    data, model_name = cast(DataName, arguments[0]), cast(ModelName, arguments[1])
    seed, folder = int(arguments[2]), Path(arguments[3])
    rows = load(data)
    chosen = split(rows.y, OWNERS, seed, rows.table.holdout)
    holdout = rows.take(chosen.holdout)
    parts = [rows.take(part) for part in chosen.parts]
    write_csv(folder / "holdout.csv", holdout)
    for number, part in enumerate(parts, start=1):
        write_csv(folder / f"owner-{number}.csv", part)
    _print({"holdout": len(holdout.y), "parts": [part.balance() for part in parts]})

    began = time.monotonic()
    recipe = RECIPES[data, model_name]
    inputs, classes = len(rows.table.columns), len(rows.table.classes)
    model = Model(Family(recipe.family), inputs, classes, recipe.hidden)
    pooled = rows.take(chosen.together(ACCEPTING))
    x, y = pooled.inputs(), pooled.targets()
    weights, facts = train_pooled(model, bytes(32), x, y, ridge=recipe.ridge)
    found = evaluate(model, weights, holdout.inputs(), holdout.targets())
    _print(
        {
            "accuracy": found.accuracy,
            "iterations": facts.iterations,
            "rows": len(pooled.y),
            "seconds": round(time.monotonic() - began, 3),
        }
    )


def _print(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
