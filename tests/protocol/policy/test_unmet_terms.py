"""What a requester is told of a policy that does not take its job: what its spec says, no more."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from kits.specs import SPEC

from protocol.addresses import to_checksum
from protocol.policy.policy import Policy
from protocol.policy.rules import DatasetFacts, Standing, judge
from protocol.policy.terms import with_changes
from protocol.policy.unmet import unmet
from protocol.spec.job import JobSpec, MeritBy
from protocol.wire.messages import DeclinedTerm as Term

COLUMNS = ("id", *SPEC.columns)
OTHER = to_checksum(b"\x77" * 20)
OPEN = with_changes(Policy.closed(), {"accept": "auto", "no_noise": True, "explain_refusals": True})
NOISY = dataclasses.replace(
    SPEC,
    privacy=dataclasses.replace(SPEC.privacy, epsilon=9.0, delta=1e-5),
    training=dataclasses.replace(SPEC.training, local_steps=1),
    encryption=dataclasses.replace(SPEC.encryption, value_bits=20),
)
WORTH = dataclasses.replace(
    SPEC,
    cohort=dataclasses.replace(SPEC.cohort, min_owners=15, max_owners=15),
    payment=dataclasses.replace(SPEC.payment, merit=10, merit_by=MeritBy.WORTH),
    holdout=b"\x05" * 32,
)


@pytest.mark.parametrize(
    ("changes", "spec", "told"),
    [
        ({}, SPEC, ()),
        ({"no_noise": False}, SPEC, (Term.NO_NOISE,)),
        ({}, WORTH, (Term.SUMS,)),
        ({"published_sums": True}, WORTH, ()),
        ({"no_noise": False}, WORTH, (Term.NO_NOISE, Term.SUMS)),
        ({}, NOISY, (Term.EPSILON,)),
        ({"token": OTHER}, SPEC, (Term.PAID_IN,)),
        ({"price_floor": "1 ether"}, SPEC, (Term.PRICE,)),
        ({"purposes": "care"}, SPEC, (Term.PURPOSE,)),
        ({"open_models": False}, SPEC, (Term.OPEN,)),
        ({"min_block": 6, "corrupt_least": 2}, SPEC, (Term.BLOCK, Term.CORRUPT)),
        ({"finality_least": 12}, SPEC, (Term.FINALITY,)),
        ({"max_rounds": 1}, SPEC, (Term.ROUNDS,)),
        ({"min_contribute_seconds": 3600}, SPEC, (Term.SECONDS,)),
        # Who asks, what is left to a person, and other jobs are nobody's business.
        ({"requesters": OTHER}, SPEC, ()),
        ({"blocked": to_checksum(SPEC.requester.account)}, SPEC, ()),
        ({"accept": "ask"}, SPEC, ()),
        ({"accept": "never"}, SPEC, ()),
        ({"no_noise_jobs": 0, "max_unpaid": 0}, SPEC, ()),
    ],
)
def test_the_terms_that_a_spec_does_not_meet(
    changes: dict[str, Any], spec: JobSpec, told: tuple[Term, ...]
) -> None:
    assert unmet(with_changes(OPEN, changes), spec, COLUMNS) == told


def test_nothing_is_told_unless_the_owner_says_so() -> None:
    cheap = with_changes(OPEN, {"price_floor": "1 ether"})
    silent = with_changes(cheap, {"explain_refusals": False})
    assert not Policy.closed().explain_refusals
    assert unmet(silent, SPEC, COLUMNS) == ()
    assert unmet(dataclasses.replace(cheap, decided=False), SPEC, COLUMNS) == ()
    assert unmet(cheap, SPEC, COLUMNS[1:]) == (Term.PRICE,)
    # A data set that could not serve the job has no say in it.
    assert unmet(cheap, SPEC, ("id",)) == ()


def test_rows_and_other_jobs_change_nothing_of_it() -> None:
    """A policy that refuses for these alone is silent."""
    for facts, standing in (
        (DatasetFacts(COLUMNS, 0), Standing()),
        (DatasetFacts(COLUMNS, 100), Standing(unpaid=10**6, joined=10**6)),
    ):
        assert judge(OPEN, SPEC, facts, standing).reasons
    assert unmet(OPEN, SPEC, COLUMNS) == ()
