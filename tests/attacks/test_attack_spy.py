"""The spy reads what it should where nothing is noised, and the noised statistic where it is."""

from __future__ import annotations

import random

import numpy as np
import pytest

from protocol.arith.numbers.entropy import Entropy
from protocol.arith.paillier.cryptosystem import PrivateKey, generate_short_key
from protocol.arith.sealed.affine import Quantised
from scripts.attacks import spy
from scripts.attacks.spied import Block, crafts
from scripts.attacks.spy import Owner, Spy


def seeded(seed: int) -> Entropy:
    return random.Random(seed).randbytes


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return generate_short_key(512, seeded(1))


def block_of(key: PrivateKey, features: int) -> Block:
    return Block.of_puppets(key, features, seeded(2))


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("features", [1, 6])
def test_every_kind_of_weights_spells_out_any_matrix(
    key: PrivateKey, features: int, which: int
) -> None:
    block = block_of(key, features)
    layout, rng = block.layout, np.random.default_rng(which)
    craft = crafts(layout, seeded(3))[which]
    # Entries as large as an owner may have: rows' magnitudes sum to row_max at most.
    matrix = rng.integers(-1, 1, (features, features), endpoint=True)
    matrix *= layout.row_max // features
    offset = rng.integers(-layout.bound, layout.bound, (features, 1), endpoint=True)
    found = block.read(craft, Quantised(matrix, offset, 0))
    assert (found.matrix == matrix).all()
    assert (found.offset == offset).all()
    assert block.answered == 1 + craft.rounds(layout)


def test_powers_read_several_columns_at_once(key: PrivateKey) -> None:
    block = block_of(key, 6)
    powers, basis, huge = crafts(block.layout, seeded(3))
    assert powers.rounds(block.layout) < basis.rounds(block.layout) == 6
    assert basis.factor(block.layout, key.public.n) == block.layout.weight_max
    assert huge.factor(block.layout, key.public.n) > 1 << 500


@pytest.mark.parametrize("steps", [1, 50])
@pytest.mark.parametrize("sigma", [0.0, 1.0])
def test_a_step_tells_the_statistic_that_it_was_made_of(
    key: PrivateKey, steps: int, sigma: float
) -> None:
    owner = Owner.made(80, 5, seeded(4))
    kept, layout = owner.statistics(sigma), block_of(key, 6).layout
    chosen = Spy.on(layout, owner.model, 80, sigma, steps)
    step = chosen.step(kept)
    gram, moments = spy.made_of(kept)
    assert chosen.gram(step.matrix, 80, sigma) == pytest.approx(gram, abs=80 * 2.0**-14)
    if steps == 1:
        assert chosen.moments(step.offset, 80) == pytest.approx(moments, abs=80 * 2.0**-30)
    assert step.clipped == 0


def test_a_row_is_what_it_adds() -> None:
    owner = Owner.made(40, 5, seeded(5))
    with_it, without = (spy.made_of(each.statistics()) for each in (owner, owner.without(0)))
    assert spy.recovered(with_it, without, owner) == pytest.approx(1.0, abs=1e-6)
    other = spy.made_of(owner.without(1).statistics())
    assert spy.recovered(with_it, other, owner) < 0.999


@pytest.mark.parametrize(("epsilon", "most"), [(0.0, 1e-5), (np.log(3.0), 0.5), (30.0, 1.0)])
def test_the_advantage_that_epsilon_allows(epsilon: float, most: float) -> None:
    """At ln 3 a test that is right three times in four; at 0 only what delta gives away."""
    assert spy.allowed(float(epsilon), 1e-5) == pytest.approx(most, abs=1e-5)


def test_membership_falls_where_noise_is_left_out() -> None:
    """The row's verdict says so: a multiplier near 0 is no defence at the epsilon it is sold as."""
    assert spy.membership_row({1.0: 4.046}, 300).holds
    assert not spy.membership_row({1.0: 0.1}, 50).holds


def test_rows_fall_where_noise_is_left_out(key: PrivateKey) -> None:
    owner, block = Owner.made(50, 11, seeded(6)), block_of(key, 12)
    almost_none = {8.0: 1e-4}
    assert not spy.single_row(block.layout, owner, almost_none).holds
    assert not spy.jobs_row(block.layout, owner, almost_none).holds
    assert not spy.gram_row(block, owner, almost_none, 1, seeded(7)).holds


@pytest.mark.ci
def test_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spy, "DRAWS", 8)
    table = spy.run(seeded(8), bits=512, tries=300)
    assert [row.holds for row in table.rows] == [True] * 9
    assert [row.without_defence.split(",")[0] for row in table.rows[:3]] == ["961 of 961"] * 3
    assert [row.without_defence for row in table.rows[6:]] == ["1.000"] * 3
