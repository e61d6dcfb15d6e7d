"""scripts/demo --proof norm --hostile 1: the main job with one owner that sends poison.

The poisoner's daemon is the product's with one function of its workers replaced. Exit code 0 if it
is named by the others, gets nothing, and accuracy is within a point of the same job without it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final
from unittest.mock import patch

from node.demo import main as demo
from node.demo import story
from node.demo.outcome.report import Figures
from node.demo.outcome.verdict import Finding, judge
from node.demo.screen import Screen
from node.demo.swarm import processes, world
from node.demo.swarm.processes import Child, Children
from node.demo.swarm.user import User
from node.demo.swarm.world import World
from scripts.demos.playing import arguments, play
from scripts.demos.without import accuracy

HOSTILE: Final = "owner-2"
OWNERS: Final = ("owner-1", "owner-2", "owner-3", "owner-4", "owner-5")
_CLOSE: Final = 0.01


def _up(world_: World, user: User, children: Children) -> None:
    command = processes.assay("up", "--home", str(user.home.path), "--json")
    if user.name == HOSTILE:
        at = command.index("node.cli.main")
        command[at] = "scripts.demos.poisoner"
    started: Child = children.start(user.name, command, user.home.log)
    world_.daemons[user.name] = started


class _Judge:
    """The demo's verdict, with what is promised of a job that one owner poisons."""

    def __init__(self, seed: int, rounds: int | None) -> None:
        self.without = accuracy(OWNERS.index(HOSTILE), seed, rounds)
        self.named: set[str] = set()

    def poisoned(self, figures: Figures) -> list[Finding]:
        others = [
            finding
            for finding in judge(figures)
            if finding.name != "every owner of the job was paid, on the chain"
        ]
        cheat = next(owner for owner in figures.owners if owner.name == HOSTILE)
        honest = [owner for owner in figures.owners if owner.name != HOSTILE]
        paid = all(owner.claimed for owner in honest)
        found = figures.accuracy
        told = "no round was measured"
        if found is not None:
            told = f"{100 * found:.2f} % against {100 * self.without:.2f} %"
        return [
            *others,
            Finding(
                f"{HOSTILE}, which sent poison, got nothing",
                not cheat.claimed and not cheat.contributions,
                f"{cheat.contributions} contributions of it are listed",
            ),
            Finding("every other owner was paid", paid, f"{len(honest)} owners"),
            Finding(
                f"every other owner named {HOSTILE} for itself",
                {owner.name for owner in honest} <= self.named,
                ", ".join(sorted(self.named)) or "nobody did",
            ),
            Finding(
                f"accuracy is within a point of the same job without {HOSTILE}",
                found is not None and found >= self.without - _CLOSE - 1e-9,
                told,
            ),
        ]

    def look(self, folder: Path) -> None:
        """Which owners' own logs say that a member proved no norm."""
        for log in folder.glob("owner-*/*.log"):
            if "did not prove its norm" in log.read_text(errors="replace"):
                self.named.add(log.parent.name)


def main() -> int:
    """Play it; what it came to decides."""
    parser = arguments(__doc__)
    parser.add_argument("--hostile", type=int, choices=(1,), required=True)
    parser.add_argument("--proof", choices=("norm",), required=True, help="what stops it")
    wanted = parser.parse_args()
    judged, played = _Judge(wanted.seed, wanted.rounds), story.play

    def watched(plan: story.Plan, folder: Path, children: Children, screen: Screen) -> Figures:
        figures = played(plan, folder, children, screen)
        judged.look(folder)
        return figures

    return play(
        wanted,
        patch.object(world, "_up", _up),
        patch.object(demo, "play", watched),
        patch.object(demo, "judge", judged.poisoned),
        proof=True,
    )


if __name__ == "__main__":
    sys.exit(main())
