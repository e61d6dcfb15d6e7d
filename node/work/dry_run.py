"""A whole sealed job in the clear, on rows that its requester has: what accuracy it would reach.

Rows are split among simulated owners, their statistics noised, turned into affine maps and rounded,
and all rounds run on integers, as they will. Encryption adds secrecy to that arithmetic and no
error. The same runs beside it without noise, and in real numbers, so that the requester sees what
noise and fixed point cost.

One thing differs: noise is drawn by numpy, not by OpenDP, which takes ten times as long as all the
rest. The distributions of a discrete Gaussian with a deviation above 2^20 and of a rounded
continuous one differ by some 2^-40. Nothing here needs protection, because the rows are the
requester's own. Draws follow from the number of the repetition, so that two specs are compared on
the same splits.
"""

from __future__ import annotations

import hashlib
import math
import statistics as spread
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from node.data.matrix import table_matrix
from node.data.readers import read_file
from node.work import sealed as sealed_tasks
from node.work import tasks
from node.work.embedding import Encoders, opened
from protocol import params
from protocol.addresses import ZERO_ADDRESS
from protocol.arith import kernels
from protocol.arith.learning.models import Family, Floats, Model, accuracy
from protocol.arith.learning.training import apply_gradient
from protocol.arith.numbers.fixedpoint import Integers
from protocol.arith.numbers.vectors import Kind, decode_vector, encode_vector
from protocol.arith.sealed import affine, statistics
from protocol.arith.sealed import ciphertexts as sealed
from protocol.cost.sealed import layout_of
from protocol.errors import InputError
from protocol.layout.noise import RECORD_NORM
from protocol.spec.job import ChainRef, JobSpec, Party, Terms
from protocol.spec.toml import Draft

#: Splits, and with noise draws, that a result rests on.
REPETITIONS: Final = 5

#: One in so many rows is held out of training, where no file of such rows is given.
HELD_OUT: Final = 4

_NOBODY: Final = bytes(len(ZERO_ADDRESS) - 1) + b"\x01"

Rows: TypeAlias = tuple[Floats, Floats]


