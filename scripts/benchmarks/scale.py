"""How a requester's work grows with its owners.

Two programs count. tests/simulator/scaling.py runs a round among the simulator's nodes: bytes both
ways, seconds in kernels. tests/simulator/storing.py runs a job at a daemon's inbox, engine, store
and lists, on this machine's disk: all else that a requester does, up to the largest cohort. Bytes
are those of messages and blobs; transports and gossip's own control messages add a few percent.
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

#: Owners in a simulated round, whose owners compute as well; the block's size is 16.
SIZES = (16, 64, 256, 1024)

#: Owners in a job at a daemon's own parts.
JOB_SIZES = (*SIZES, 4096)


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


@dataclass(frozen=True, slots=True)
class Work:
    """A whole job at its requester, arithmetic and network apart. Seconds on the clock with the
    disk's, and of the processor; bytes written to the disk, commits, bytes sent."""

    owners: int
    block: int
    rounds: int
    seconds: float
    cpu: float
    stored: int
    commits: int
    sent: int
    phases: Mapping[str, float]


@functools.cache
def rounds() -> tuple[Round, ...]:
    """A round of each size, simulated once for all figures. Raises BenchError."""
    return tuple(Round(**json.loads(line)) for line in _told("simulator.scaling", SIZES))


def jobs() -> tuple[Work, ...]:
    """A job of each size. Raises BenchError."""
    return tuple(Work(**json.loads(line)) for line in _told("simulator.storing", JOB_SIZES))


def _told(module: str, sizes: Sequence[int]) -> list[str]:
    command = [sys.executable, "-m", module, *map(str, sizes)]
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
    return done.stdout.splitlines()


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
    """The largest exponent of what a requester spends: seconds, bytes sent, bytes stored."""
    found, done = rounds(), jobs()
    small, sizes = [float(r.owners) for r in found], [float(w.owners) for w in done]
    parts = {
        "seconds": exponent(sizes, [work.seconds for work in done]),
        "processor": exponent(sizes, [work.cpu for work in done]),
        "bytes stored": exponent(sizes, [float(work.stored) for work in done]),
        "bytes sent": exponent(sizes, [float(work.sent) for work in done]),
        "bytes of a round, both ways": exponent(small, [float(r.requester_bytes) for r in found]),
        "arithmetic": exponent(small, [round_.seconds for round_ in found]),
    }
    return Measurement(
        ours=max(parts.values()),
        parts={name: (value, None) for name, value in parts.items()},
        notes=[
            *(
                f"{w.owners} owners: {1000 * w.seconds / w.owners:.1f} ms an owner "
                f"({1000 * w.cpu / w.owners:.1f} of the processor), {w.stored / w.owners:,.0f} "
                f"bytes written in {w.commits / w.owners:.1f} commits, "
                f"{w.sent / w.owners:,.0f} sent"
                for w in done
            ),
            f"these are of a job of {done[0].rounds} rounds from its post to its last claim, at a "
            "daemon's inbox, engine, store and lists, every message a step and a commit of its "
            "own; workers, chain and peers answer at once",
            *(
                f"{each.owners} owners in a simulated round: "
                f"{each.requester_bytes / each.owners:,.0f} bytes and "
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
