"""The field's parts of the VDAF draft's published vectors (draft-irtf-cfrg-vdaf, version 20).

assay's proof is not Prio3's: it hides by other blinders, and its shares are Shamir's. The same are
the field, its bytes, sums of shares, and what a verifier decides: that products of wires are the
gadget's value. The vectors are not copied; without them nothing runs here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kits.paths import ROOT

from protocol.arith.proofs import field
from protocol.arith.proofs.field import Elements

FOLDER = ROOT.parent / "shared" / "vectors" / "vdaf"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the draft's vectors are not here")

SUMS = ("Prio3SumVecWithMultiproof_0", "Prio3SumVecWithMultiproof_1")
BAD = ("Prio3Count_bad_gadget_poly", "Prio3Count_bad_meas_share")


def read(name: str) -> dict[str, Any]:
    path: Path = FOLDER / f"{name}.json"
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def added(shares: list[str], skip: int = 0) -> Elements:
    """The sum of hexadecimal shares, without the last `skip` bytes of each."""
    parts = [bytes.fromhex(share) for share in shares]
    parts = [part[: len(part) - skip] for part in parts]
    vectors = [field.decode(part, len(part) // 8, "share") for part in parts]
    assert [field.encode(vector) for vector in vectors] == parts
    return field.total(np.stack(vectors))


@pytest.mark.parametrize("name", ["Prio3Count_0", "Prio3Sum_0", *SUMS])
def test_aggregate_shares_add_up_to_the_result(name: str) -> None:
    content = read(name)
    result = content["agg_result"]
    expected = result if isinstance(result, list) else [result]
    assert content["reports"]
    assert added(content["agg_shares"]).tolist() == expected
    for report in content["reports"]:
        measured = report["measurement"]
        truth = measured if isinstance(measured, list) else [measured]
        assert added(report["out_shares"]).tolist() == truth


def holds(verifier: Elements) -> bool:
    """The draft's decide: the circuit's output is 0, and the wires' products are the gadget's."""
    wires = verifier[1:-1].reshape(-1, 2)
    products = field.total(field.multiply(wires[:, 0], wires[:, 1]))
    return int(verifier[0]) == 0 and int(products) == int(verifier[-1])


@pytest.mark.parametrize("name", ["Prio3Count_0", *BAD])
def test_counts_are_decided_as_the_draft_does(name: str) -> None:
    content = read(name)
    for report in content["reports"]:
        (shares,) = report["verifier_shares"]
        assert holds(added(shares)) is (name not in BAD)


@pytest.mark.parametrize("name", SUMS)
def test_vectors_are_decided_as_the_draft_does(name: str) -> None:
    content = read(name)
    size = 2 * content["chunk_length"] + 2
    for report in content["reports"]:
        (shares,) = report["verifier_shares"]
        verifiers = added(shares, skip=32).reshape(-1, size)  # a seed's part stands at the end
        assert verifiers.shape[0] > 1
        assert all(holds(verifier) for verifier in verifiers)


def test_bits_are_decided_as_the_draft_does() -> None:
    """Its gadget for a bit is ours: x^2 - x, at a random point (docs/spec/proofs.md, check 3)."""
    reports = read("Prio3Sum_0")["reports"]
    assert reports
    for report in reports:
        (shares,) = report["verifier_shares"]
        output, x, y = added(shares).reshape(3, 1)
        assert int(output[0]) == 0
        assert np.array_equal(field.subtract(field.multiply(x, x), x), y)
        assert not np.array_equal(field.multiply(x, x), y)
