"""What a requester is told of a policy that does not take its job, where its owner lets it know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from protocol.policy.policy import Policy
from protocol.policy.rules import RULES, Case, DatasetFacts, Standing
from protocol.spec.job import JobSpec
from protocol.wire.messages import DeclinedTerm

#: Rules that look at the spec and the policy alone, by what a requester is told of them. What of
#: the data, of the owner's past or of who asks decides is not among them.
_NAMED: Final[Mapping[str, DeclinedTerm]] = {
    "no_noise": DeclinedTerm.NO_NOISE,
    "published_sums": DeclinedTerm.SUMS,
    "epsilon": DeclinedTerm.EPSILON,
    "token": DeclinedTerm.PAID_IN,
    "price_floor": DeclinedTerm.PRICE,
    "purposes": DeclinedTerm.PURPOSE,
    "sealed_models": DeclinedTerm.SEALED,
    "open_models": DeclinedTerm.OPEN,
    "min_block": DeclinedTerm.BLOCK,
    "corrupt_least": DeclinedTerm.CORRUPT,
    "finality_least": DeclinedTerm.FINALITY,
    "max_rounds": DeclinedTerm.ROUNDS,
    "min_contribute_seconds": DeclinedTerm.SECONDS,
    "encoders": DeclinedTerm.ENCODER,
}


def unmet(policy: Policy, spec: JobSpec, columns: Sequence[str]) -> tuple[DeclinedTerm, ...]:
    """What a requester is told of a policy that does not take its job: which terms its spec does
    not meet. Nothing unless the owner lets it know, and of data sets without the job's columns.

    It follows from the spec, the policy and the columns' names. No cell, no count of rows and no
    record of other jobs is looked at.
    """
    if not (policy.explain_refusals and policy.decided and set(spec.columns) <= set(columns)):
        return ()
    case = Case(policy, spec, DatasetFacts(tuple(columns), 1), Standing())
    broken = {rule.name for rule in RULES if rule.name in _NAMED and rule.broken(case) is not None}
    return tuple(term for name, term in _NAMED.items() if name in broken)
