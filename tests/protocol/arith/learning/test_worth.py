"""Worth: measured on rows held out, averaged or regressed over rounds, never paid for variance."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.examples import examples

from protocol.arith.learning import models, worth
from protocol.arith.learning.models import Family, Floats, Model
from protocol.arith.learning.training import Training, apply_gradient, local_gradient
from protocol.arith.learning.worth import MEASURED_ROWS, Value, measure, worth_of_members
from protocol.arith.learning.worth_fit import Estimate, Observations, estimate, fit, mixture
from protocol.arith.learning.worth_record import MAX_VALUE, append, decode
from protocol.errors import FatalError, InputError, Malformed
from protocol.params import MAX_COHORT, MAX_ROUNDS

SEED = bytes(range(32))
MODEL = Model(Family.SOFTMAX, 3, 3)
TRAINING = Training(20, 16, 0.5, 2.0, ridge=0.01, server_rate=1.0, momentum=0.5)

Blocks = list[tuple[Floats, int]]


def rows(seed: int, count: int = 120) -> tuple[Floats, Floats]:
    random = np.random.default_rng(seed)
    y = random.integers(0, 3, count)
    return random.normal(size=(count, 3)) + 2.0 * np.eye(3)[y], y.astype(np.float64)


def block(weights: Floats, seed: int, poisoned: bool = False) -> tuple[Floats, int]:
    """A block's mean gradient; `poisoned`: of rows whose labels are turned."""
    x, y = rows(seed)
    if poisoned:
        y = (y + 1) % 3
    return local_gradient(MODEL, weights, x, y, TRAINING, SEED)[0], 6


def some_blocks(count: int, weights: Floats, poisoned: int | None = None) -> Blocks:
    return [block(weights, 10 + i, i == poisoned) for i in range(count)]


def measured(
    weights: Floats, momentum: Floats | None, blocks: Blocks, before: Floats | None = None
) -> tuple[Value, ...]:
    return measure(MODEL, weights, momentum, TRAINING, blocks, *rows(1), SEED, before)


def values_of(weights: Floats, blocks: Blocks, before: Floats | None = None) -> list[float]:
    return [value for value, _ in measured(weights, None, blocks, before)]


def right(weights: Floats) -> float:
    """The mean probability of the right class on the rows that `measured` uses."""
    x, y = rows(1)
    return float(
        np.mean(models.link(MODEL, models.scores(MODEL, weights, x))[np.arange(120), y.astype(int)])
    )


@pytest.mark.parametrize("count", [1, 2, 6, 20])
def test_a_round_s_values_add_up_to_its_gain(count: int) -> None:
    """Up to what the wrongness curves: without momentum and ridge, whose moves are nobody's."""
    plain = dataclasses.replace(TRAINING, ridge=0.0, momentum=0.0, rate=0.01)
    weights = models.initial(MODEL, SEED) + 0.1
    blocks = some_blocks(count, weights)
    moved, _ = apply_gradient(MODEL, weights, worth.mean_of(blocks), plain, None)
    ends = [models.wrongness_gradient(MODEL, w, *rows(1)) for w in (weights, moved)]
    length = sum(float(np.linalg.norm(end)) for end in ends) / 2.0
    values = measure(MODEL, weights, None, plain, blocks, *rows(1), SEED, None)
    step = plain.rate * plain.local_steps * length / (6 * count)
    gained = right(moved) - right(weights)
    assert gained > 0.0
    assert step * sum(value for value, _ in values) == pytest.approx(gained, rel=1e-3)


@pytest.mark.parametrize("count", [3, 5, 8, 12, 24])
@pytest.mark.parametrize("poisoned", [0, 2])
def test_a_poisoned_block_is_worth_least_and_less_than_nothing(count: int, poisoned: int) -> None:
    weights = models.initial(MODEL, SEED)
    values = values_of(weights, some_blocks(count, weights, poisoned))
    others = [v for i, v in enumerate(values) if i != poisoned]
    assert values[poisoned] < 0.0 < min(others)


