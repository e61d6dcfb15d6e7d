"""From goals to parameters: the least that reach them, and nothing less."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.arith.encoding.lanes import Lanes
from protocol.arith.numbers.fixedpoint import FixedPoint
from protocol.cost.encryption import SECURITY_BITS, Goals, add_seconds, choose, decrypt_seconds
from protocol.errors import InputError
from protocol.params import KEY_BITS, MAX_COHORT, MAX_PARAMETERS, VALUE_BITS

goals = st.builds(
    Goals,
    parameters=st.integers(1, MAX_PARAMETERS),
    owners=st.integers(1, MAX_COHORT),
    clip=st.floats(1e-3, 1e3),
    precision=st.floats(1e-4, 1e2),
    security=st.integers(1, 192),
)


@given(goals)
def test_goals_are_reached_by_the_least(wanted: Goals) -> None:
    found = choose(wanted)
    lanes = Lanes(found.value_bits, wanted.owners, found.key_bits)
    assert (found.lane_bits, found.lanes) == (lanes.width, lanes.lanes_per_ciphertext)
    assert found.headroom == lanes.headroom >= wanted.owners
    assert found.ciphertexts == lanes.ciphertexts(wanted.parameters)
    assert found.precision == FixedPoint(found.value_bits, wanted.clip).step
    assert found.precision <= wanted.precision * (1 + 1e-12)
    if found.value_bits > VALUE_BITS[0]:
        narrower = FixedPoint(found.value_bits - 1, wanted.clip)
        assert narrower.step > wanted.precision * (1 - 1e-12)
    shorter = [bits for bits in KEY_BITS if bits < found.key_bits]
    assert SECURITY_BITS[found.key_bits] >= wanted.security
    assert all(SECURITY_BITS[bits] < wanted.security for bits in shorter)


def test_every_length_of_a_key_has_its_security() -> None:
    assert tuple(SECURITY_BITS) == KEY_BITS


def test_a_gradient_of_a_hundred_thousand_values() -> None:
    found = choose(Goals(100_000, 32, clip=1.0, precision=1 / 32767))
    assert (found.key_bits, found.value_bits, found.lane_bits, found.lanes) == (3072, 16, 21, 146)
    assert found.ciphertexts == 685
    assert found.contribution_bytes == 45 + 685 * 768
    assert math.isclose(found.bytes_per_parameter, 5.26, rel_tol=1e-3)
    assert choose(Goals(100_000, 32, 1.0, 1 / 127)).bytes_per_parameter < 3.5
    assert found.add_seconds == add_seconds(3072, 685) < found.encrypt_seconds
    assert found.decrypt_seconds == decrypt_seconds(3072, 685)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"parameters": 0}, "parameters"),
        ({"parameters": MAX_PARAMETERS + 1}, "parameters"),
        ({"owners": 0}, "owners"),
        ({"owners": MAX_COHORT + 1}, "owners"),
        ({"clip": math.nan}, "clip"),
        ({"clip": 0.0}, "clip"),
        ({"precision": math.inf}, "precision"),
        ({"security": 193}, "security"),
        ({"precision": 1e-12}, "precision"),
    ],
)
def test_goals_out_of_reach_are_refused(change: dict, field: str) -> None:
    given_ = {"parameters": 10, "owners": 5, "clip": 1.0, "precision": 0.01}
    with pytest.raises(InputError) as caught:
        choose(Goals(**(given_ | change)))
    assert caught.value.field == field
