"""What is measured of the main job itself: `assay demo`, eight daemons between real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from scripts.benchmarks.figures import BenchError, Context, Measurement


def phases(context: Context) -> Measurement:
    """Seconds of a round, and how they fall to its phases, as the requester's daemon saw them."""
    command = [str(Path(sys.executable).with_name("assay")), "demo", "--json", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it said nothing"]
        raise BenchError(f"{' '.join(command)} ended with {done.returncode}: {last[0]}")
    told = json.loads(done.stdout)
    rounds, spans = told["rounds"], told["seconds"]["rounds"]
    per_round = {phase: seconds / rounds for phase, seconds in spans.items()}
    return Measurement(
        ours=sum(per_round.values()),
        parts={phase: (seconds, None) for phase, seconds in per_round.items()},
        notes=[
            f"`assay demo`: {rounds} rounds of softmax on digits, six owners, 3072 bits, "
            "and its chain, all on this machine; 'commit' is mostly the wait for the chain",
        ],
    )
