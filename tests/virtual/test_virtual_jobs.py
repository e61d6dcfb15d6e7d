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


_OTHER_PROCESS = """
import sys
from virtual.world import Terms, World
sys.stdout.buffer.write(World(Terms(seed=1, rounds=2)).run().text)
"""


def test_a_job_runs_to_its_last_claim_and_each_time_with_the_same_log() -> None:
    """Everybody is paid, which the world looks at itself when all is over. Neither addresses in
    memory, nor the order of sets, nor an earlier world of this process decide anything."""
    one, other = run(seed=1, rounds=2), run(seed=1, rounds=2)
    assert (one.phase, one.rounds) == ("closed", 2)
    assert sum("mines claim" in line for line in one.log) == 5
    assert one.text == other.text
    elsewhere = subprocess.run(
        [sys.executable, "-c", _OTHER_PROCESS],
        cwd=TESTS.parent,
        env={"PYTHONPATH": f"{TESTS.parent}:{TESTS}", "PYTHONHASHSEED": "7", "PATH": "/bin"},
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    assert elsewhere == one.text
    assert len(one.text) > 10_000


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
