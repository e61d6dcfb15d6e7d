"""One round among many owners: who sends and computes how much. Run by scripts/bench.

python -m simulator.scaling 16 64: one JSON object a size, a line each.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable

from simulator.meter import Meter
from simulator.world import Settings, World

#: Owners in a block.
BLOCK = 16

#: What moves within a block; all else is what everybody needs.
_OF_A_BLOCK = ("Ready", "Contribution", "Release", "roster", "batch")


def measure(owners: int) -> dict[str, object]:
    """The second round of a job (the first also fetches the list of the enrolled): bytes of the
    requester, both ways; of the owner that serves most others; seconds in the requester's kernels.
    """
    world = World(
        Settings(
            seed=1,
            owners=owners,
            block=BLOCK,
            corrupt=2,
            rounds=2,
            lean=True,
            enrol_seconds=100,
            ready_seconds=60,
            contribute_seconds=600,
        )
    )
    _run(world, lambda: world.books.round is not None and world.books.round.number == 1)
    meter = world.network.meter = Meter()
    _run(world, lambda: len(world.books.records) == 2)
    # What is still on its way counts: the result, and releases beyond the threshold.
    world.clock.run(world.clock.now + 500)
    names = _names(world)
    requester = _by_kind(meter, "r", names)
    of_owners = {o.name: _by_kind(meter, o.name, names) for o in world.owners}
    shared = {
        name: sum(v for k, v in kinds.items() if k not in _OF_A_BLOCK)
        for name, kinds in of_owners.items()
    }
    busiest = max(shared, key=lambda name: shared[name])
    batch = world.spec.packing.batch_bytes(world.spec.parameter_count)
    return {
        "owners": owners,
        "block": BLOCK,
        "batch": batch,
        "seconds": meter.seconds["r"],
        "requester": dict(requester),
        "owner": dict(of_owners[busiest]),
        "owner_shared": shared[busiest],
    }


def _run(world: World, done: Callable[[], bool]) -> None:
    if not world.clock.run(world.clock.now + 600_000, done):
        raise SystemExit(f"{len(world.owners)} owners came to no end: {world.log[-1]}")


def _names(world: World) -> dict[bytes, str]:
    """What the blobs of the round are."""
    books = world.books
    assert books.round is not None
    names = {books.cohort_digest: "cohort list", books.round.opening.model_digest: "model"}
    names[books.round.list_digest] = "contribution list"
    names |= {roster.digest: "roster" for roster in books.round.rosters}
    names |= {contribution.batch: "batch" for contribution in books.round.contributions}
    return names


def _by_kind(meter: Meter, node: str, names: dict[bytes, str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for what, size in meter.of(node).items():
        found[what if isinstance(what, str) else names.get(what, "other blobs")] += size
    return found


if __name__ == "__main__":
    for size in sys.argv[1:]:
        print(json.dumps(measure(int(size))), flush=True)
