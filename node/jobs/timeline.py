"""A job's rounds as its history shows them: attempts, accuracy, gas, seconds by phase."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from node.chain import events
from node.control import job_results as j
from node.engine.engine import Machine
from node.jobs.audits import Lists
from node.store.jobs import StoredEvent
from node.store.records import Event
from protocol.machines.round import Phase
from protocol.owner.state import OwnerRound, OwnerState
from protocol.requester.state import RequesterRound, RequesterState
from protocol.spec.parts import ClassTarget, Target

#: The event that the engine keeps whenever a round's phase changes.
PHASE_EVENT = "phase"

_OVER = (Phase.DONE.value, Phase.FAILED.value)

#: Contributions to an attempt have been counted.
_COUNTED = (Phase.VERIFY, Phase.COMMIT, Phase.UNMASK, Phase.APPLY, Phase.DONE, Phase.FAILED)


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
    machine: Machine,
    told: list[StoredEvent],
    history: list[Event],
    gas: dict[str, int],
    lists: Lists,
) -> tuple[j.Round, ...]:
    """Every round so far; `lists` are those of the committed rounds that are known here."""
    seconds: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for number, _, phase, length in spans(history):
        seconds[number][phase] += length
    applied = {int(e.facts["round"]): e.facts for e in history if e.kind == "round-applied"}
    closed = Counter(int(e.facts["round"]) for e in history if e.kind == "block-closed")
    commits = {e.event.round: e for e in told if isinstance(e.event, events.Committed)}
    spec, running = machine.context.spec, machine.state.round
    size = spec.packing.batch_bytes(spec.parameter_count)
    views = []
    for number, stored in sorted(commits.items()):
        event = stored.event
        if not isinstance(event, events.Committed):
            continue
        facts = applied.get(number, {})
        # An intent's mark is round.deadline: a commitment that was signed twice has two.
        spent = sum(n for name, n in gas.items() if name.startswith(f"commit/{number}."))
        found = {leaf.block for leaf in lists[number][1]} if number in lists else None
        now = running if running is not None and running.number == number else None
        views.append(
            j.Round(
                number=number,
                attempt=int(facts.get("attempt", now.attempt if now is not None else 0)),
                phase=_phase(bool(facts), now),
                contributors=event.count,
                ready=None,
                blocks=None if found is None else len(found),
                closed=closed[number],
                released=len(now.releases) if isinstance(now, RequesterRound) else None,
                model=event.model_digest,
                accuracy=facts.get("accuracy"),
                loss=facts.get("loss"),
                auc=facts.get("auc"),
                r_squared=facts.get("r_squared"),
                rmse=facts.get("rmse"),
                recall=_recall(spec.target, facts),
                transaction="0x" + stored.tx_hash.hex(),
                gas=spent,
                bytes=event.count * size,
                seconds={k: round(v, 3) for k, v in seconds[number].items()},
            )
        )
    if running is not None and running.number not in commits:
        views.append(_running(running, size, seconds[running.number]))
    return tuple(views)


def _recall(target: Target, facts: Mapping[str, Any]) -> dict[str, float]:
    """What node.work.apply.measured_facts calls recall_K, by the classes' own names."""
    classes = target.classes if isinstance(target, ClassTarget) else ()
    told = {name: facts.get(f"recall_{place}") for place, name in enumerate(classes)}
    return {name: share for name, share in told.items() if share is not None}


def _phase(applied: bool, now: RequesterRound | OwnerRound | None) -> str:
    """The phase of a committed round: as the machine has it, or as it must be by now."""
    if now is not None and not applied:
        return now.phase.value
    return Phase.DONE.value


def _running(now: RequesterRound | OwnerRound, size: int, seconds: dict[str, float]) -> j.Round:
    """The attempt that runs. Only its requester knows who is ready and who has contributed."""
    here = now if isinstance(now, RequesterRound) else None
    contributors = len(here.contributions) if here else 0
    return j.Round(
        number=now.number,
        attempt=now.attempt,
        phase=now.phase.value,
        contributors=contributors,
        ready=len(here.ready) if here else None,
        blocks=len(here.blocks or here.rosters) or None if here else None,
        closed=sum(block.lost for block in here.blocks) if here else 0,
        released=len(here.releases) if here else None,
        model=now.opening.model_digest,
        accuracy=None,
        loss=None,
        auc=None,
        r_squared=None,
        rmse=None,
        recall={},
        transaction="",
        gas=0,
        bytes=contributors * size,
        seconds={k: round(v, 3) for k, v in seconds.items()},
    )


def part_in(state: RequesterState | OwnerState, member: int, block: int | None) -> j.Part:
    """How far a member of a block (None: not drawn yet) has come in the present attempt, as its
    requester knows."""
    now = state.round
    if not isinstance(now, RequesterRound):
        return ""
    if now.releases.at(member) is not None:
        return "released"
    contribution = now.contributions.at(member)
    if contribution is not None and not contribution.bad:
        return "contributed"
    if member in now.refused:
        return "refused"
    # A member that is awaited has time until the attempt goes on, or fails, without it.
    roster = None if block is None else now.roster(block)
    if roster is not None and member in roster.members:
        return "no batch" if now.phase in _COUNTED else "in roster"
    if now.ready.at(member) is not None:
        return "ready"
    return "" if now.phase in (Phase.OPEN, Phase.READY) else "no answer"