def test_blocks_of_one_gradient_are_worth_the_same_and_zeros_nothing() -> None:
    weights = models.initial(MODEL, SEED)
    one, other = block(weights, 10), block(weights, 11)
    a, b, _, nothing = measured(weights, None, [one, one, other, (np.zeros(12), 6)])
    assert a == b
    assert nothing == (0.0, 0.0)


def test_the_number_of_contributors_weighs() -> None:
    weights = models.initial(MODEL, SEED)
    (one, _), (other, _) = some_blocks(2, weights)
    few, many = (values_of(weights, [(one, n), (other, 10 - n)]) for n in (1, 9))
    assert 0.0 < 8.0 * few[0] < many[0]
    assert few[1] > 8.0 * many[1] > 0.0


def test_the_order_of_blocks_is_indifferent() -> None:
    weights = models.initial(MODEL, SEED)
    blocks = some_blocks(6, weights, 3)
    values = values_of(weights, blocks)
    assert values_of(weights, blocks[::-1]) == pytest.approx(values[::-1])


def test_a_copy_of_what_is_known_has_nothing_of_its_own_at_any_length() -> None:
    """It is worth something by its value: the model gets better by it. Others keep their own."""
    weights = models.initial(MODEL, SEED)
    blocks = some_blocks(4, weights)
    known = worth.mean_of(some_blocks(3, weights))
    for length in (1.0, 40.0):
        *others, (value, own) = measured(weights, None, [*blocks, (length * known, 6)], known)
        assert value > 0.0
        assert abs(own) < 1e-9 * value
        assert min(other for _, other in others) != 0.0
    assert measured(weights, None, blocks, np.zeros(12)) == measured(weights, None, blocks)


def test_where_nothing_new_can_be_told_nobody_has_an_own_part() -> None:
    weights = models.initial(MODEL, SEED)
    step = dataclasses.replace(TRAINING, rate=1e-12, momentum=0.0)  # it stays where it is
    known = models.wrongness_gradient(MODEL, weights, *rows(1))
    blocks = some_blocks(3, weights)
    for value, own in measure(MODEL, weights, None, step, blocks, *rows(1), SEED, known):
        assert value > 0.0 == own


def test_one_that_overshoots_is_measured_by_where_it_leads() -> None:
    """A gradient of the right direction that throws the model far is worth no multiple of it."""
    model = Model(Family.LINEAR, 2)
    x = np.random.default_rng(0).normal(size=(50, 2))
    y = x @ np.array([1.0, -1.0])
    weights = models.initial(model, SEED)
    training = Training(1, 50, 0.5, 1e6)
    good, _ = local_gradient(model, weights, x, y, training, SEED)
    for size in (1e2, 1e6, 1e80):
        blocks = [(good, 6), (good, 6), (size * good, 6)]
        values = measure(model, weights, None, training, blocks, x, y, SEED, None)
        assert values[2][0] < 0.01 * size * float(np.linalg.norm(good))


@pytest.mark.parametrize("size", [1e160, 1e300])
def test_a_model_that_has_diverged_tells_nothing(size: float) -> None:
    model = Model(Family.LINEAR, 2)
    x, y = np.ones((5, 2)), np.zeros(5)
    training = Training(1, 5, 0.5, 1.0)
    blocks = [(np.full(3, size), 5)] * 3
    values = measure(model, np.full(3, size), None, training, blocks, x, y, SEED, None)
    assert values == ((0.0, 0.0),) * 3
    assert size > MAX_VALUE


