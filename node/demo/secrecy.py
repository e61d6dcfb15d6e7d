"""A sealed job's part of the story: its policies, its twin in the clear, who can read it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from node.console.failure import Failure
from node.control.codes import Exit
from node.demo.outcome.report import Refusal, SealedFigures
from node.demo.recipes.columns import DataName
from node.demo.recipes.sealed import DELTA, Asked, documented
from node.demo.swarm.processes import Child, Children
from node.demo.swarm.user import User, words

_HELPER_SECONDS: Final = 120.0


def changes(asked: Asked, requester: User) -> dict[str, Any]:
    """The terms by which an owner of the demo takes the sealed job."""
    terms: dict[str, Any] = {"sealed_models": True, "open_models": False}
    if asked.epsilon is None:
        return terms | {"no_noise": True, "trusted": [requester.account]}
    return terms | {"epsilon": asked.epsilon, "delta": DELTA}


def says(asked: Asked) -> str:
    """What such owners have said, in a person's words."""
    if asked.epsilon is None:
        return "each of them trusts this requester with models that nobody else can read"
    return f"each of them lets sealed models cost it up to epsilon {asked.epsilon:g}"


class Twin:
    """The same training in the clear, in a process of its own, while the job goes on."""

    def __init__(
        self,
        data: DataName,
        asked: Asked,
        seed: int,
        rounds: int,
        job: str,
        requester: User,
        folder: Path,
        children: Children,
    ) -> None:
        self._place = data, asked.features, str(seed)
        self._folder, self._children = folder, children
        start = folder / "start.npz"
        # What it starts from; with it comes the map that this job has drawn.
        requester.command("model", "get", job, "--round", "0", "--out", str(start))
        self._child = self._start("train", *self._place, str(rounds), str(start))
        self._accuracies: list[float] = []

    @property
    def accuracies(self) -> list[float]:
        """After each round. Waits until it is known; raises Failure if the process fails."""
        if not self._accuracies:
            self._accuracies = list(self._child.line(_HELPER_SECONDS)["accuracies"])
        return self._accuracies

    def measure(self, model: Path) -> float:
        """A downloaded model's accuracy on the hold-out set, computed in the clear."""
        child = self._start("model", *self._place, str(model))
        return float(child.line(_HELPER_SECONDS)["accuracy"])

    def _start(self, *arguments: str) -> Child:
        command = [sys.executable, "-m", "node.demo.clear.twin", *arguments]
        return self._children.start("twin", command, self._folder / "twin.log", helper=True)


def look(
    data: DataName,
    asked: Asked,
    job: str,
    twin: Twin,
    owners: Sequence[User],
    model: Path | None,
) -> SealedFigures:
    """Ask the owners of a job that is over for its model, and for what it cost them in privacy."""
    if not owners:
        raise Failure(Exit.FAULT, "nobody took part in the sealed job")
    first = owners[0]
    stolen = first.home.path.with_name(f"{first.name}-model.npz")
    code, _, errors = first.attempt("model", "get", job, "--out", str(stolen))
    refusal = Refusal(first.name, code, words(errors), stolen.exists())
    spent = [owner.ask("job.show", job=job)["epsilon_spent"] for owner in owners]
    return SealedFigures(
        features=asked.features,
        epsilon=asked.epsilon,
        delta=DELTA,
        twin=tuple(twin.accuracies),
        documented=documented(data, asked),
        downloaded=None if model is None else twin.measure(model),
        refusal=refusal,
        spent=tuple(spent),
    )
