"""A whole round through the functions that workers run."""

from __future__ import annotations

import hashlib
import inspect
import pickle
import secrets

import numpy as np
import pytest

from protocol.arith import kernels, models
from protocol.arith.batch import HEADER_BYTES, encode_batch
from protocol.arith.kernels import Envelope
from protocol.arith.lanes import SumOutOfRange
from protocol.arith.models import Family, Model
from protocol.arith.paillier import PrivateKey, encrypt
from protocol.arith.training import Training, local_gradient
from protocol.arith.vectors import Kind, decode_vector, encode_vector
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


@pytest.fixture(scope="module")
def batches(envelope: Envelope, weights: bytes, entropy_from) -> list[bytes]:
    return [
        kernels.contribute(
            MODEL,
            weights,
            *owner_rows(owner),
            TRAINING,
            envelope,
            bytes([owner]) * 32,
            entropy_from(owner),
        )[0]
        for owner in range(5)
    ]


def test_a_round_s_mean_is_the_owners_mean(
    envelope: Envelope, weights: bytes, batches: list[bytes], medium_key: PrivateKey
) -> None:
    expected = envelope.ciphertexts(MODEL)
    assert {len(batch) for batch in batches} == {envelope.batch_bytes(MODEL)}
    total = kernels.sum_batches(envelope.n, batches, expected)
    kernels.check_batch(envelope.n, total, expected)
    blob = kernels.open_sum(medium_key.to_bytes(), total, envelope, 5, COUNT)
    mean = decode_vector(Kind.GRADIENT, blob, COUNT)
    start = decode_vector(Kind.MODEL, weights, COUNT)
    plain = [
        local_gradient(MODEL, start, *owner_rows(owner), TRAINING, bytes([owner]) * 32)[0]
        for owner in range(5)
    ]
    np.testing.assert_allclose(mean, np.mean(plain, axis=0), atol=envelope.fixed_point.step)

    first, momentum, facts = kernels.apply(MODEL, weights, None, [(blob, 5)], TRAINING)
    again, _, _ = kernels.apply(MODEL, weights, None, [(blob, 2), (blob, 3)], TRAINING)
    assert facts.contributors == 5
    assert facts.gradient_norm == pytest.approx(np.linalg.norm(mean))
    np.testing.assert_allclose(
        decode_vector(Kind.MODEL, first, COUNT), decode_vector(Kind.MODEL, again, COUNT)
    )
    second, _, moved = kernels.apply(MODEL, first, momentum, [(blob, 5)], TRAINING)
    assert moved.move_norm > facts.move_norm  # the heavy ball gathers speed
    assert len({hashlib.sha256(blob).digest() for blob in (weights, first, second)}) == 3


def test_blocks_weigh_as_many_as_they_are(weights: bytes) -> None:
    training = Training(1, 1, 1.0, 10.0)
    ones, fives = (encode_vector(Kind.GRADIENT, np.full(COUNT, value)) for value in (1.0, 5.0))
    new, _, _ = kernels.apply(MODEL, weights, None, [(ones, 3), (fives, 1)], training)
    moved = decode_vector(Kind.MODEL, new, COUNT) - decode_vector(Kind.MODEL, weights, COUNT)
    np.testing.assert_allclose(moved, -2.0)


def test_contributions_are_never_the_same_twice(envelope: Envelope, weights: bytes) -> None:
    made = {
        kernels.contribute(
            MODEL, weights, *owner_rows(1), TRAINING, envelope, SEED, secrets.token_bytes
        )[0]
        for _ in range(2)
    }
    assert len(made) == 2


def test_facts_describe_the_work(envelope: Envelope, weights: bytes, entropy_from) -> None:
    x, y = owner_rows(1)
    _, facts = kernels.contribute(MODEL, weights, x, y, TRAINING, envelope, SEED, entropy_from(1))
    assert facts.ciphertexts == envelope.ciphertexts(MODEL)
    assert facts.rows == 30
    assert 0 < facts.gradient_norm <= TRAINING.clip_norm
    assert 0 <= facts.clipped <= 1
    tight = Training(6, 8, 0.2, 1e-6)
    _, facts = kernels.contribute(MODEL, weights, x, y, tight, envelope, SEED, entropy_from(1))
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


def hostile(envelope: Envelope, key: PrivateKey, plaintext: int) -> bytes:
    """A well-formed batch whose first plaintext is not what lanes hold."""
    rest = [0] * (envelope.ciphertexts(MODEL) - 1)
    return encode_batch(key.public, encrypt(key.public, [plaintext, *rest], secrets.token_bytes))


