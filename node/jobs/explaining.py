"""Every rule of policy, data and budget against a job, for the owner's eyes alone.

It reads what the daemon reads when it considers a job, and stores and sends nothing: that a value
decides, or how many rows are of use, is told over the control socket and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from node.control import results as r
from node.control.codes import SHARED
from node.engine.engine import Machine
from node.engine.services import Services
from node.perform import considering
from node.perform.compute import fit
from node.privacy import joins
from node.privacy import reserving as privacy
from node.store import catalogue
from node.store.catalogue import Dataset
from node.store.store import Transaction
from protocol.errors import InputError, StateError
from protocol.owner.state import OwnerState
from protocol.policy.policy import Policy
from protocol.policy.rules import UNDECIDED, Breach, Finding, examine
from protocol.policy.terms import describe

_Outcome = Literal["passes", "waits", "refused", "impossible"]

_OUTCOMES: Final[dict[Breach, _Outcome]] = {
    Breach.WAITS: "waits",
    Breach.RULED_OUT: "refused",
    Breach.IMPOSSIBLE: "impossible",
}

#: From the best to the worst.
_ORDER: Final[tuple[_Outcome, ...]] = ("passes", "waits", "refused", "impossible")


async def explain(
    services: Services, machine: Machine, dataset: str | None
) -> tuple[r.Explained, ...]:
    """One job, for one data set or all by name. Raises InputError if there is no such data set,
    StateError for a job that this home posted."""
    if not isinstance(machine.state, OwnerState):
        error = StateError("this home posted the job itself: its policies are about others' jobs")
        error.add_note(f"assay job show {machine.key.hex()[:8]}")
        raise error

    def load(tx: Transaction) -> list[tuple[Dataset, Policy]]:
        return [
            (each, catalogue.policy_of(tx, each.name))
            for each in catalogue.datasets(tx)
            if dataset in (None, each.name) and (dataset is not None or not each.holdout)
        ]

    found = await services.store.read(load)
    if dataset is not None and not found:
        missing = InputError(f"there is no data set {dataset!r}", "dataset")
        missing.add_note("assay data list")
        raise missing
    if any(each.holdout for each, _ in found):
        raise InputError(f"{dataset} is a hold-out: it is offered to no job", "dataset")
    return tuple([await _explained(services, machine, *each) for each in found])


async def _explained(
    services: Services, machine: Machine, dataset: Dataset, policy: Policy
) -> r.Explained:
    spec, state = machine.context.spec, machine.state
    known = await considering.standing(services, machine, dataset)
    findings = examine(policy, spec, considering.facts_of(dataset), known)
    terms = {term.name: term.value for term in describe(policy)}
    undecided = "" if policy.decided else UNDECIDED
    rules = [
        _rule(Finding("decided", Breach.WAITS, undecided), None),
        *(_rule(each, terms.get(each.rule)) for each in _merged(findings)),
    ]
    if spec.payment.merit:
        pot = services.tokens_shown().shown(spec.payment.merit, spec.payment.token)
        text = f"{pot}, {SHARED[spec.payment.merit_by.value]}"
        rules.append(r.ExplainedRule("merit", None, "passes", text))
    if not any(each.reason for each in findings if each.breach is Breach.IMPOSSIBLE):
        rules += await _measured(services, machine, dataset)
        if spec.privacy.epsilon is None and known.joined < policy.no_noise_jobs:
            # Data sets that share its rows may have stricter policies.
            over = await joins.lacking(services, dataset, machine.key)
            rules += [_rule(Finding("budget", Breach.RULED_OUT, over), None)] if over else []
    return r.Explained(
        job="0x" + machine.key.hex(),
        dataset=dataset.name,
        taken=isinstance(state, OwnerState) and state.dataset == dataset.name,
        verdict=max((rule.outcome for rule in rules), key=_ORDER.index),
        rules=tuple(rules),
    )


async def _measured(
    services: Services, machine: Machine, dataset: Dataset
) -> list[r.ExplainedRule]:
    """What the policy does not say: whether the rows fit, and whether the budget holds the job."""
    spec = machine.context.spec
    found = await fit(services, dataset.name, spec, owner=True, idle=True)
    why = found.refused
    told = why or found.unused or f"all {found.rows} rows can be used"
    data = r.ExplainedRule("data", None, "impossible" if why else "passes", told)
    if spec.privacy.epsilon is None:
        return [data]
    over = await privacy.lacking(services, dataset.name, machine.key, spec, dataset.rows)
    if over:
        return [data, _rule(Finding("budget", Breach.RULED_OUT, over), None)]
    cost = (
        f"it costs epsilon {spec.privacy.epsilon:g} of {dataset.name} at most, over all its rounds"
    )
    return [data, r.ExplainedRule("budget", None, "passes", cost)]


def _merged(findings: Iterable[Finding]) -> list[Finding]:
    """One finding a rule's name: the first that is broken, else any."""
    found: dict[str, Finding] = {}
    for each in findings:
        before = found.setdefault(each.rule, each)
        if not before.reason:
            found[each.rule] = each
    return list(found.values())


def _rule(finding: Finding, value: r.PolicyValue) -> r.ExplainedRule:
    outcome = _OUTCOMES[finding.breach] if finding.reason else "passes"
    return r.ExplainedRule(finding.rule, value, outcome, finding.reason)
