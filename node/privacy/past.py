"""A privacy budget over time: how it stood after something was reserved, charged or given back.

The ledger keeps the moment of each, and never deletes a row; so the past is composed anew from it,
at the budget's delta of now. Between two of the chosen moments nothing is made up.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from node.control import results as r
from node.engine.services import Services
from node.privacy.reserving import epsilon_of
from node.store import people
from node.store.store import Transaction
from protocol.layout.noise import Charge

#: Moments that are told, the newest among them. Each is composed once, and read from then on.
MOST_POINTS: Final = 16


@dataclass(frozen=True, slots=True)
class _Reserve:
    """A job's line: its noise, its rounds, from when on, until when, and each charge's moment."""

    rate: float
    multiplier: float
    rounds: int
    at: float
    released: float | None
    charges: tuple[float, ...]

    def told(self, at: float) -> Charge:
        """What it had told by then."""
        return Charge(self.rate, self.multiplier, sum(each <= at for each in self.charges))

    def bound(self, at: float) -> Charge:
        """What it could come to, as it was known then."""
        if self.at > at:
            return Charge(self.rate, self.multiplier, 0)
        if self.released is not None and self.released <= at:
            return self.told(at)
        return Charge(self.rate, self.multiplier, self.rounds)


async def with_history(services: Services, budgets: Sequence[r.Privacy]) -> tuple[r.Privacy, ...]:
    """Budgets with how each stood before."""
    return tuple(
        [dataclasses.replace(each, history=await _history(services, each)) for each in budgets]
    )


async def _history(services: Services, budget: r.Privacy) -> tuple[r.PrivacyPoint, ...]:
    lines = await services.store.read(lambda tx: _load(tx, budget.dataset))
    moments = {each.at for each in lines}
    moments |= {at for each in lines for at in each.charges}
    moments |= {each.released for each in lines if each.released is not None}
    points = []
    for at in _chosen(sorted(moments)):
        told = await epsilon_of(services, [each.told(at) for each in lines], budget.delta)
        bound = await epsilon_of(services, [each.bound(at) for each in lines], budget.delta)
        finite = math.isfinite(told)
        points.append(
            r.PrivacyPoint(
                at=at,
                spent=told if finite else None,
                reserved=max(0.0, bound - told) if finite and math.isfinite(bound) else None,
                left=max(0.0, budget.epsilon - bound),
            )
        )
    return tuple(points)


def _chosen(moments: Sequence[float]) -> list[float]:
    """At most MOST_POINTS of them, evenly among what happened; the first and the last stay."""
    count = len(moments)
    if count <= MOST_POINTS:
        return list(moments)
    return [moments[k * (count - 1) // (MOST_POINTS - 1)] for k in range(MOST_POINTS)]


_SELECT: Final = "SELECT job, rate, multiplier, rounds, at, released FROM privacy_reserves"


def _load(tx: Transaction, dataset: str) -> list[_Reserve]:
    group = people.group(tx, dataset)
    marks = ", ".join("?" for _ in group)
    rows = tx.execute(f"{_SELECT} WHERE dataset IN ({marks}) ORDER BY rowid", group).fetchall()
    found = []
    for job, rate, multiplier, rounds, at, released in rows:
        charged = tx.execute(
            "SELECT at FROM privacy_charges WHERE job = ? ORDER BY round", (job,)
        ).fetchall()
        moments = tuple(each for (each,) in charged)
        found.append(_Reserve(rate, multiplier, rounds, at, released, moments))
    return found
