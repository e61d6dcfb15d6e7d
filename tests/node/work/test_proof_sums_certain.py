"""A block's sum opens only where `corrupt` members cannot have made another sum of it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from kits.dealers import honest

from node.work import proofs as proof_tasks
from node.work import tasks
from protocol.arith.proofs import field
from protocol.arith.proofs.shamir import weights
from protocol.arith.proofs.statement import Statement
from protocol.arith.proofs.sums import sum_shares

SIX = Statement(40, 30, 6, 4, 1)  # what PROOF_DEFAULTS gives: blocks of six, c = 1
VECTORS = [[n, -n, 5, *[0] * 36, 1] for n in (3, -7, 11, 2, 4)]
DEALT = [honest(SIX, vector, number).dealing for number, vector in enumerate(VECTORS)]
SUMS = {p: sum_shares(SIX, [dealing.pieces[p] for dealing in DEALT]) for p in range(6)}


def test_one_liar_among_a_threshold_of_sums_cannot_choose_the_blocks_sum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three honest sums and a liar's: the liar moves the sum by whatever it likes, in norm."""
    wanted = np.zeros(40, dtype=np.int64)
    wanted[7] = 120  # four times the bound of one contribution
    points = [1, 2, 3, 6]
    weight = int(weights(points, [0])[0, 3])
    shift = field.multiply(field.from_integers(wanted), np.uint64(pow(weight, -1, field.P)))
    lie = field.encode(field.add(field.decode(SUMS[5], 40, "sum"), shift))
    told = {0: SUMS[0], 1: SUMS[1], 2: SUMS[2], 5: lie}
    kept: list[bytes] = []
    monkeypatch.setattr(proof_tasks, "statement_of", lambda spec, members: SIX)
    monkeypatch.setattr(tasks, "spec_of", lambda work: None)
    monkeypatch.setattr(tasks, "get", lambda work, ref: told[ref])
    monkeypatch.setattr(tasks, "put", lambda work, data: kept.append(data))
    positions = tuple((p, p) for p in range(6))
    found = proof_tasks.open_block(SimpleNamespace(), 6, positions, tuple((p, p) for p in told), 5)
    opened = [np.frombuffer(data, dtype="<i8") for data in kept]
    truth = np.sum(VECTORS, axis=0)
    assert not opened, (
        f"opened, off by {np.flatnonzero(opened[0] - truth)}, {(opened[0] - truth)[7]}"
    )
    assert found.reason
