"""From a computation and its result to the input that tells its machine."""

from __future__ import annotations

from typing import get_args

from protocol.machines import inputs
from protocol.machines.effects import (
    Compute,
    ComputeApply,
    ComputeCheck,
    ComputeContribution,
    ComputeInitialModel,
    ComputeSum,
    Facts,
)

#: Every type of outcome, for whoever reads a stored one again.
OUTCOMES: tuple[type[inputs.Outcome], ...] = get_args(inputs.Outcome)


def done(
    effect: Compute,
    at: int,
    digest: bytes = b"",
    size: int = 0,
    momentum: bytes = b"",
    facts: Facts = (),
    worth: bytes = b"",
) -> inputs.Outcome:
    """What `effect` came to: the blob `digest` of `size` bytes, and what else a step wants."""
    match effect:
        case ComputeInitialModel():
            return inputs.InitialModelMade(at, digest, size)
        case ComputeContribution():
            return inputs.ContributionMade(at, effect.round, effect.attempt, digest, size, facts)
        case ComputeCheck():
            return inputs.BatchSound(at, effect.round, effect.attempt, effect.member)
        case ComputeSum():
            return inputs.SumMade(at, effect.round, effect.attempt, effect.block, digest)
        case ComputeApply():
            return inputs.ModelMoved(at, effect.round, digest, size, momentum, facts, worth)


def failed(effect: Compute, at: int, reason: str) -> inputs.Outcome:
    """`effect` found its input wrong; `reason` is one line."""
    match effect:
        case ComputeInitialModel():
            return inputs.InitialModelFailed(at, reason)
        case ComputeContribution():
            return inputs.ContributionFailed(at, effect.round, effect.attempt, reason)
        case ComputeCheck():
            return inputs.BatchUnsound(at, effect.round, effect.attempt, effect.member, reason)
        case ComputeSum():
            return inputs.SumFailed(at, effect.round, effect.attempt, effect.block, reason)
        case ComputeApply():
            return inputs.MoveFailed(at, effect.round, reason)
