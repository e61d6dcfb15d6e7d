"""Worth: measured on rows held out, averaged or regressed over rounds, never paid for variance."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.examples import examples

from protocol.arith.learning import models, worth
from protocol.arith.learning.models import Family, Floats, Model
from protocol.arith.learning.training import Training, apply_gradient, local_gradient
from protocol.arith.learning.worth import MEASURED_ROWS, measure, worth_of_members
from protocol.arith.learning.worth_fit import Observations, fit
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


def loss_after(weights: Floats, momentum: Floats | None, blocks: Blocks) -> float:
    """The round's own step, and the loss on the rows that `measured` uses."""
    mean = np.zeros_like(weights)
    for gradient, number in blocks:
        mean += gradient * number / sum(n for _, n in blocks)
    moved, _ = apply_gradient(MODEL, weights, mean, TRAINING, momentum)
    return models.loss(MODEL, moved, *rows(1))


def measured(weights: Floats, momentum: Floats | None, blocks: Blocks) -> tuple[float, ...]:
    return measure(MODEL, weights, momentum, TRAINING, blocks, *rows(1), SEED)


@pytest.mark.parametrize("count", [1, 2, 3, 6, 8, 11, 20])
def test_a_round_s_values_add_up_to_its_gain(count: int) -> None:
    weights, momentum = models.initial(MODEL, SEED) + 0.1, np.full(12, 0.05)
    blocks = some_blocks(count, weights)
    values = measured(weights, momentum, blocks)
    gain = loss_after(weights, momentum, []) - loss_after(weights, momentum, blocks)
    assert len(values) == count
    assert sum(values) == pytest.approx(gain, abs=1e-12)


@pytest.mark.parametrize("count", [3, 5, 8, 12, 24])
@pytest.mark.parametrize("poisoned", [0, 2])
def test_a_poisoned_block_is_worth_least_and_less_than_nothing(count: int, poisoned: int) -> None:
    weights = models.initial(MODEL, SEED)
    values = measured(weights, None, some_blocks(count, weights, poisoned))
    others = [v for i, v in enumerate(values) if i != poisoned]
    assert values[poisoned] < 0.0 < min(others)


def test_blocks_of_one_gradient_are_worth_the_same() -> None:
    weights = models.initial(MODEL, SEED)
    one, other = block(weights, 10), block(weights, 11)
    a, b, _ = measured(weights, None, [one, one, other])
    assert a == pytest.approx(b, rel=1e-9)


def test_the_number_of_contributors_weighs() -> None:
    """As in the step itself: what few contributed moves the mean less."""
    weights = models.initial(MODEL, SEED)
    blocks = some_blocks(2, weights)
    gains = []
    for few, many in ((1, 30), (6, 6), (30, 1)):
        weighed = [(blocks[0][0], few), (0.1 * blocks[1][0], many)]
        gains.append(loss_after(weights, None, []) - loss_after(weights, None, weighed))
        assert sum(measured(weights, None, weighed)) == pytest.approx(gains[-1])
    assert gains == sorted(gains)
    assert gains[0] < 0.9 * gains[2]


def test_the_order_of_blocks_is_indifferent() -> None:
    weights = models.initial(MODEL, SEED)
    blocks = some_blocks(6, weights, 3)
    values = measured(weights, None, blocks)
    assert measured(weights, None, blocks[::-1]) == pytest.approx(values[::-1])


def test_one_round_of_havoc_is_capped() -> None:
    """A block that throws the model as far as it may takes others' worth up to the cap alone."""
    model = Model(Family.LINEAR, 2)
    x = np.random.default_rng(0).normal(size=(50, 2))
    y = x @ np.array([1.0, -1.0])
    weights = models.initial(model, SEED)
    training = Training(1, 50, 0.5, 1e6)
    good, _ = local_gradient(model, weights, x, y, training, SEED)
    start = models.loss(model, weights, x, y)
    for size in (1e3, 1e80, 1e300):
        havoc = np.full(3, size)
        values = measure(
            model, weights, None, training, [(good, 6), (good, 6), (havoc, 6)], x, y, SEED
        )
        assert values[2] < 0.0
        assert max(np.abs(values)) <= worth.LOSS_CAP * start


@pytest.mark.parametrize("size", [1e60, 1e200])
def test_a_model_that_has_diverged_tells_nothing(size: float) -> None:
    model = Model(Family.LINEAR, 2)
    x, y = np.ones((5, 2)), np.zeros(5)
    weights = np.full(3, size)
    training = Training(1, 5, 0.5, 1.0)
    values = measure(model, weights, None, training, [(np.ones(3), 5)] * 3, x, y, SEED)
    assert values == (0.0, 0.0, 0.0)
    assert size > MAX_VALUE**0.5


