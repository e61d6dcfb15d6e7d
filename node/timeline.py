"""A job's rounds as its history shows them: attempts, accuracy, gas, seconds by phase."""

from __future__ import annotations

import itertools
from collections import defaultdict

from node.chain import events
from node.control import job_results as j
from node.engine import Machine
from node.jobs import StoredEvent
from node.records import Event
from protocol.requester_state import RequesterState
from protocol.round import Phase

#: The event that the engine keeps whenever a round's phase changes.
PHASE_EVENT = "phase"

_OVER = (Phase.DONE.value, Phase.FAILED.value)


def spans(history: list[Event]) -> list[tuple[int, int, str, float]]:
    """(round, attempt, phase, seconds) of every phase that has ended."""
    steps = [e for e in history if e.kind == PHASE_EVENT]
    found = []
    for step, following in itertools.pairwise(steps):
        phase = str(step.facts["text"])
        if phase not in _OVER:
            place = int(step.facts["round"]), int(step.facts["attempt"])
            found.append((*place, phase, following.at - step.at))
    return found


def phase_seconds(history: list[Event]) -> dict[str, float]:
    """Seconds by phase over all rounds."""
    total: dict[str, float] = defaultdict(float)
    for _, _, phase, seconds in spans(history):
        total[phase] += seconds
    return {phase: round(seconds, 3) for phase, seconds in total.items()}


def round_views(
    machine: Machine, told: list[StoredEvent], history: list[Event], gas: dict[str, int]
) -> tuple[j.Round, ...]:
    """Every round so far."""
    seconds: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for number, _, phase, length in spans(history):
        seconds[number][phase] += length
    applied = {int(e.facts["round"]): e.facts for e in history if e.kind == "round-applied"}
    commits = {e.event.round: e for e in told if isinstance(e.event, events.Committed)}
    spec, state = machine.context.spec, machine.state
    size = spec.packing.batch_bytes(spec.parameter_count)
    views = []
    for number, stored in sorted(commits.items()):
        event = stored.event
        if not isinstance(event, events.Committed):
            continue
        facts = applied.get(number, {})
        # An intent's mark is round.deadline: a commitment that was signed twice has two.
        spent = sum(n for name, n in gas.items() if name.startswith(f"commit/{number}."))
        views.append(
            j.Round(
                number=number,
                attempt=int(facts.get("attempt", 0)),
                phase=Phase.DONE.value if facts else Phase.APPLY.value,
                contributors=event.count,
                model=event.model_digest,
                accuracy=facts.get("accuracy"),
                loss=facts.get("loss"),
                transaction="0x" + stored.tx_hash.hex(),
                gas=spent,
                bytes=event.count * size,
                seconds={k: round(v, 3) for k, v in seconds[number].items()},
            )
        )
    running = state.round
    if running is not None and running.number not in commits:
        here = isinstance(state, RequesterState) and state.round is not None
        contributors = len(state.round.contributions) if here else 0  # type: ignore[union-attr]
        views.append(
            j.Round(
                number=running.number,
                attempt=running.attempt,
                phase=running.phase.value,
                contributors=contributors,
                model=running.opening.model_digest,
                accuracy=None,
                loss=None,
                transaction="",
                gas=0,
                bytes=contributors * size,
                seconds={k: round(v, 3) for k, v in seconds[running.number].items()},
            )
        )
    return tuple(views)
