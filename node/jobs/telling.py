"""The life of each job in the daemon's log: a line for whatever its user would want to know."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from node.engine.engine import Machine
from node.jobs.timeline import PHASE_EVENT
from node.store.records import Event

log = logging.getLogger("assay.jobs")

#: Of a user's concern for another reason than that it happened.
_TROUBLE: Final = frozenset(
    {
        "attempt-failed",
        "batch-refused",
        "block-closed",
        "broken",
        "failed",
        "fault",
        "gave-up",
        "no-sum",
        "proof-failed",
        "proof-undecided",
        "training-failed",
        "transaction-failed",
        "worker-died",
    }
)

#: What an event measured that fits into its line: the fact, and how it reads.
_MEASURED: Final = {
    "accuracy": "accuracy {:.2%}",
    "r_squared": "R² {:.3f}",
    "epsilon": "epsilon {:.3g}",
}


def tell(machine: Machine, events: Sequence[Event]) -> None:
    """Log them. Phases of rounds are left out: `assay job watch` shows those."""
    job = machine.key.hex()[:8]
    for event in events:
        if event.kind == PHASE_EVENT:
            continue
        if event.kind in _TROUBLE:
            log.warning("job %s: %s", job, line(event))
        else:
            log.info("job %s: %s", job, line(event))


def line(event: Event) -> str:
    """An event in words: 'round-applied: round 0: 1 of 12 done, accuracy 91.20 %'."""
    said = [str(event.facts.get("text", ""))]
    for name, form in _MEASURED.items():
        value = event.facts.get(name)
        if isinstance(value, float):
            said.append(form.format(value))
    return f"{event.kind}: {', '.join(part for part in said if part)}"
