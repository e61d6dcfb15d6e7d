"""Training, applying, evaluating: the functions that workers run. Masks: test_kernels_secagg."""

from __future__ import annotations

import hashlib
import inspect
import pickle
import secrets
from collections.abc import Callable

import numpy as np
import pytest

from protocol.arith import kernels
from protocol.arith.encoding.envelope import Envelope
from protocol.arith.encoding.lanes import SumOutOfRange
from protocol.arith.learning import models
from protocol.arith.learning.models import Family, Model
from protocol.arith.learning.training import Training, local_gradient
from protocol.arith.numbers.entropy import Entropy
from protocol.arith.numbers.fixedpoint import Integers
from protocol.arith.numbers.vectors import Kind, decode_vector, encode_vector
from protocol.arith.paillier.cryptosystem import PrivateKey
from protocol.arith.secagg.masks import Binding
from protocol.errors import AssayError, FatalError, InputError, Malformed

MODEL = Model(Family.DENSE, 4, 3, 6)
TRAINING = Training(local_steps=6, batch_rows=8, rate=0.2, clip_norm=1.5, ridge=0.01, momentum=0.3)
SEED = bytes(range(32))
COUNT = MODEL.parameter_count


def owner_rows(owner: int) -> tuple[models.Floats, models.Floats]:
    random = np.random.default_rng(owner)
    return random.normal(size=(30, 4)), random.integers(0, 3, 30).astype(np.float64)


@pytest.fixture(scope="module")
def envelope(medium_key: PrivateKey) -> Envelope:
    return Envelope(medium_key.public.to_bytes(), 16, TRAINING.clip_norm, 5)


@pytest.fixture(scope="module")
def weights() -> bytes:
    return kernels.initial_model(MODEL, SEED)


def trained(owner: int, envelope: Envelope, weights: bytes, entropy: Entropy) -> Integers:
    rows = owner_rows(owner)
    seed = bytes([owner]) * 32
    return kernels.train(MODEL, weights, *rows, TRAINING, envelope, seed, entropy)[0]


def test_a_round_s_mean_is_the_owners_mean(
    envelope: Envelope, weights: bytes, entropy_from: Callable[[int], Entropy]
) -> None:
    total = sum(trained(owner, envelope, weights, entropy_from(owner)) for owner in range(5))
    blob = kernels.mean_gradient(envelope, np.asarray(total), 5)
    mean = decode_vector(Kind.GRADIENT, blob, COUNT)
    start = decode_vector(Kind.MODEL, weights, COUNT)
    plain = [
        local_gradient(MODEL, start, *owner_rows(owner), TRAINING, bytes([owner]) * 32)[0]
        for owner in range(5)
    ]
    np.testing.assert_allclose(mean, np.mean(plain, axis=0), atol=envelope.fixed_point.step)

    first, momentum, facts = kernels.apply(MODEL, weights, None, [(blob, 5)], TRAINING, 1)
    again, _, _ = kernels.apply(MODEL, weights, None, [(blob, 2), (blob, 3)], TRAINING, 1)
    assert facts.contributors == 5
    assert facts.gradient_norm == pytest.approx(np.linalg.norm(mean))
    np.testing.assert_allclose(
        decode_vector(Kind.MODEL, first, COUNT), decode_vector(Kind.MODEL, again, COUNT)
    )
    second, _, moved = kernels.apply(MODEL, first, momentum, [(blob, 5)], TRAINING, 2)
    assert moved.move_norm > facts.move_norm  # the heavy ball gathers speed
    assert len({hashlib.sha256(blob).digest() for blob in (weights, first, second)}) == 3


def test_a_round_that_moves_nothing_still_makes_another_model(weights: bytes) -> None:
    """No owner contributes to one model digest twice: the same weights go by another."""
    kept = [kernels.keep(MODEL, weights, turn) for turn in (1, 2)]
    assert len({weights, *kept}) == 3
    for blob in kept:
        np.testing.assert_array_equal(
            decode_vector(Kind.MODEL, blob, COUNT), decode_vector(Kind.MODEL, weights, COUNT)
        )


def test_blocks_weigh_as_many_as_they_are(weights: bytes) -> None:
    training = Training(1, 1, 1.0, 10.0)
    ones, fives = (encode_vector(Kind.GRADIENT, np.full(COUNT, value)) for value in (1.0, 5.0))
    new, _, _ = kernels.apply(MODEL, weights, None, [(ones, 3), (fives, 1)], training, 1)
    moved = decode_vector(Kind.MODEL, new, COUNT) - decode_vector(Kind.MODEL, weights, COUNT)
    np.testing.assert_allclose(moved, -2.0)


