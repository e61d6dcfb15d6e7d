"""Sealed jobs in the simulator: blinders from a seed, and what a reply holds under its masks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from simulator.entropy import stream

from node.work import sealed as sealed_tasks
from node.work import tasks
from protocol.arith.numbers.fixedpoint import Floats, Integers
from protocol.arith.paillier.blinding import FullRange
from protocol.arith.paillier.cryptosystem import PrivateKey
from protocol.arith.paillier.pool import Pool
from protocol.arith.sealed import ciphertexts as sealed
from protocol.spec.job import JobSpec


def blinders(entropy: Callable[[int], bytes]) -> Callable[[JobSpec], Pool]:
    """node.work.pool.blinders, made while they are used: a worker's own pool outlives a world, and
    one seed would not give one log."""

    def pool(spec: JobSpec) -> Pool:
        return Pool(tasks.envelope_of(spec).public, entropy, lambda: 0, source=FullRange)

    return pool


def told(work: tasks.Work, step: sealed_tasks.Step, key: PrivateKey) -> Integers:
    """The numbers that an owner's reply carries under its masks, by who has the key."""
    spec = tasks.spec_of(work)
    moved = sealed_tasks._quantised(work.spec, step.rows, step.declared, step.statistics)
    weights = sealed.decrypt_model(key, tasks.envelope_of(spec), tasks.get(work, step.model))
    shaped = weights.reshape(spec.feature_count, spec.outputs)
    found: Integers = (moved.matrix @ shaped + moved.offset).reshape(-1).astype(np.int64)
    return found


def sealed_model(spec: JobSpec, weights: Floats, name: str) -> bytes:
    """These weights, encrypted under the job's key; the same name gives the same ciphertexts."""
    return sealed.encrypt_model(tasks.envelope_of(spec), weights, stream(name))[0]
