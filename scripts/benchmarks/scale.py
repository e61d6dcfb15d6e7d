"""How a round grows with its owners: the simulator's nodes, counted (tests/simulator/scaling.py).

The machines, lists and kernels are the daemon's; links are the simulator's. Bytes are those of
messages and blobs; transports and gossip's own control messages add a few percent.
"""

from __future__ import annotations

import functools
import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scripts.benchmarks.drivers import ROOT, SETTINGS
from scripts.benchmarks.figures import BenchError, Context, Measurement

#: Owners in a round; the block's size is the simulator's: 16.
SIZES = (16, 64, 256, 1024)


@dataclass(frozen=True, slots=True)
class Round:
    """One round: bytes both ways, by what they are; `seconds` in the requester's kernels."""

    owners: int
    block: int
    batch: int
    seconds: float
    requester: Mapping[str, int]
    owner: Mapping[str, int]
    owner_shared: int

    @property
    def requester_bytes(self) -> int:
        """All of the requester's."""
        return sum(self.requester.values())


@functools.cache
def rounds() -> tuple[Round, ...]:
    """A round of each size, simulated once for all figures. Raises BenchError."""
    command = [sys.executable, "-m", "simulator.scaling", *map(str, SIZES)]
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONHOME"}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**inherited, **SETTINGS, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise BenchError(f"{' '.join(command)} ended with {done.returncode}: {last[0]}")
    return tuple(Round(**json.loads(line)) for line in done.stdout.splitlines())


def exponent(sizes: Sequence[float], found: Sequence[float]) -> float:
    """The k of the power law, found ~ sizes^k, that fits best: least squares of the logarithms.

    Raises ValueError for fewer than two sizes, or a number that is not positive.
    """
    if len(sizes) != len(found) or len(set(sizes)) < 2 or min(*sizes, *found) <= 0:
        raise ValueError(f"no power law goes through {list(zip(sizes, found, strict=False))}")
    xs, ys = [math.log(x) for x in sizes], [math.log(y) for y in found]
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True))
    return slope / sum((x - x_mean) ** 2 for x in xs)


def scale(_: Context) -> Measurement:
    """The larger exponent of the requester's bytes and of its arithmetic."""
    found = rounds()
    sizes = [float(each.owners) for each in found]
    of_bytes = exponent(sizes, [float(each.requester_bytes) for each in found])
    of_seconds = exponent(sizes, [each.seconds for each in found])
    return Measurement(
        ours=max(of_bytes, of_seconds),
        parts={"bytes": (of_bytes, None), "arithmetic": (of_seconds, None)},
        notes=[
            *(
                f"{each.owners} owners: {each.requester_bytes / each.owners:,.0f} bytes and "
                f"{1000 * each.seconds / each.owners:.1f} ms of arithmetic an owner"
                for each in found
            ),
            f"blocks of {found[0].block}, `paillier` envelope, 2048 bits; a job's second round: "
            "what is fetched once a job is left out",
        ],
    )


def owner(_: Context) -> Measurement:
    """Bytes of the owner that hands on most, less its block's own, per enrolled owner."""
    largest = rounds()[-1]
    inner = {kind: size for kind, size in largest.owner.items() if size}
    return Measurement(
        ours=largest.owner_shared / largest.owners,
        notes=[
            f"{largest.owners} owners; all of that owner's bytes, both ways, by what they are: "
            + _listed(inner)
        ],
    )


def requester(_: Context) -> Measurement:
    """The requester's bytes beside every batch exactly once, per owner."""
    largest = rounds()[-1]
    beside = largest.requester_bytes / largest.owners - largest.batch
    per_owner = {k: round(size / largest.owners) for k, size in largest.requester.items()}
    return Measurement(
        ours=beside,
        notes=[
            f"{largest.owners} owners, a batch of {largest.batch} bytes; both ways, an owner: "
            + _listed(per_owner)
        ],
    )


def _listed(sizes: Mapping[str, int]) -> str:
    ordered = sorted(sizes.items(), key=lambda item: -item[1])
    return ", ".join(f"{kind} {size:,}" for kind, size in ordered if size)
