"""What a seed means: which faults, which kind of job. Everything else follows in the world."""

from __future__ import annotations

from virtual.clock import chance
from virtual.faults import FAULTS
from virtual.world import Terms

#: The share of faults that one world has at once.
_SHARE = 0.3


def terms_of(seed: int, owners: int, faults: tuple[str, ...] | None = None) -> Terms:
    """A job of so many owners; `faults` in the place of those that the seed draws."""
    dice = chance(seed, "terms")
    drawn = tuple(name for name, each in FAULTS.items() if dice.random() < _SHARE and each.drawn)
    kind = dice.random()
    noisy = kind < 0.4
    # Blocks of five without a dropout stand or fall whole; of six and more, one may be missing.
    block = dice.randint(5, min(owners, 10))
    return Terms(
        seed=seed,
        owners=owners,
        rounds=dice.randint(1, 4),
        noisy=noisy,
        block=block,
        dropouts=1 if noisy and block >= 6 else 0,
        envelope="paillier" if dice.random() < 0.1 else "masks",
        finality=dice.randint(1, 3),
        spare=dice.randint(0, 1),
        faults=drawn if faults is None else faults,
    )
