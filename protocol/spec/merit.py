"""Which pots can be measured: a spec that promises worth where none can be told is no spec.

protocol/arith/learning/worth.py and worth_fit.py say from what worth is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from protocol import params
from protocol.layout.packing import model_bytes
from protocol.spec.checks import Fault
from protocol.spec.model import TrainingSpec
from protocol.spec.parts import CohortSpec, PaymentSpec, PrivacySpec


class Measurable(Protocol):
    """The part of a spec's terms from which worth is told."""

    @property
    def training(self) -> TrainingSpec: ...
    @property
    def privacy(self) -> PrivacySpec: ...
    @property
    def cohort(self) -> CohortSpec: ...
    @property
    def payment(self) -> PaymentSpec: ...
    @property
    def block_count(self) -> int: ...
    @property
    def parameter_count(self) -> int: ...


_EQUAL = 'say merit_by = "equal"'


def merit_faults(terms: Measurable) -> Iterator[Fault]:
    """What stands in the way of measuring a pot that is not shared equally."""
    payment = terms.payment
    if not payment.measures:
        return
    told = [*_untold(terms), *(_unpublished(terms) if payment.publishes else ())]
    for why in told:
        yield Fault("payment.merit_by", f"is {payment.merit_by}, {why}")


def _untold(terms: Measurable) -> Iterator[str]:
    cohort, rounds = terms.cohort, terms.training.rounds
    blocks, least = cohort.min_owners // cohort.block_size, params.TELLING_BLOCKS
    if blocks < least:
        yield (
            f"which is measured from {least} blocks on; min_owners {cohort.min_owners} makes "
            f"{blocks} of {cohort.block_size}: {_EQUAL}, or min_owners = "
            f"{least * cohort.block_size}"
        )
    elif cohort.shuffle and rounds < (needed := telling_rounds(cohort)):
        yield (
            f"and {rounds} rounds do not tell up to {cohort.max_owners} owners apart: {_EQUAL}, or "
            f"rounds = {needed}"
        )


def _unpublished(terms: Measurable) -> Iterator[str]:
    if terms.privacy.sealed:
        yield (
            "for which the sums of blocks are published, and they would show a sealed model's "
            f'weights: {_EQUAL}, or merit_by = "discretion"'
        )
    elif (size := sums_bytes(terms)) > params.MAX_BLOB_BYTES:
        yield (
            f"for which each round's sums are published: {size} bytes, {params.MAX_BLOB_BYTES} "
            f'are allowed; {_EQUAL}, or merit_by = "discretion"'
        )


def telling_rounds(cohort: CohortSpec) -> int:
    """Rounds that tell members apart where blocks are drawn anew: as many equations (blocks - 1 a
    round) as owners, whatever their number turns out to be."""
    least = params.TELLING_ROUNDS
    for blocks in range(
        cohort.min_owners // cohort.block_size, cohort.max_owners // cohort.block_size + 1
    ):
        most = min(cohort.max_owners, (blocks + 1) * cohort.block_size - 1)
        least = max(least, -(-most // (blocks - 1)))
    return least


def sums_bytes(terms: Measurable) -> int:
    """The most bytes of one round's mean gradients, one a block, as they are published."""
    return terms.block_count * model_bytes(terms.parameter_count)
