"""One seed in a process of its own: what scripts/simulate hands out, and what comes back."""

from __future__ import annotations

import gc
from dataclasses import dataclass

from virtual.seeds import terms_of
from virtual.world import World


@dataclass(frozen=True)
class Found:
    """What one seed came to."""

    seed: int
    broken: tuple[str, ...]
    phase: str
    processor_seconds: float


def one(seed: int, owners: int, faults: tuple[str, ...] | None) -> Found:
    """Run it; `faults` in the place of those that the seed draws."""
    outcome = World(terms_of(seed, owners, faults)).run()
    return Found(seed, tuple(outcome.broken), outcome.phase, outcome.processor_seconds)


def keep() -> None:
    """In a process that runs many worlds: what is there before the first is not looked through for
    garbage after each of them."""
    gc.collect()
    gc.freeze()