def test_wrong_labels_in_the_hold_out_do_not_turn_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is surer than a noisy hold-out is right: by cross entropy, whoever turns labels
    is then worth something."""
    x, y = rows(1, 3000)
    weights = models.initial(MODEL, SEED)
    training = dataclasses.replace(TRAINING, batch_rows=3000, local_steps=1, rate=2.0, ridge=0.0)
    for _ in range(200):
        weights -= training.rate * models.clipped_gradient(MODEL, weights, x, y, np.inf)[0]
    random = np.random.default_rng(3)
    wrong = np.where(random.random(3000) < 0.3, (y + random.integers(1, 3, 3000)) % 3, y)
    bad = models.clipped_gradient(MODEL, weights, x, (y + 1.0) % 3, np.inf)[0]
    noisy = models.clipped_gradient(MODEL, weights, x, wrong, np.inf)[0]
    assert float(np.vdot(noisy, bad)) > 0.0, "cross entropy would pay it"
    values = measure(MODEL, weights, None, training, [(bad, 6)], x, wrong, SEED, None)
    assert values[0][0] < 0.0


def test_a_large_holdout_is_sampled_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = models.initial(MODEL, SEED)
    blocks = some_blocks(3, weights)
    x, y = rows(2, MEASURED_ROWS + 1)
    seen: list[int] = []
    gradient = models.wrongness_gradient

    def counting(*args: Any) -> Floats:
        seen.append(len(args[2]))
        return gradient(*args)

    monkeypatch.setattr(models, "wrongness_gradient", counting)
    first = measure(MODEL, weights, None, TRAINING, blocks, x, y, SEED, None)
    assert seen == [MEASURED_ROWS] * 2, "two gradients, whatever the number of blocks"
    assert measure(MODEL, weights, None, TRAINING, blocks, x, y, SEED, None) == first
    assert measure(MODEL, weights, None, TRAINING, blocks, x, y, bytes(32), None) != first


def test_what_does_not_fit_is_refused() -> None:
    weights = models.initial(MODEL, SEED)
    good = block(weights, 10)
    with pytest.raises(FatalError, match=r"block 1 has a gradient of shape \(4,\)"):
        measured(weights, None, [good, (np.zeros(4), 6)])
    with pytest.raises(FatalError, match="from 0"):
        measured(weights, None, [(good[0], 0)])
    with pytest.raises(InputError, match="no rows"):
        measure(MODEL, weights, None, TRAINING, [good], np.zeros((0, 3)), np.zeros(0), SEED, None)
    assert measured(weights, None, []) == ()


# --- over rounds --------------------------------------------------------------------------------


def record_of(rounds: list[list[tuple[tuple[int, ...], float]]]) -> bytes:
    record: bytes | None = None
    for number, entries in enumerate(rounds):
        record = append(record, number, [(each, (value, value)) for each, value in entries])
    assert record is not None
    return record


FIXED = ((0, 3), (1, 4, 6), (2, 5))


@given(st.lists(st.tuples(*[st.floats(-5, 5)] * 3), min_size=1, max_size=12))
def test_fixed_blocks_have_the_mean_of_their_rounds_split_inside(
    values: list[tuple[float, ...]],
) -> None:
    record = record_of([list(zip(FIXED, each, strict=True)) for each in values])
    worths = worth_of_members(record, 8, shuffled=False)
    assert worths is not None
    means = np.mean(values, axis=0)
    each = {
        m: mean / len(members) for members, mean in zip(FIXED, means, strict=True) for m in members
    }
    positive = [mean for mean in [*each.values(), 0.0] if mean > 0.0]
    most = worth.MOST * float(np.median(positive)) if positive else 0.0
    for member, mean in each.items():
        assert worths[member] == pytest.approx(min(mean, most), abs=1e-12)
    assert worths[7] == 0.0, "no round recorded it"


def test_who_missed_rounds_is_measured_by_its_own() -> None:
    rounds = [[((0, 1), 2.0), ((2, 3), 4.0), ((4, 5), 6.0)]] * 3 + [
        [((0, 1), 8.0), ((2,), 3.0), ((4, 5), 6.0)]
    ]
    worths = worth_of_members(record_of(rounds), 6, shuffled=False)
    assert worths == pytest.approx((1.75, 1.75, 2.25, 2.0, 3.0, 3.0))


def test_a_mean_does_not_pay_for_variance_as_a_maximum_would() -> None:
    """A block of pure noise beside honest ones, over the rounds of a long job."""
    random = np.random.default_rng(4)
    honest = np.array([1.0, 1.0, 1.0])
    values = np.column_stack([honest + random.normal(0, 0.3, (200, 3)), random.normal(0, 3, 200)])
    blocks = ((0, 1), (2, 3), (4, 5), (6, 7))
    record = record_of([list(zip(blocks, each, strict=True)) for each in values])
    worths = worth_of_members(record, 8, shuffled=False)
    assert worths is not None
    paid = np.maximum(values, 0.0).mean(axis=0)
    assert abs(worths[6]) < 0.25 * worths[0], "next to nothing, of either sign"
    assert paid[3] > paid[:3].max(), "rounds paid one by one would pay noise best of all"


def test_noise_earns_nothing_in_training_itself() -> None:
    """The same from gradients: a block that sends noise of an honest gradient's length."""
    random = np.random.default_rng(5)
    weights, momentum = models.initial(MODEL, SEED), None
    record: bytes | None = None
    best = 0.0
    for round_ in range(12):
        blocks = [block(weights, 100 + 10 * round_ + i) for i in range(4)]
        noise = random.normal(size=12)
        noise *= 2.0 * np.linalg.norm(blocks[0][0]) / np.linalg.norm(noise)
        values = measured(weights, momentum, [*blocks, (noise, 6)])
        best = max(best, values[4][0])
        members = [tuple(range(6 * i, 6 * i + 6)) for i in range(5)]
        record = append(record, round_, list(zip(members, values, strict=True)))
        weights, momentum = apply_gradient(
            MODEL, weights, np.mean([g for g, _ in blocks], axis=0), TRAINING, momentum
        )
    assert record is not None
    worths = worth_of_members(record, 30, shuffled=False)
    assert worths is not None
    assert best > 0.0, "some round took the noise for progress"
    assert max(worths[24:]) < 0.0 < min(worths[:24])