def test_rounding_is_never_the_same_twice(envelope: Envelope, weights: bytes) -> None:
    one, two = (trained(1, envelope, weights, secrets.token_bytes) for _ in range(2))
    assert 0 < np.abs(one - two).max() <= 1


def test_facts_describe_the_work(envelope: Envelope, weights: bytes, entropy_from) -> None:
    x, y = owner_rows(1)
    integers, facts = kernels.train(MODEL, weights, x, y, TRAINING, envelope, SEED, entropy_from(1))
    assert (integers.shape, integers.dtype) == ((COUNT,), np.int64)
    assert 0 < np.abs(integers).max() <= envelope.fixed_point.max_int
    assert facts.rows == 30
    assert 0 < facts.gradient_norm <= TRAINING.clip_norm
    assert 0 <= facts.clipped <= 1
    tight = Training(6, 8, 0.2, 1e-6)
    _, facts = kernels.train(MODEL, weights, x, y, tight, envelope, SEED, entropy_from(1))
    assert facts.clipped == 1.0
    evaluated = kernels.evaluate(MODEL, weights, x, y)
    vector = decode_vector(Kind.MODEL, weights, COUNT)
    assert evaluated.accuracy == models.accuracy(MODEL, vector, x, y)
    assert evaluated.loss == models.loss(MODEL, vector, x, y)
    assert evaluated.rows == 30


def test_pooled_training_beats_the_start() -> None:
    x, y = owner_rows(1)
    blob, facts = kernels.train_pooled(MODEL, SEED, x, y, 1e-3)
    before = kernels.evaluate(MODEL, kernels.initial_model(MODEL, SEED), x, y)
    assert kernels.evaluate(MODEL, blob, x, y).loss < before.loss
    assert 0 < facts.iterations < 2000
    with pytest.raises(FatalError, match="ridge"):
        kernels.train_pooled(MODEL, SEED, x, y, -1.0)


def test_what_does_not_fit_is_refused(envelope: Envelope, weights: bytes, entropy_from) -> None:
    x, y = owner_rows(1)

    def attempt(**changes: object) -> None:
        arguments = {
            "model": MODEL,
            "weights": weights,
            "x": x,
            "y": y,
            "training": TRAINING,
            "envelope": envelope,
            "seed": SEED,
            "entropy": entropy_from(1),
        }
        kernels.train(**(arguments | changes))  # type: ignore[arg-type]

    attempt()
    gradient = encode_vector(Kind.GRADIENT, np.zeros(COUNT))
    for changes, error in (
        ({"weights": weights[:-8]}, Malformed),
        ({"weights": gradient}, Malformed),
        ({"x": x[:, :3]}, InputError),
        ({"y": y + 1}, InputError),
        ({"seed": b"short"}, FatalError),
        ({"entropy": lambda count: bytes(count // 2)}, FatalError),
        ({"envelope": Envelope(envelope.n, 64, 1.5, 5)}, InputError),
        ({"envelope": Envelope(envelope.n, 16, 0.0, 5)}, InputError),
    ):
        with pytest.raises(error):
            attempt(**changes)


def test_a_step_out_of_range_is_fatal(weights: bytes) -> None:
    huge = encode_vector(Kind.GRADIENT, np.full(COUNT, 1e308))
    with pytest.raises(FatalError, match="not finite"):
        kernels.apply(MODEL, weights, None, [(huge, 1)], Training(100, 1, 1.0, 1.0), 1)
    for nothing in ([], [(huge, 0)]):
        with pytest.raises(FatalError, match="no contribution"):
            kernels.apply(MODEL, weights, None, nothing, TRAINING, 1)


def test_everything_a_worker_takes_and_gives_pickles(envelope: Envelope, weights: bytes) -> None:
    def copy(value: object) -> object:
        return pickle.loads(pickle.dumps(value))  # noqa: S301

    binding = Binding(1, bytes(20), bytes(32), 1, 1, bytes(32), bytes(32), envelope.n)
    for value in (MODEL, TRAINING, envelope, binding, secrets.token_bytes):
        assert copy(value) == value
    facts = kernels.evaluate(MODEL, weights, *owner_rows(1))
    assert copy(facts) == facts
    public = [f for _, f in inspect.getmembers(kernels, inspect.isfunction)]
    assert all(copy(f) is f for f in public if f.__module__ == kernels.__name__)
    for error in (SumOutOfRange("lane 3"), Malformed("x"), InputError("y", "field")):
        assert isinstance(error, AssayError)
        assert str(copy(error)) == str(error)
