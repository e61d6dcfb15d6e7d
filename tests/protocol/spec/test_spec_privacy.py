"""What a spec may promise: noise, dropouts, corrupt members, shuffled blocks, and the rules."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.specs import SPEC, with_

from protocol.spec.job import (
    CohortSpec,
    EncryptionSpec,
    Envelope,
    Faulty,
    PrivacySpec,
    TrainingSpec,
)

NOISY = dataclasses.replace(
    SPEC,
    training=TrainingSpec(20, 1, 1024, 1.0, 4.0, 0.01, 1.0, 0.5),
    privacy=PrivacySpec(8.0, 1e-5, 2, 1, False),
    encryption=EncryptionSpec(Envelope.MASKS, 3072, 16),
    cohort=CohortSpec(8, 16, 8, (), True),
)


@pytest.mark.parametrize(
    ("path", "value", "blamed", "reason"),
    [
        ("privacy.epsilon", None, "PrivacySpec.delta", "without epsilon it is 0"),
        ("privacy.delta", 0.0, "PrivacySpec.delta", "with epsilon it is above 0"),
        ("privacy.dropouts", 3, "privacy.corrupt", "beside 3 dropouts: in a block of 8, 5 shares"),
        ("privacy.corrupt", 2, "privacy.corrupt", "in a block of 8, 6 shares"),
        ("training.local_steps", 2, "training.local_steps", "noise is added to one gradient"),
        ("encryption.value_bits", 4, "encryption.value_bits", "steps of the grid"),
    ],
)
def test_noise_has_rules_of_its_own(path: str, value: Any, blamed: str, reason: str) -> None:
    with pytest.raises(Faulty) as caught:
        with_(path, value, NOISY)
    assert blamed in str(caught.value)
    assert reason in str(caught.value)


@given(st.integers(5, 32), st.integers(0, 16), st.integers(0, 32))
def test_a_threshold_is_above_half_and_within_reach(block: int, drop: int, corrupt: int) -> None:
    """2t > n + c, so that no two sets of t share corrupt members only; t <= n - d - c, so that
    those who are left and honest are enough (docs/design.md, section 5)."""
    privacy = PrivacySpec(8.0, 1e-5, drop, corrupt, False)
    cohort = CohortSpec(block, block, block, (), False)
    least = min(t for t in range(2 * block + corrupt) if 2 * t > block + corrupt)
    if least <= block - drop - corrupt:
        spec = dataclasses.replace(NOISY, privacy=privacy, cohort=cohort)
        assert spec.threshold(block) == least
        assert spec.quorum(block) == block - drop
        return
    with pytest.raises(Faulty, match=f"{least} shares rebuild a secret"):
        dataclasses.replace(NOISY, privacy=privacy, cohort=cohort)


@pytest.mark.parametrize(("members", "corrupt", "expected"), [(8, 1, 5), (32, 4, 19), (5, 1, 4)])
def test_the_threshold_is_that_of_design_md(members: int, corrupt: int, expected: int) -> None:
    spec = dataclasses.replace(
        SPEC,
        cohort=CohortSpec(members, members, members, (), False),
        privacy=PrivacySpec(None, 0.0, 0, corrupt, False),
    )
    assert spec.threshold(members) == expected