def test_two_blocks_do_not_tell() -> None:
    two, three = [((0,), 1.0), ((1,), 2.0)], [((0,), 1.0), ((1,), 2.0), ((2,), 3.0)]
    assert worth_of_members(record_of([two] * 9), 3, shuffled=False) is None
    assert worth_of_members(record_of([two] * 2 + [three]), 3, shuffled=False) is None
    assert worth_of_members(record_of([two, three]), 3, shuffled=False) is not None


def test_a_record_must_fit_the_job() -> None:
    record = record_of([[((0,), 1.0), ((1,), 2.0), ((7,), 3.0)]])
    with pytest.raises(FatalError, match="member 7 of 7"):
        worth_of_members(record, 7, shuffled=False)
    with pytest.raises(Malformed):
        worth_of_members(record[:-1], 8, shuffled=False)


# --- shuffled -----------------------------------------------------------------------------------


@dataclasses.dataclass
class Planted:
    """Owners of known worth, dealt into other blocks every round."""

    worths: Floats
    record: bytes


def planted(
    seed: int,
    owners: int = 48,
    size: int = 6,
    rounds: int = 60,
    noise: float = 0.1,
    missing: int = 0,
    trend: float = 0.0,
    nothing: int = 0,
    copies: int = 0,
) -> Planted:
    """`trend`: what a round adds for everybody, in the first round; it halves in each later one.
    The first `nothing` owners add nothing; `copies` more have a value, and no own part."""
    random = np.random.default_rng(seed)
    worths = random.uniform(0.5, 1, owners)
    worths[:nothing] = 0.0
    own = np.where(np.arange(owners) < nothing + copies, 0.0, worths)
    record: bytes | None = None
    for number in range(rounds):
        entries = []
        for each in np.array_split(random.permutation(owners), owners // size):
            there = np.sort(each[missing:])
            shared = len(there) * trend * 0.5**number
            told = (worths[there].sum() + shared, own[there].sum() + shared)
            noisy = tuple(float(part + noise * random.normal()) for part in told)
            entries.append((tuple(there.tolist()), noisy))
        record = append(record, number, entries)
    assert record is not None
    return Planted(worths, record)


def found_in(case: Planted, owners: int = 48) -> Floats:
    found = worth_of_members(case.record, owners, shuffled=True)
    assert found is not None
    return np.array(found)


@given(st.integers(0, 2**32), st.integers(0, 2))
@examples(0.15)
def test_regression_finds_planted_worths_under_shuffling(seed: int, missing: int) -> None:
    case = planted(seed, missing=missing, trend=5.0)
    found = found_in(case)
    # the rounds' own gains enter the level (5 (1 + 1/2 + ...) / 60 = 1/6), not the differences
    assert np.abs(found - case.worths - 1 / 6).max() < 0.15
    assert np.corrcoef(found, case.worths)[0, 1] > 0.95


@given(st.integers(0, 2**32))
@examples(0.15)
def test_errors_are_what_the_estimates_miss_the_truth_by(seed: int) -> None:
    """The standard error that the page states, for members by the number of rounds they were in."""
    case = planted(seed, noise=0.7, missing=1)
    rounds = decode(case.record)
    told = estimate(worth.observations(rounds), np.concatenate([r.values for r in rounds]), 48)
    missed = (told.worths - case.worths) / told.errors
    assert 0.6 < float(np.sqrt(np.mean(missed**2))) < 1.5


@given(st.integers(0, 2**32))
@examples(0.15)
def test_who_adds_nothing_has_next_to_nothing(seed: int) -> None:
    """Four zeros and three copies among 48, with noise: an error is a twelfth of a worth here."""
    case = planted(seed, rounds=80, noise=0.5, nothing=4, copies=3)
    found = found_in(case)
    assert max(found[:7]) < 0.2 * found[7:].mean()
    assert np.sort(found[:7])[3] < 0.01
    assert np.corrcoef(found[7:], case.worths[7:])[0, 1] > 0.5


def test_a_copy_is_paid_by_its_own_part_alone() -> None:
    """The same values; without own parts that differ, nothing tells a copy from the rest."""
    case = planted(5, rounds=80, copies=3)
    bare: bytes | None = None
    for each in decode(case.record):
        bare = append(bare, each.number, [(m, (value, value)) for m, (value, _) in each.entries])
    assert bare is not None
    assert max(found_in(case)[:3]) < 0.01
    assert min(found_in(Planted(case.worths, bare))[:3]) > 0.4


def test_noise_makes_the_estimate_shrink_towards_equal() -> None:
    """Where nothing can be told, worths are nearly the same; in between, errors stay below what
    least squares alone would have."""
    widths = []
    for noise in (0.01, 1.0, 12.0):
        case = planted(3, noise=noise)
        found = found_in(case)
        widths.append(float(np.std(found) / abs(found.mean())))
    assert widths[0] == pytest.approx(float(np.std(case.worths) / case.worths.mean()), rel=0.05)
    assert widths[2] < 0.1 < widths[0]


def test_doubt_speaks_for_equal() -> None:
    """A test that cannot tell who adds nothing takes nothing from anybody."""
    faint = mixture(Estimate(np.array([0.2, 1.0, 1.8, 1.0]), np.full(4, 0.8)))
    assert faint.adds.tolist() == [1.0] * 4
    assert np.ptp(faint.slab) < 0.4
    sharp = mixture(Estimate(np.array([0.02, 1.0, 1.1, 1.0]), np.full(4, 0.1)))
    assert sharp.adds[0] < 1e-9
    assert min(sharp.adds[1:]) > 1.0 - 1e-9


def test_weights_move_smoothly_with_values() -> None:
    """An auditor's last bits turn no decision: nothing is chosen by comparison."""
    case = planted(6, noise=1.0, nothing=6)
    near: bytes | None = None
    for each in decode(case.record):
        near = append(near, each.number, [(m, (v * (1 + 1e-13), o)) for m, (v, o) in each.entries])
    assert near is not None
    apart = found_in(case) - found_in(Planted(case.worths, near))
    assert np.abs(apart).max() < 1e-9


def test_nobody_counts_for_more_than_twice_the_middle() -> None:
    """Whoever multiplies what it sends."""
    case = planted(2, noise=0.01)
    loud: bytes | None = None
    for each in decode(case.record):
        entries = [(m, (v + 9.0 * case.worths[0] * (0 in m), o)) for m, (v, o) in each.entries]
        loud = append(loud, each.number, entries)
    assert loud is not None
    found = found_in(Planted(case.worths, loud))
    assert found[0] == pytest.approx(2.0 * np.median(found), rel=0.05)


sizes = st.sampled_from([0.0, 1e-300, 1e-30, 1.0, -1.0, 1.0 + 1e-15, -1e30, 1e100, -1e100])


@given(st.lists(st.tuples(*[sizes | st.floats(-1e3, 1e3)] * 6), min_size=4, max_size=12))
def test_whatever_was_measured_worths_are_numbers(rounds: list[tuple[float, ...]]) -> None:
    """Of nine owners in three blocks; weights are made of them, which no other value allows."""
    record: bytes | None = None
    for number, told in enumerate(rounds):
        order = np.random.default_rng(number).permutation(9).reshape(3, 3)
        pairs = zip(told[:3], told[3:], strict=True)
        entries = [(tuple(sorted(b)), pair) for b, pair in zip(order.tolist(), pairs, strict=True)]
        record = append(record, number, entries)
    assert record is not None
    found = worth_of_members(record, 9, shuffled=True)
    assert found is None or np.isfinite(found).all()


def test_too_few_rounds_do_not_tell() -> None:
    # 48 owners in 8 blocks: 7 equations a round, so 7 rounds are needed
    assert worth_of_members(planted(1, rounds=6).record, 48, shuffled=True) is None
    assert worth_of_members(planted(1, rounds=7).record, 48, shuffled=True) is not None
    # and 4 at least, however small the cohort
    few = {"owners": 9, "size": 1, "noise": 0.0}
    assert worth_of_members(planted(1, rounds=3, **few).record, 9, shuffled=True) is None
    assert worth_of_members(planted(1, rounds=4, **few).record, 9, shuffled=True) is not None


def test_blocks_that_never_change_cannot_be_told_apart_inside() -> None:
    fixed = [[((0, 1), 1.0), ((2, 3), 2.0), ((4, 5), 3.0)]] * 20
    found = worth_of_members(record_of(fixed), 6, shuffled=True)
    assert found is not None
    for a, b in ((0, 1), (2, 3), (4, 5)):
        assert found[a] == pytest.approx(found[b])


def test_a_stranger_to_every_round_has_nothing() -> None:
    found = worth_of_members(planted(1).record, 50, shuffled=True)
    assert found is not None
    assert found[48:] == (0.0, 0.0)
    assert min(found[:48]) > 0.0


def test_values_of_any_size_are_fitted_alike() -> None:
    case = planted(3)
    found = found_in(case)
    for factor in (2.0**-900, 2.0**300):
        scaled: bytes | None = None
        for each in decode(case.record):
            told = [(m, (v * factor, o * factor)) for m, (v, o) in each.entries]
            scaled = append(scaled, each.number, told)
        assert scaled is not None
        again = found_in(Planted(case.worths, scaled))
        assert again == pytest.approx([v * factor for v in found])
    nothing = record_of([[(m, 0.0) for m, _ in each.entries] for each in decode(case.record)])
    assert worth_of_members(nothing, 48, shuffled=True) is None


@pytest.mark.ci
def test_the_longest_job_of_the_largest_cohort_is_fitted() -> None:
    random = np.random.default_rng(2)
    worths = random.uniform(0, 1, MAX_COHORT)
    dealt = [np.sort(random.permutation(MAX_COHORT).reshape(-1, 16)) for _ in range(MAX_ROUNDS)]
    members = np.concatenate(dealt)
    values = worths[members].sum(axis=1) + random.normal(0, 0.5, len(members))
    found = fit(
        Observations(
            values=values,
            own=values,
            sizes=np.full(len(members), 16),
            members=members.ravel(),
            rounds=np.repeat(np.arange(MAX_ROUNDS), MAX_COHORT // 16),
        ),
        MAX_COHORT,
    )
    assert found is not None
    assert np.corrcoef(found, worths)[0, 1] > 0.97
