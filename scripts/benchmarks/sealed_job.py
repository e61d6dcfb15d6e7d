"""The sealed jobs that are measured: the demo's recipes, posted for six owners."""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
from dataclasses import dataclass
from functools import cache

from node.demo.recipes import data
from node.demo.recipes.columns import TABLES, DataName
from node.demo.recipes.job import OWNERS
from node.demo.recipes.job import spec as written
from node.demo.recipes.sealed import Asked, FeaturesName, recipe
from node.work import tasks
from protocol.params import KEY_PROOF_ROOTS
from protocol.spec.job import ChainRef, JobSpec, Party
from protocol.spec.toml import parse_toml
from scripts.benchmarks.figures import BenchError

KEY_BITS = 3072

_NOBODY = bytes(19) + b"\x01"


@dataclass(frozen=True, slots=True)
class Case:
    """A data set, and what a sealed model of it is linear in."""

    title: str
    data: DataName
    features: FeaturesName


DIGITS_RAW = Case("digits raw", "digits", "raw")
DIGITS_MAPPED = Case("digits, 256 Fourier features", "digits", "fourier")
BREAST_CANCER = Case("breast cancer", "breast-cancer", "raw")


@dataclass(frozen=True, slots=True)
class Split:
    """One division of a case's rows: the requester's, which it measures on, and each owner's."""

    holdout: data.Rows
    parts: tuple[data.Rows, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """How many rows each owner declares."""
        return tuple(len(part.y) for part in self.parts)


@cache
def key(bits: int) -> tasks.JobKey:
    """One key, with its proof, for all jobs of that length."""
    return tasks.generate_key(bits, True)


def unkeyed(bits: int) -> tasks.JobKey:
    """What stands for a key where nothing is encrypted: its length is all that counts."""
    modulus = ((1 << bits) - 1).to_bytes(bits // 8, "big")
    return tasks.JobKey(modulus, b"", bytes(KEY_PROOF_ROOTS * len(modulus)), b"")


def posted(
    case: Case,
    job_key: tasks.JobKey,
    seed: int,
    epsilon: float | None = None,
    local_steps: int | None = None,
) -> JobSpec:
    """The case's job under a key, its map drawn from `seed`; `epsilon` None: without noise;
    `local_steps` None: as many as the recipe has."""
    chosen = recipe(case.data, Asked(case.features, epsilon))
    if local_steps is not None:
        chosen = dataclasses.replace(chosen, local_steps=local_steps)
    draft = parse_toml(written(TABLES[case.data], chosen))
    encryption = draft.terms.encryption
    bits = 8 * len(job_key.modulus)
    terms = dataclasses.replace(
        draft.terms, encryption=dataclasses.replace(encryption, key_bits=bits)
    )
    return dataclasses.replace(draft, terms=terms).complete(
        salt=secrets.token_bytes(16),
        requester=Party(_NOBODY, b"\x00"),
        chain=ChainRef(1, _NOBODY),
        modulus=job_key.modulus,
        seed=hashlib.sha256(b"scripts/bench sealed, split %d" % seed).digest(),
        now=1,
        base=job_key.base,
        proof=job_key.proof,
    )


def split(case: Case, seed: int) -> Split:
    """The demo's own division for `seed`: owners differ in how many rows they have, and of which
    classes. Raises BenchError without scikit-learn, which has the data."""
    rows = _rows(case.data)
    found = data.split(rows.y, OWNERS, seed, rows.table.holdout)
    return Split(rows.take(found.holdout), tuple(rows.take(part) for part in found.parts))


@cache
def _rows(name: DataName) -> data.Rows:
    try:
        return data.load(name)
    except ImportError as error:
        raise BenchError(f"the data is not there ({error}); install scikit-learn") from error
