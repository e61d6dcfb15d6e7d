"""Sealed jobs: what their specs allow, what owners' policies let through, what they are told."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from kits.specs import SPEC

from protocol import params
from protocol.addresses import to_checksum
from protocol.layout.sealed import SealedLayout
from protocol.policy.policy import Policy
from protocol.policy.rules import DatasetFacts, Decision, Verdict, judge, obstacles
from protocol.policy.terms import with_changes
from protocol.spec.job import (
    Family,
    Faulty,
    FeatureMap,
    JobSpec,
    ModelSpec,
    Terms,
    decode_spec,
    encode_spec,
)
from protocol.spec.render import render_toml
from protocol.spec.toml import parse_toml

PROOF = bytes(params.KEY_PROOF_ROOTS * len(SPEC.modulus))
DATA = DatasetFacts(("id", *SPEC.columns), 100)
REQUESTER = to_checksum(SPEC.requester.account)


def sealed(epsilon: float | None = 4.0, **model: Any) -> JobSpec:
    shape = {"family": Family.SOFTMAX, "hidden": 0, "weight_limit": 64.0} | model
    delta = 0.0 if epsilon is None else 1e-5
    privacy = dataclasses.replace(SPEC.privacy, sealed=True, epsilon=epsilon, delta=delta)
    return dataclasses.replace(SPEC, model=ModelSpec(**shape), privacy=privacy, proof=PROOF)


@pytest.mark.parametrize(
    ("model", "features"),
    [
        ({}, 4),
        ({"bias": 0.5}, 5),
        ({"map": FeatureMap.FOURIER, "map_width": 8, "map_scale": 1.0}, 8),
        ({"map": FeatureMap.DENSE, "map_width": 7, "map_scale": 1.0, "bias": 1.0}, 8),
    ],
)
def test_sizes_follow_from_features(model: dict[str, Any], features: int) -> None:
    spec = sealed(**model)
    largest = spec.cohort.largest_block
    layout = SealedLayout(features, 3, spec.encryption.value_bits, 3072, largest)
    assert spec.feature_count == features
    assert spec.parameter_count == 3 * features == layout.values
    assert spec.layout == layout
    assert spec.model_bytes == layout.model_bytes
    assert spec.packing.ciphertexts(spec.parameter_count) == layout.reply_ciphertexts
    assert decode_spec(encode_spec(spec)) == spec


def test_statistics_are_charged_once_and_gradients_every_round() -> None:
    assert sealed().charged_rounds == 1
    assert SPEC.charged_rounds == SPEC.training.rounds
    assert sealed().training.local_steps > 1  # which open models with noise may not have


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"model": ModelSpec(Family.DENSE, 4, weight_limit=1.0)},
            "is dense; sealed models are linear in their weights: linear, logistic, softmax, on "
            "the inputs or on a public map of them",
        ),
        ({"proof": b""}, "proof: has 0 bytes; a sealed job's has 3072"),
        ({"proof": PROOF[:-1]}, "proof: has 3071 bytes; a sealed job's has 3072"),
        (
            {"model": ModelSpec(Family.SOFTMAX, 0, FeatureMap.DENSE, 1024, 1.0, 0.0, 1.0, 64.0)},
            "make 1025 features of a sealed model, 1024 are allowed",
        ),
        # Numbers that an owner could not divide by: it would find out when it is charged already.
        (
            {"model": ModelSpec(Family.SOFTMAX, 0, weight_limit=5e-324)},
            "a range of at least 1e-06",
        ),
        (
            {"training": dataclasses.replace(SPEC.training, clip_norm=1e-9)},
            "training.clip_norm: is 1e-09; a sealed model's features need at least 1e-06",
        ),
    ],
)
def test_what_cannot_be_sealed_says_why(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Faulty) as caught:
        dataclasses.replace(sealed(), **changes)
    assert reason in str(caught.value)


def policy(**changes: Any) -> Policy:
    return with_changes(Policy.closed(), {"accept": "auto", "sealed_models": True} | changes)


def test_with_noise_a_sealed_job_fits_like_any_other() -> None:
    assert judge(policy(), sealed(), DATA) == Decision(Verdict.ACCEPT, ())
    assert judge(policy(sealed_models=False), sealed(), DATA).verdict is Verdict.WAIT


def test_without_noise_only_a_trusted_requesters_job_is_taken() -> None:
    spec = sealed(epsilon=None)
    allowed = policy(no_noise=True)
    decision = judge(allowed, spec, DATA)
    assert decision.verdict is Verdict.REFUSE
    assert len(decision.reasons) == 1
    assert "weights crafted to spy could read every row" in decision.reasons[0]
    assert f"trusted={REQUESTER} would allow it" in decision.reasons[0]
    assert obstacles(allowed, spec, DATA) == decision.reasons  # nor by hand
    other = policy(no_noise=True, trusted=to_checksum(b"\x77" * 20))
    assert judge(other, spec, DATA).verdict is Verdict.REFUSE
    trusting = policy(no_noise=True, trusted=REQUESTER)
    assert judge(trusting, spec, DATA) == Decision(Verdict.ACCEPT, ())
    # Trust in one requester's weights is no leave to go without noise.
    assert judge(policy(trusted=REQUESTER), spec, DATA).verdict is Verdict.REFUSE
    # And an open job without noise asks for no such trust.
    assert judge(with_changes(allowed, {"open_models": True}), SPEC, DATA).verdict is Verdict.ACCEPT


@pytest.mark.parametrize("epsilon", [None, 4.0])
@pytest.mark.parametrize(
    "model",
    [
        {},
        {
            "map": FeatureMap.FOURIER,
            "map_width": 8,
            "map_scale": 0.5,
            "center": 0.25,
            "bias": 0.125,
            "weight_limit": 8.0,
        },
    ],
)
def test_a_file_made_of_a_sealed_job_makes_it_again(
    model: dict[str, Any], epsilon: float | None
) -> None:
    terms = sealed(epsilon, **model)
    read = parse_toml(render_toml(terms)).terms
    assert read == Terms(**{f.name: getattr(terms, f.name) for f in dataclasses.fields(Terms)})
