"""The large job is what its figure says, and its memory is a whole family's."""

from __future__ import annotations

import os
import subprocess
import sys

from protocol.spec.toml import parse_toml
from scripts.benchmarks import large
from scripts.benchmarks.secagg import SUITE


def test_a_million_parameters_under_masks_among_five() -> None:
    terms = parse_toml(large._spec()).terms
    assert terms.parameter_count == large._PARAMETERS == 1_000_060
    assert terms.encryption.envelope == "masks"
    assert (terms.cohort.min_owners, terms.cohort.max_owners) == (5, 5)
    assert terms.training.rounds == large._ROUNDS


def test_the_figures_have_bars() -> None:
    bars = {f.name: str(f.bar) for f in SUITE.figures if f.name.startswith("large")}
    assert bars == {
        "large": "ours at most 4",
        "large-memory": "ours at most 400",
    }


def test_what_a_child_holds_counts() -> None:
    script = "import sys; held = bytearray(50_000_000); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        assert child.pid in list(large._family(os.getpid()))
        assert large._resident(child.pid) > 50_000_000
        child.kill()
    assert large._resident(child.pid) == 0
