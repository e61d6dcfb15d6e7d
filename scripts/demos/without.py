"""The same job without an owner: the demo's training in the clear, of all the others.

Values, rounding, steps and the bound of a contribution's norm are the product's. Only mini-batches
differ from run to run, as they do between two runs of the demo.
"""

from __future__ import annotations

import hashlib

import numpy as np

from node.demo.recipes.data import load, split
from node.demo.recipes.job import ACCEPTING, BOUND_PART, OWNERS, RECIPES
from protocol.arith import kernels
from protocol.arith.encoding.envelope import Envelope
from protocol.arith.learning.models import Family, Model
from protocol.arith.learning.training import Training
from protocol.arith.numbers.entropy import from_seed
from protocol.errors import FatalError
from protocol.layout.packing import SHARES


def accuracy(left_out: int, seed: int, rounds: int | None) -> float:
    """On the hold-out set, after all rounds of softmax on digits; owners are counted from 0."""
    recipe = RECIPES["digits", "softmax"].with_rounds(rounds)
    rows = load("digits")
    chosen = split(rows.y, OWNERS, seed, rows.table.holdout)
    parts = [rows.take(part) for part in chosen.parts[:ACCEPTING]]
    del parts[left_out]
    model = Model(Family.SOFTMAX, len(rows.table.columns), len(rows.table.classes))
    training = Training(
        local_steps=recipe.local_steps,
        batch_rows=recipe.batch_rows,
        rate=recipe.rate,
        clip_norm=recipe.clip_norm,
        ridge=recipe.ridge,
        momentum=recipe.momentum,
    )
    envelope = Envelope(bytes(384), 16, recipe.clip_norm, ACCEPTING, SHARES)
    weights, momentum = kernels.initial_model(model, bytes(32)), None
    for number in range(recipe.rounds):
        total = np.zeros(model.parameter_count, dtype=np.int64)
        for owner, part in enumerate(parts):
            drawn = hashlib.sha256(f"{seed} {number} {owner}".encode()).digest()
            entropy = from_seed(drawn, "rounding")
            told = part.inputs(), part.targets(), training, envelope, drawn, entropy
            longest = recipe.clip_norm / BOUND_PART
            integers, _ = kernels.train(model, weights, *told, longest=longest)
            total += integers
        mean = kernels.mean_gradient(envelope, total, len(parts))
        gradients = [(mean, len(parts))]
        step = model, weights, momentum, gradients, training, number + 1
        weights, momentum, _ = kernels.apply(*step)
    holdout = rows.take(chosen.holdout)
    found = kernels.evaluate(model, weights, holdout.inputs(), holdout.targets()).accuracy
    if found is None:
        raise FatalError("a model of classes was measured without accuracy")
    return found
