"""Interleaved runs and their medians.

Machines change speed under a measurement: other work, clocks, heat. Ours and the peer's runs take
turns, so that each change falls on both, and medians keep one bad run from deciding anything.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from scripts.benchmarks.figures import Measurement, Number, Reply

Run = Callable[[], Reply]


def interleave(runs: Mapping[str, Run], times: int, *, warm: int = 1) -> dict[str, list[Reply]]:
    """Runs each of `runs` in turn, `times` times over. The first `warm` turns do not count: they
    fill caches, load libraries and grow heaps. Raises ValueError if nothing would be measured."""
    if times < 1 or not runs:
        raise ValueError(f"{times} runs of {len(runs)} sides measure nothing")
    replies: dict[str, list[Reply]] = {name: [] for name in runs}
    for turn in range(warm + times):
        for name, run in runs.items():
            reply = run()
            if turn >= warm:
                replies[name].append(reply)
    return replies


def median_seconds(replies: Sequence[Reply]) -> float:
    """The median of whole runs."""
    return statistics.median(reply.seconds for reply in replies)


def median_parts(replies: Sequence[Reply]) -> dict[str, float]:
    """Each part's median; they need not add up to the median of the whole. Raises ValueError if
    runs differ in their parts."""
    names = list(replies[0].parts)
    if any(set(reply.parts) != set(names) for reply in replies):
        raise ValueError("the runs of one side differ in their parts")
    return {name: statistics.median(reply.parts[name] for reply in replies) for name in names}


def beside(
    ours: Run,
    peer: Run,
    times: int,
    *,
    warm: int = 1,
    scale: float = 1.0,
    notes: Sequence[str] = (),
) -> Measurement:
    """Ours and the peer's medians, interleaved, in seconds times `scale`. Notes the spread."""
    replies = interleave({"ours": ours, "peer": peer}, times, warm=warm)
    return compared(replies["ours"], replies["peer"], scale=scale, notes=notes)


def compared(
    mine: Sequence[Reply],
    theirs: Sequence[Reply],
    *,
    scale: float = 1.0,
    notes: Sequence[str] = (),
) -> Measurement:
    """What `beside` says of runs that were interleaved already."""
    parts: dict[str, tuple[Number | None, Number | None]] = {}
    own_parts, peer_parts = median_parts(mine), median_parts(theirs)
    for name in [*own_parts, *(name for name in peer_parts if name not in own_parts)]:
        parts[name] = _scaled(own_parts.get(name), scale), _scaled(peer_parts.get(name), scale)
    return Measurement(
        ours=median_seconds(mine) * scale,
        peer=median_seconds(theirs) * scale,
        parts=parts,
        notes=[*notes, f"{spread(mine, theirs, scale)} (least to most of {len(mine)} runs each)"],
    )


def median_count(replies: Sequence[Reply], name: str) -> Number:
    """The median of what the sides counted under `name`. Raises ValueError if one did not."""
    if any(name not in reply.counts for reply in replies):
        raise ValueError(f"a run did not count {name!r}")
    return statistics.median(reply.counts[name] for reply in replies)


def spread(ours: Sequence[Reply], peer: Sequence[Reply], scale: float) -> str:
    """The least and the most of both sides, for people."""
    return f"ours {spread_of(ours, scale)}, peer {spread_of(peer, scale)}"


def spread_of(replies: Sequence[Reply], scale: float = 1.0) -> str:
    """The least and the most of one side's runs, for people."""
    seconds = [reply.seconds * scale for reply in replies]
    return f"{min(seconds):.4g} to {max(seconds):.4g}"


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else value * scale