def test_hostile_numbers_drop_the_block(
    envelope: Envelope, batches: list[bytes], medium_key: PrivateKey
) -> None:
    lanes = envelope.lanes
    top = lanes.width * lanes.lanes_per_ciphertext
    for number, says in (
        (1 << top, "remainder"),
        (medium_key.public.n // 2, "remainder"),
        (lanes.max_int * 6, "lane 0 holds"),
        (-lanes.max_int * 6 << lanes.width, "lane 1 holds"),
    ):
        wrong = hostile(envelope, medium_key, number)
        total = kernels.sum_batches(envelope.n, [*batches[:4], wrong], envelope.ciphertexts(MODEL))
        with pytest.raises(SumOutOfRange, match=says):
            kernels.open_sum(medium_key.to_bytes(), total, envelope, 5, COUNT)


def test_a_batch_from_a_peer_is_checked_before_use(
    envelope: Envelope, batches: list[bytes], medium_key: PrivateKey
) -> None:
    expected, n = envelope.ciphertexts(MODEL), medium_key.public.n
    size = medium_key.public.ciphertext_bytes
    zero = bytearray(batches[1])
    zero[HEADER_BYTES : HEADER_BYTES + size] = bytes(size)
    with pytest.raises(Malformed, match=r"batch 1: ciphertext 0 lies outside"):
        kernels.sum_batches(envelope.n, [batches[0], bytes(zero)], expected)
    zero[-size:] = n.to_bytes(size, "big")
    zero[HEADER_BYTES : HEADER_BYTES + size] = batches[0][HEADER_BYTES : HEADER_BYTES + size]
    with pytest.raises(Malformed, match=rf"batch 0: ciphertext {expected - 1} is no unit"):
        kernels.sum_batches(envelope.n, [bytes(zero), batches[0]], expected)
    with pytest.raises(Malformed, match="no unit"):
        kernels.check_batch(envelope.n, bytes(zero), expected)
    with pytest.raises(Malformed, match="bytes"):
        kernels.check_batch(envelope.n, batches[0], expected + 1)
    with pytest.raises(FatalError, match="no batch"):
        kernels.sum_batches(envelope.n, [], expected)


def test_no_more_batches_are_opened_than_lanes_hold(
    envelope: Envelope, batches: list[bytes], medium_key: PrivateKey
) -> None:
    room = envelope.lanes.headroom
    with pytest.raises(FatalError, match=f"{room + 1} batches to add"):
        kernels.open_sum(medium_key.to_bytes(), batches[0], envelope, room + 1, COUNT)


def test_another_key_opens_nothing(
    envelope: Envelope, batches: list[bytes], small_key: PrivateKey
) -> None:
    with pytest.raises(FatalError, match="not the envelope's"):
        kernels.open_sum(small_key.to_bytes(), batches[0], envelope, 1, COUNT)


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
        kernels.contribute(**(arguments | changes))  # type: ignore[arg-type]

    attempt()
    gradient = encode_vector(Kind.GRADIENT, np.zeros(COUNT))
    for changes, error in (
        ({"weights": weights[:-8]}, Malformed),
        ({"weights": gradient}, Malformed),
        ({"weights": encode_vector(Kind.MODEL, np.full(COUNT, 1e308))}, Malformed),
        ({"x": x[:, :3]}, InputError),
        ({"y": y + 1}, InputError),
        ({"seed": b"short"}, FatalError),
        ({"entropy": lambda count: bytes(count // 2)}, FatalError),
        ({"envelope": Envelope(b"\xff" * 64, 16, 1.5, 5)}, InputError),
        ({"envelope": Envelope(envelope.n, 64, 1.5, 5)}, InputError),
        ({"envelope": Envelope(envelope.n, 16, 0.0, 5)}, InputError),
    ):
        with pytest.raises(error):
            attempt(**changes)


def test_a_step_out_of_range_is_fatal(weights: bytes) -> None:
    huge = encode_vector(Kind.GRADIENT, np.full(COUNT, 1e308))
    with pytest.raises(FatalError, match="not finite"):
        kernels.apply(MODEL, weights, None, [(huge, 1)], Training(100, 1, 1.0, 1.0))
    for nothing in ([], [(huge, 0)]):
        with pytest.raises(FatalError, match="no contribution"):
            kernels.apply(MODEL, weights, None, nothing, TRAINING)


def test_everything_a_worker_takes_and_gives_pickles(envelope: Envelope, weights: bytes) -> None:
    def copy(value: object) -> object:
        return pickle.loads(pickle.dumps(value))  # noqa: S301

    for value in (MODEL, TRAINING, envelope, secrets.token_bytes):
        assert copy(value) == value
    facts = kernels.evaluate(MODEL, weights, *owner_rows(1))
    assert copy(facts) == facts
    public = [f for _, f in inspect.getmembers(kernels, inspect.isfunction)]
    assert all(copy(f) is f for f in public if f.__module__ == kernels.__name__)
    for error in (SumOutOfRange("lane 3"), Malformed("x"), InputError("y", "field")):
        assert isinstance(error, AssayError)
        assert str(copy(error)) == str(error)
