"""What is measured of the main job itself: `assay demo`, eight daemons between real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

from scripts.benchmarks.figures import BenchError, Context, Measurement

#: The phase in which a requester waits for the chain: its list is signed within milliseconds.
_CHAIN = "commit"


def phases(context: Context) -> Measurement:
    """Seconds of a round, and how they fall to its phases, as the requester's daemon saw them."""
    rounds, per_round = _played(*_ASSAY)
    return Measurement(
        ours=sum(per_round.values()),
        parts={phase: (seconds, None) for phase, seconds in per_round.items()},
        notes=[
            f"`assay demo`: {rounds} rounds of softmax on digits, six owners, 3072 bits, "
            "and its chain, all on this machine; 'commit' is mostly the wait for the chain",
        ],
    )


def of_round(context: Context) -> Measurement:
    """The same seconds less those in which the commitment is on its way to being final."""
    rounds, per_round = _played(*_ASSAY)
    rest = {phase: seconds for phase, seconds in per_round.items() if phase != _CHAIN}
    return Measurement(
        ours=sum(rest.values()),
        parts={phase: (seconds, None) for phase, seconds in rest.items()},
        notes=[
            f"of the same job of {rounds} rounds; {per_round[_CHAIN]:.3g} s more are the chain's"
        ],
    )


def of_proof(context: Context) -> Measurement:
    """Seconds of training with proofs, over those of the same job under masks alone."""
    rounds, proven = _played(*_ASSAY, "--proof", "norm")
    _, masked = _played(sys.executable, "-m", "scripts.benchmarks.masked_demo")
    phases_ = proven | masked
    return Measurement(
        ours=sum(proven.values()) / sum(masked.values()),
        parts={phase: (proven.get(phase, 0.0), masked.get(phase, 0.0)) for phase in phases_},
        notes=[
            f"seconds of a round, of {rounds}: with proofs {sum(proven.values()):.3g}, under masks "
            f"{sum(masked.values()):.3g}, the wait for the chain in both"
        ],
    )


_ASSAY = (str(Path(sys.executable).with_name("assay")),)


@cache
def _played(*program: str) -> tuple[int, dict[str, float]]:
    """A main job, once for all that ask: its rounds, and seconds a round by phase. Raises
    BenchError."""
    words = [word for word in program if not word.startswith("--proof") and word != "norm"]
    proof = program[len(words) :]
    command = [*words, "demo", "--json", "--seed", "1", *proof]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it said nothing"]
        raise BenchError(f"{' '.join(command)} ended with {done.returncode}: {last[0]}")
    told = json.loads(done.stdout)
    rounds, spans = told["rounds"], told["seconds"]["rounds"]
    return rounds, {phase: seconds / rounds for phase, seconds in spans.items()}
