"""While nothing waits, workers make obfuscators for contributions to come.

A pool lives in the worker that filled it and is used by contributions that run there; it never
leaves that process, and ends with it. A contribution in another worker makes its own obfuscators:
slower, and no less safe.
"""

from __future__ import annotations

import os
import secrets
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from node.work import tasks
from protocol.spec.job import Envelope, JobSpec

#: A full-range blinder is an exponentiation of the modulus' length: it takes as long as this many
#: obfuscators from a table.
_BLINDER_COST: Final = 50

if TYPE_CHECKING:
    from protocol.arith.paillier.pool import Pool
    from protocol.arith.paillier.public_key import PublicKey


def fill(work: tasks.Work, count: int) -> bool:
    """Make up to `count` obfuscators for a job, or full-range blinders in the same time. True once
    there are as many as one contribution takes, or as the pool may hold."""
    spec = tasks.spec_of(work)
    pool = _pool_of(spec)
    enough = min(pool.limit, _ciphertexts(spec))
    if spec.privacy.sealed:
        count = -(-count // _BLINDER_COST)
    pool.fill(min(count, enough - len(pool)))
    return len(pool) >= enough


def filled(spec: JobSpec) -> Pool | None:
    """The job's pool in this worker, if it has anything ready."""
    if spec.encryption.envelope is not Envelope.PAILLIER:
        return None
    pool = _pool_of(spec)
    return pool if len(pool) else None


def blinders(spec: JobSpec) -> Pool:
    """A sealed job's pool in this worker, whatever it has ready. Replies take their blinders from
    it alone, because each of those is u^n of a uniform u."""
    return _pool_of(spec)


def _ciphertexts(spec: JobSpec) -> int:
    return spec.packing.ciphertexts(spec.parameter_count)


def _pool_of(spec: JobSpec) -> Pool:
    expected = _ciphertexts(spec) * spec.training.rounds
    return _pool(tasks.envelope_of(spec).public, expected, spec.privacy.sealed)


@lru_cache(maxsize=4)
def _pool(public: PublicKey, expected: int, sealed: bool) -> Pool:
    """A worker serves a few jobs at a time; an older one's pool is dropped, and its rest lost."""
    from protocol.arith.paillier.blinding import FullRange
    from protocol.arith.paillier.pool import Pool

    source = FullRange if sealed else None
    return Pool(public, secrets.token_bytes, os.getpid, expected=expected, source=source)
