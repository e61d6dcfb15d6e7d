"""Which epsilon and delta protect little: said of a job before it is posted (docs/spec/privacy.md).

A spec may ask for them all the same: what is enough is its owners' to say, in their policies.
"""

from __future__ import annotations

from collections.abc import Iterator

from protocol import params
from protocol.spec.job import Terms


def weak(terms: Terms) -> Iterator[str]:
    """What is weak about a job's noise, each with its field; nothing of a job without any."""
    epsilon, delta = terms.privacy.epsilon, terms.privacy.delta
    if epsilon is None:
        return
    if epsilon > params.WEAK_EPSILON:
        yield (
            f"privacy.epsilon is {epsilon:g}, which is weak: above {params.WEAK_EPSILON:g} the "
            "guarantee alone lets somebody who knows all other rows of an owner tell whether one "
            "row is there, at odds of more than 22,000 to 1"
        )
    rows = terms.training.batch_rows
    if rows * params.WEAK_DELTA > 1 and delta * rows >= 1:
        yield (
            f"privacy.delta is {delta:g}, which is weak: at 1 / {rows} (training.batch_rows) or "
            "more, to show one row of so many to everybody would be allowed"
        )
    elif delta > params.WEAK_DELTA:
        yield (
            f"privacy.delta is {delta:g}, which is weak: above {params.WEAK_DELTA:g} one job in "
            f"{round(1 / params.WEAK_DELTA)} may tell everything"
        )