@dataclass(frozen=True, slots=True)
class Spread:
    """Of all repetitions."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class DryRun:
    """What came out.

    `rows` were given, `held_out` of them (or of another file) measured on; `owners` had
    `rows_per_owner` each, drawn with replacement where `repeated`. `measure`: 'accuracy', or 'R^2'
    of the linear family. `noisy` is None for a job without noise. `score_error`: the most that any
    held-out row's score is off from real numbers, as seen; `score_bound`: by the derived bound, for
    the weights that came up, None where it does not cover the requester's step. `clipped_weights`:
    the most in one round that did not fit weight_limit; `clipped_offsets`: the most numbers of one
    owner's step. `seconds`: what all of it took.
    """

    rows: int
    held_out: int
    owners: int
    rows_per_owner: int
    repeated: bool
    repetitions: int
    measure: str
    noisy: Spread | None
    exact: Spread
    score_error: float
    score_bound: float | None
    clipped_weights: int
    clipped_offsets: int
    seconds: float


def read_rows(path: Path, terms: Terms, encoders: Encoders | None = None) -> Rows:
    """A file's features and targets as the job has them. Raises InputError as readers and matrix
    do, and where mapped features would be too many numbers."""
    table = read_file(path)
    with opened(encoders, table.rows) as embed:
        x, y = table_matrix(table, terms.features, terms.target, terms.beyond, embed)
    if len(x) * terms.feature_count > params.MAX_MATRIX_CELLS:
        most = params.MAX_MATRIX_CELLS // terms.feature_count
        raise InputError(
            f"{path.name} has {len(x)} rows; {most} of {terms.feature_count} features are allowed",
            "data",
        )
    return x, y


def dry_run(
    draft: Draft,
    rows: Rows,
    *,
    multiplier: float | None,
    held_out: Rows | None = None,
    rows_per_owner: int | None = None,
    repetitions: int = REPETITIONS,
) -> DryRun:
    """Run a sealed job `repetitions` times with its least number of owners.

    `rows` are split anew each time: one in HELD_OUT to measure on, unless `held_out` are given, the
    others among owners. `rows_per_owner`: None for as many as there are; where these are not
    enough, they are drawn with replacement. `multiplier` of the noise, None without any.

    Takes about half a second a repetition for 1,500 rows, 6 owners and 256 features. Raises
    InputError for fewer rows than owners.
    """
    started = time.monotonic()
    terms, owners = draft.terms, draft.terms.cohort.min_owners
    kept = len(rows[0]) if held_out is not None else len(rows[0]) - len(rows[0]) // HELD_OUT
    if kept < owners or (held_out is None and len(rows[0]) < HELD_OUT):
        raise InputError(
            f"has {len(rows[0])} rows, {kept} of them to train on; {owners} owners need at least "
            "one each",
            "dry_run",
        )
    each = kept // owners if rows_per_owner is None else rows_per_owner
    if not 1 <= each <= params.MAX_DATASET_ROWS:
        allowed = f"1 to {params.MAX_DATASET_ROWS} are allowed"
        raise InputError(f"is {each}; {allowed}", "rows_per_owner")
    repeated = each * owners > kept
    noisy, exact = [], []
    for repetition in range(repetitions):
        random = np.random.default_rng(repetition)
        split = _Split.drawn(random, len(rows[0]), kept, owners, each, repeated)
        spec = _posted(draft, hashlib.sha256(b"dry run %d" % repetition).digest())
        mapped = tasks.feature_map_of(spec)
        measured = held_out if held_out is not None else (rows[0][split.held], rows[1][split.held])
        seen = mapped.rows(measured[0]), measured[1]
        u = mapped.rows(rows[0])
        exact.append(_run(spec, split, (u, rows[1]), seen, None, random))
        if multiplier is not None:
            noisy.append(_run(spec, split, (u, rows[1]), seen, multiplier, random))
    everything = noisy + exact
    return DryRun(
        rows=len(rows[0]),
        held_out=len(rows[0]) - kept if held_out is None else len(held_out[0]),
        owners=owners,
        rows_per_owner=each,
        repeated=repeated,
        repetitions=repetitions,
        measure="R^2" if tasks.model_of(spec).family is Family.LINEAR else "accuracy",
        noisy=_spread(noisy) if noisy else None,
        exact=_spread(exact),
        score_error=max(one.score_error for one in everything),
        score_bound=_score_bound(terms, each, max(one.total for one in everything)),
        clipped_weights=max(one.clipped_weights for one in everything),
        clipped_offsets=max(one.clipped_offsets for one in everything),
        seconds=time.monotonic() - started,
    )


@dataclass(frozen=True, slots=True)
class _Split:
    """Places of rows: those held out, and each owner's."""

    held: Integers
    owners: tuple[Integers, ...]

    @classmethod
    def drawn(
        cls,
        random: np.random.Generator,
        rows: int,
        kept: int,
        owners: int,
        each: int,
        repeated: bool,
    ) -> _Split:
        order = random.permutation(rows)
        train, held = order[:kept], order[kept:]
        chosen = random.choice(train, owners * each) if repeated else train[: owners * each]
        return cls(held, tuple(np.split(chosen, owners)))


@dataclass(frozen=True, slots=True)
class _Outcome:
    """One run: what the last model reached, and what the fixed point did on the way; `total` is the
    largest sum of an output's integer weights' magnitudes."""

    reached: float
    score_error: float
    total: int
    clipped_weights: int
    clipped_offsets: int


@dataclass(slots=True)
class _Step:
    """What a block's replies sum up to, as integers and in real numbers."""

    rows: tuple[int, ...]
    matrix: Integers
    offset: Integers
    real_matrix: Floats
    real_offset: Floats


def _run(
    spec: JobSpec,
    split: _Split,
    rows: Rows,
    seen: Rows,
    multiplier: float | None,
    random: np.random.Generator,
) -> _Outcome:
    """All rounds of the job with these owners."""
    model, training, envelope = (
        tasks.model_of(spec),
        tasks.training_of(spec),
        tasks.envelope_of(spec),
    )
    steps, clipped_offsets = _steps(spec, model, split, rows, multiplier, random)
    values = spec.parameter_count
    real, real_momentum = np.zeros(model.parameter_count), None
    weights, momentum = encode_vector(Kind.MODEL, real), None
    total = clipped_weights = 0
    for turn in range(spec.training.rounds):
        vector = decode_vector(Kind.MODEL, weights, model.parameter_count)
        integers, _ = sealed.quantise_weights(envelope, vector[:values])
        matrix = integers.reshape(spec.feature_count, spec.outputs)
        total = max(total, int(np.abs(matrix).sum(axis=0).max()))
        moves = [
            sealed_tasks.mean_move(
                spec, (step.matrix @ matrix + step.offset).reshape(-1), step.rows
            )
            for step in steps
        ]
        stepped, moving, _ = kernels.apply(model, weights, momentum, moves, training, turn + 1)
        weights, momentum, clipped = sealed_tasks.within_limit(spec, stepped, moving)
        clipped_weights = max(clipped_weights, clipped)
        move = _real_move(spec, steps, real[:values])
        real, real_momentum = apply_gradient(model, real, -move, training, real_momentum)
    end = decode_vector(Kind.MODEL, weights, model.parameter_count)
    off = (end - real)[:values].reshape(spec.feature_count, spec.outputs)
    return _Outcome(
        accuracy(model, end, *seen),
        float(np.abs(seen[0] @ off).max()),
        total,
        clipped_weights,
        clipped_offsets,
    )


