"""The attack `differ`: subtract the sums of two jobs without noise whose cohorts differ by one.

A requester posts two jobs that start from the same weights. Six owners are in the first, five of
them in the second. Each sum is over a whole block, committed and paid for; no rule of a round is
broken. Their difference is the sixth owner's gradient.
"""

from __future__ import annotations

import secrets

import numpy as np

from protocol.arith import kernels
from protocol.arith.numbers.entropy import SEED_BYTES, Entropy, draw
from protocol.arith.numbers.fixedpoint import Integers
from protocol.params import MIN_BLOCK
from protocol.policy.rules import Verdict
from scripts.attacks.aggregated import MODEL, Block, gradient, judged, owners_rows, posted, right
from scripts.attacks.table import Row, Table

_OWNERS = MIN_BLOCK + 1

#: Each owner's numbers are rounded at random to the wire's grid, anew in each job: by less than a
#: step each time.
_WITHIN = 2 * MIN_BLOCK


def run(entropy: Entropy = secrets.token_bytes) -> Table:
    """The whole table. Owners that the first job has used up are in no second one."""
    notes = [
        f"{_OWNERS} owners of digits' shape, {MODEL.parameter_count} numbers each, read right if "
        f"within {_WITHIN} of {2**15 - 1} steps; one round of each job, its sum opened by all "
        "members' shares.",
        "The defence is the policy's no_noise_jobs, 1 unless set: those who were in the first job "
        "are in no second one, and the requester is left with one sum.",
    ]
    title = "Subtracting sums of two jobs whose cohorts differ by one owner"
    return Table("differ", title, [read_row(entropy), policy_row()], notes)


def read_row(entropy: Entropy) -> Row:
    """The owner that is in the first job only, from two sums; and from one, by the best guess."""
    weights = kernels.initial_model(MODEL, draw(entropy, SEED_BYTES))
    people = owners_rows(_OWNERS, entropy)

    def job(count: int) -> tuple[Integers, Integers]:
        """The sum of the first `count` owners, and the last one's own numbers."""
        block = Block(count, 1, entropy)
        numbers = [gradient(rows, weights, block, entropy) for rows in people[:count]]
        batches = {m: block.batch(m, numbers[m], block.everybody) for m in block.everybody}
        found = block.opened(batches, block.everybody, block.everybody)
        if found is None:
            raise AssertionError("a whole block's shares open its sum")
        return found, numbers[-1]

    whole, victim = job(_OWNERS)
    # The second job's owners have joined one already: without the term they are there again.
    taken = judged(posted(), 1, no_noise_jobs=2).verdict is Verdict.ACCEPT
    refused = judged(posted(), 1).verdict is Verdict.REFUSE
    difference = whole - job(MIN_BLOCK)[0] if taken else whole
    mean = np.rint(whole / _OWNERS).astype(np.int64)
    without, with_it = right(difference, victim, _WITHIN), right(mean, victim, _WITHIN)
    count = MODEL.parameter_count
    return Row(
        "one owner's gradient, from both sums, or from the first job's alone (a sixth of it)",
        f"{without} of {count} numbers",
        f"{with_it} of {count} numbers",
        taken and refused and without == count and with_it < count / 4,
    )


def policy_row() -> Row:
    """The second job, at an owner that was in the first."""
    without, with_it = judged(posted(), 1, no_noise_jobs=2), judged(posted(), 1)
    return Row(
        "the second job, at an owner that has joined one without noise",
        f"{without.verdict} (no_noise_jobs=2)",
        f"{with_it.verdict}: {'; '.join(with_it.reasons)}",
        without.verdict is Verdict.ACCEPT and with_it.verdict is Verdict.REFUSE,
    )