def test_a_large_holdout_is_sampled_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = models.initial(MODEL, SEED)
    blocks = some_blocks(3, weights)
    x, y = rows(2, MEASURED_ROWS + 1)
    seen: list[int] = []
    loss = models.loss

    def counting(*args: object) -> float:
        seen.append(len(args[2]))  # type: ignore[arg-type]
        return loss(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(models, "loss", counting)
    first = measure(MODEL, weights, None, TRAINING, blocks, x, y, SEED)
    assert set(seen) == {MEASURED_ROWS}
    assert measure(MODEL, weights, None, TRAINING, blocks, x, y, SEED) == first
    assert measure(MODEL, weights, None, TRAINING, blocks, x, y, bytes(32)) != first


def test_what_does_not_fit_is_refused() -> None:
    weights = models.initial(MODEL, SEED)
    good = block(weights, 10)
    with pytest.raises(FatalError, match=r"block 1 has a gradient of shape \(4,\)"):
        measured(weights, None, [good, (np.zeros(4), 6)])
    with pytest.raises(FatalError, match="from 0"):
        measured(weights, None, [(good[0], 0)])
    with pytest.raises(InputError, match="no rows"):
        measure(MODEL, weights, None, TRAINING, [good], np.zeros((0, 3)), np.zeros(0), SEED)
    assert measured(weights, None, []) == ()


# --- over rounds --------------------------------------------------------------------------------


def record_of(rounds: list[list[tuple[tuple[int, ...], float]]]) -> bytes:
    record: bytes | None = None
    for number, entries in enumerate(rounds):
        record = append(record, number, entries)
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
    for members, mean in zip(FIXED, np.mean(values, axis=0), strict=True):
        for member in members:
            assert worths[member] == pytest.approx(mean / len(members), abs=1e-12)
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
        best = max(best, values[4])
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
    level: float = 1.0,
    trend: float = 1.0,
) -> Planted:
    """`trend`: what a round adds for everybody, in the first round; it halves in each later one."""
    random = np.random.default_rng(seed)
    worths = level * random.uniform(0, 1, owners)
    played = []
    for number in range(rounds):
        dealt = np.array_split(random.permutation(owners), owners // size)
        entries = []
        for each in dealt:
            there = np.sort(each[missing:])
            value = worths[there].sum() + len(there) * trend * 0.5**number
            entries.append((tuple(there.tolist()), float(value + noise * random.normal())))
        played.append(entries)
    return Planted(worths, record_of(played))


@given(st.integers(0, 2**32), st.integers(0, 2))
@examples(0.15)
def test_regression_finds_planted_worths_under_shuffling(seed: int, missing: int) -> None:
    case = planted(seed, missing=missing, trend=5.0)
    found = worth_of_members(case.record, 48, shuffled=True)
    assert found is not None
    # the rounds' own gains enter the level (5 (1 + 1/2 + ...) / 60 = 1/6), not the differences
    errors = np.array(found) - case.worths - 1 / 6
    assert np.abs(errors).max() < 0.15
    assert np.corrcoef(found, case.worths)[0, 1] > 0.98


@pytest.mark.ci
def test_noise_makes_the_estimate_shrink_towards_equal() -> None:
    """It errs less than equal worths do, and little more where nothing can be told."""
    widths, errors = [], []
    for noise in (0.01, 1.0, 3.0, 8.0):
        width, error = [], []
        for seed in range(8):
            case = planted(seed, noise=noise, trend=0.0)
            found = worth_of_members(case.record, 48, shuffled=True)
            told = np.full(48, case.worths.mean()) if found is None else np.array(found)
            width.append(np.std(told) / np.std(case.worths))
            error.append(np.sqrt(np.mean((told - case.worths) ** 2)) / np.std(case.worths))
        widths.append(np.mean(width))
        errors.append(np.mean(error))
    assert widths[0] == pytest.approx(1.0, abs=0.05)
    assert widths[0] > widths[1] > 2 * max(widths[2:])
    assert errors[0] < 0.05
    assert errors[1] < 0.6
    assert errors[2] < 1.0
    assert errors[3] < 1.4, "least squares alone would err by 8 / sqrt(60) / 0.29 = 3.6"


def test_blocks_of_noise_alone_pay_nobody_for_luck() -> None:
    """Owners of equal worth: what is left of chance is far below what single rounds show."""
    widths = []
    for seed in range(12):
        case = planted(seed, level=0.0, rounds=30, noise=1.0, trend=6.0)
        found = worth_of_members(case.record, 48, shuffled=True)
        widths.append(0.0 if found is None else float(np.std(found)))
    assert widths.count(0.0) >= 3, "often nothing predicts better than equal: None"
    assert np.mean(widths) < 0.05


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


def test_values_of_any_size_are_fitted_alike() -> None:
    case = planted(3)
    found = worth_of_members(case.record, 48, shuffled=True)
    assert found is not None
    for factor in (2.0**-900, 2.0**300):
        scaled = record_of(
            [[(m, v * factor) for m, v in each.entries] for each in decode(case.record)]
        )
        again = worth_of_members(scaled, 48, shuffled=True)
        assert again == pytest.approx([v * factor for v in found])
    nothing = record_of([[(m, 0.0) for m, _ in each.entries] for each in decode(case.record)])
    assert worth_of_members(nothing, 48, shuffled=True) is None


@pytest.mark.ci
def test_the_longest_job_of_the_largest_cohort_is_fitted() -> None:
    random = np.random.default_rng(2)
    worths = random.uniform(0, 1, MAX_COHORT)
    dealt = [np.sort(random.permutation(MAX_COHORT).reshape(-1, 16)) for _ in range(MAX_ROUNDS)]
    members = np.concatenate(dealt)
    found = fit(
        Observations(
            values=worths[members].sum(axis=1) + random.normal(0, 0.5, len(members)),
            sizes=np.full(len(members), 16),
            members=members.ravel(),
            rounds=np.repeat(np.arange(MAX_ROUNDS), MAX_COHORT // 16),
        ),
        MAX_COHORT,
    )
    assert found is not None
    assert np.corrcoef(found, worths)[0, 1] > 0.97
