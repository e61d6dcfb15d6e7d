"""Whole nodes on virtual time: a job to its last claim, and the same log from the same seed."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import pytest
from kits.paths import TESTS

from node.net.swarm import Swarm
from node.workers.compute import Compute
from virtual.network import Line
from virtual.workers import Hands
from virtual.world import Outcome, Terms, World


def run(**terms: Any) -> Outcome:
    outcome = World(Terms(**terms)).run()
    assert outcome.broken == [], "\n".join([*outcome.broken, *outcome.log[-60:]])
    return outcome


def test_a_job_runs_to_its_last_claim_and_twice_with_the_same_log() -> None:
    """Everybody is paid, which the world looks at itself when all is over."""
    one, other = run(seed=1), run(seed=1)
    assert (one.phase, one.rounds) == ("closed", 3)
    assert one.text == other.text
    assert sum("mines claim" in line for line in one.log) == 5
    assert one.text != run(seed=2, rounds=1).text


_OTHER_PROCESS = """
import sys
from virtual.world import Terms, World
sys.stdout.buffer.write(World(Terms(seed=3, rounds=1)).run().text)
"""


@pytest.mark.parametrize(("ours", "theirs"), [(Line, Swarm), (Hands, Compute)])
def test_what_stands_in_for_a_port_has_all_of_it(ours: type, theirs: type) -> None:
    """Otherwise a call that the product makes would be found missing only where a seed makes it."""

    def public(cls: type) -> dict[str, Any]:
        return {name: each for name, each in vars(cls).items() if not name.startswith("_")}

    for name, wanted in public(theirs).items():
        found = public(ours).get(name)
        assert found is not None, name
        if inspect.isfunction(wanted):
            assert list(inspect.signature(found).parameters) == list(
                inspect.signature(wanted).parameters
            ), name


def test_another_process_gives_the_same_log() -> None:
    """Neither addresses in memory nor the order of sets decide anything."""
    found = [
        subprocess.run(
            [sys.executable, "-c", _OTHER_PROCESS],
            cwd=TESTS.parent,
            env={"PYTHONPATH": f"{TESTS.parent}:{TESTS}", "PYTHONHASHSEED": seed, "PATH": "/bin"},
            check=True,
            stdout=subprocess.PIPE,
        ).stdout
        for seed in ("1", "2")
    ]
    assert found[0] == found[1]
    assert len(found[0]) > 5_000
