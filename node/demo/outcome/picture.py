"""The learning curve as a picture: `python -m node.demo.outcome.picture CURVE.json OUT.png`.

A process of its own, since matplotlib takes seconds and a hundred megabytes to import.
CURVE.json is a `Curve` as JSON.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Curve:
    """Accuracies in [0, 1]: after each round, of pooled training, and of a sealed job's twin, which
    trains in the clear without noise."""

    title: str
    accuracies: list[float]
    pooled: float
    twin: list[float] = field(default_factory=list)


def draw(curve: Curve, path: Path) -> None:
    """Write the picture; its format follows from the path's suffix."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    axes.axhline(curve.pooled, color="0.5", linestyle="--", label="pooled, in the clear")
    rounds = range(1, len(curve.accuracies) + 1)
    axes.plot(rounds, curve.accuracies, marker="o", markersize=4, label="assay")
    if curve.twin:
        steps = range(1, len(curve.twin) + 1)
        label = "the same in the clear, without noise"
        axes.plot(steps, curve.twin, marker="s", markersize=3, linestyle=":", label=label)
    axes.set(title=curve.title, xlabel="round", ylabel="accuracy on the hold-out set")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(alpha=0.3)
    axes.legend(loc="best" if curve.twin else "lower right")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    draw(Curve(**json.loads(Path(sys.argv[1]).read_text())), Path(sys.argv[2]))