def _steps(
    spec: JobSpec,
    model: Model,
    split: _Split,
    rows: Rows,
    multiplier: float | None,
    random: np.random.Generator,
) -> tuple[list[_Step], int]:
    """Every block's step, and the most offsets of one owner that did not fit."""
    layout, training, p = layout_of(spec), spec.training, spec.feature_count
    targets = statistics.targets(model, rows[1])
    owners, clipped, steps = iter(split.owners), 0, []
    for size in spec.cohort.blocks(len(split.owners)):
        shape = (p, spec.outputs)
        step = _Step(
            (),
            np.zeros((p, p), np.int64),
            np.zeros(shape, np.int64),
            np.zeros((p, p)),
            np.zeros(shape),
        )
        for _, chosen in zip(range(size), owners, strict=False):
            told = _statistics(rows[0][chosen], targets[chosen], multiplier, random)
            found = affine.local_map(
                model, told, training.local_steps, training.rate, training.ridge
            )
            weight = _weight(spec, len(chosen))
            sent = affine.quantised(found, weight, layout, spec.model.weight_limit)
            clipped = max(clipped, sent.clipped)
            step.rows += (len(chosen),)
            step.matrix += sent.matrix
            step.offset += sent.offset
            step.real_matrix += weight * found.matrix
            step.real_offset += weight * found.offset
        steps.append(step)
    return steps, clipped


def _statistics(
    u: Floats, t: Floats, multiplier: float | None, random: np.random.Generator
) -> statistics.Statistics:
    """statistics.exact or noised of these rows, in one product of matrices: up to a unit of the
    grid a row and number."""
    p = u.shape[1]
    gram, moments = u.T @ u, statistics.TARGET_WEIGHT * (u.T @ t)
    upper = math.sqrt(2.0) * gram[np.triu_indices(p, 1)]
    numbers = np.concatenate([gram.diagonal(), upper, moments.reshape(-1)])
    numbers *= RECORD_NORM / statistics.RECORD_LENGTH
    if multiplier is not None:
        numbers += random.normal(0.0, multiplier * RECORD_NORM, len(numbers))
    integers = np.rint(numbers).astype(np.int64)
    return statistics.Statistics(p, t.shape[1], len(u), multiplier or 0.0, integers)


def _weight(spec: Terms, rows: int) -> float:
    """What an owner's reply is weighted with."""
    return spec.counted_rows(rows) / spec.training.batch_rows


def _real_move(spec: JobSpec, steps: list[_Step], weights: Floats) -> Floats:
    """The owners' mean move in real numbers, in the layout of the model's vector."""
    matrix = weights.reshape(spec.feature_count, spec.outputs)
    total = sum(_weight(spec, rows) for step in steps for rows in step.rows)
    move = sum(
        (step.real_matrix @ matrix + step.real_offset for step in steps), np.zeros(matrix.shape)
    )
    return np.concatenate([move.reshape(-1) / total, np.zeros(spec.outputs)])


def _score_bound(terms: Terms, rows: int, total: int) -> float | None:
    """The most that a score can be off after all rounds: features lie in the unit ball, so that it
    is no more than the weights are, in 2-norm."""
    training = terms.training
    if training.momentum > 0.0 or training.server_rate > 1.0:
        return None
    weight = _weight(terms, rows)
    found = affine.error_bound(
        layout_of(terms),
        terms.model.weight_limit,
        total=total,
        weights=(weight,) * terms.cohort.min_owners,
        rounds=training.rounds,
    )
    return found.weights


def _spread(outcomes: list[_Outcome]) -> Spread:
    reached = [one.reached for one in outcomes]
    return Spread(spread.median(reached), min(reached), max(reached))


def _posted(draft: Draft, seed: bytes) -> JobSpec:
    """The job as if it were posted with this seed; of its key only the length counts."""
    modulus = ((1 << draft.terms.encryption.key_bits) - 1).to_bytes(
        draft.terms.encryption.key_bits // 8, "big"
    )
    return draft.complete(
        salt=bytes(16),
        requester=Party(_NOBODY, b"\x00"),
        chain=ChainRef(1, _NOBODY),
        modulus=modulus,
        seed=seed,
        now=1,
        proof=bytes(params.KEY_PROOF_ROOTS * len(modulus)),
    )
