"""What the figures of scale are made of: counted bytes, fitted exponents."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator import scaling
from simulator.meter import Meter

from scripts.benchmarks.scale import exponent


@given(k=st.floats(0.0, 3.0), factor=st.floats(0.1, 1e6))
def test_a_power_law_is_found(k: float, factor: float) -> None:
    sizes = [16.0, 64.0, 256.0, 1024.0]
    assert math.isclose(exponent(sizes, [factor * n**k for n in sizes]), k, abs_tol=1e-9)


def test_what_is_no_power_law_is_refused() -> None:
    for sizes, found in (([16.0], [1.0]), ([16.0, 16.0], [1.0, 2.0]), ([1.0, 2.0], [0.0, 1.0])):
        with pytest.raises(ValueError, match="no power law"):
            exponent(sizes, found)


def test_a_mesh_hears_as_much_as_it_says() -> None:
    """One copy a neighbour from the origin, one fewer from everybody else."""
    meter = Meter()
    meter.gossip("Open", 100, "r", [f"o{i}" for i in range(10)])
    assert meter.sent["r", "Open"] == 400
    assert meter.sent["o3", "Open"] == meter.received["o3", "Open"] == 300
    meter.stream("Ready", 50, "o3", "r")
    assert meter.of("o3") == {"Open": 600, "Ready": 50}


@pytest.mark.ci
def test_a_round_of_two_blocks_is_counted() -> None:
    told = scaling.measure(32)
    requester, owner = told["requester"], told["owner"]
    assert isinstance(requester, dict)
    assert isinstance(owner, dict)
    # Every Ready once in; every roster once out, of which each block's first member serves others.
    assert requester["Ready"] >= 32 * 16 * 32 + 32 * 7 * 64
    assert math.isclose(requester["roster"], requester["Ready"], rel_tol=0.05)
    assert told["owner_shared"] == sum(
        size
        for kind, size in owner.items()
        if kind not in ("Ready", "Contribution", "Release", "roster", "batch")
    )
    assert owner["contribution list"] >= 32 * 34
    assert "cohort list" not in requester, "nobody fetches it in a second round"
    assert isinstance(told["seconds"], float)
    assert told["seconds"] > 0.0
