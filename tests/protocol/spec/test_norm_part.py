"""privacy.proof = "norm/16": contributions are at most a part of clip_norm long, and prove it."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from kits.paths import ROOT

from protocol.arith import kernels
from protocol.arith.encoding.envelope import Envelope as Layout
from protocol.arith.learning.models import Family, Model
from protocol.arith.learning.training import Training
from protocol.layout.packing import MASKS
from protocol.spec.parts import Envelope
from protocol.spec.read import SpecError
from protocol.spec.render import render_toml
from protocol.spec.toml import parse_toml


def test_each_envelope_of_shares_says_its_part() -> None:
    told = {each.proof: (each.kind, each.part) for each in Envelope}
    assert told["norm"] == ("shares", 1)
    assert told["norm/128"] == ("shares", 128)
    assert [each.kind for each in (Envelope.MASKS, Envelope.PAILLIER)] == ["masks", "paillier"]


@pytest.mark.parametrize("longest", [4.0, 0.02])
def test_a_contribution_is_shortened_to_the_norm_that_is_proven(longest: float) -> None:
    dice: Any = random.Random(1)
    model = Model(Family.SOFTMAX, 8, 3)
    layout = Layout(((1 << 3071) + 1).to_bytes(384, "big"), 16, 4.0, 5, MASKS)
    rows = np.random.default_rng(1).random((50, 8))
    classes = np.arange(50) % 3.0
    training = Training(local_steps=1, batch_rows=50, rate=1.0, clip_norm=4.0)
    weights = kernels.initial_model(model, bytes(32))
    given = model, weights, rows, classes, training, layout, bytes(32), dice.randbytes
    free, facts = kernels.train(*given)
    assert facts.gradient_norm > 0.02
    held, same = kernels.train(*given, longest)
    assert same == facts  # what an owner is told is of the gradient itself
    steps = longest / layout.fixed_point.step
    length = float(np.linalg.norm(held.astype(np.float64)))
    assert length <= steps + np.sqrt(model.parameter_count)
    if longest > facts.gradient_norm:
        assert np.max(np.abs(held - free)) <= 1
    else:
        assert length > 0.8 * steps
        cosine = float(held @ free) / length / float(np.linalg.norm(free.astype(np.float64)))
        assert cosine > 0.9


def test_a_file_says_the_part_and_reads_back() -> None:
    text = (
        (ROOT / "docs" / "examples" / "digits.toml")
        .read_text()
        .replace("_owners = 5", "_owners = 6")
    )
    said = '\n[privacy]\nproof = "norm/16"\ncorrupt = 0\n'
    terms, whole = (parse_toml(text + more).terms for more in (said, said.replace("/16", "")))
    assert terms.proves
    assert terms.encryption.envelope is Envelope.SHARES_16
    most, rounding = (1 << (terms.encryption.value_bits - 1)) - 1, 650**0.5
    assert whole.norm_bound == math.ceil(most + rounding)
    assert terms.norm_bound == math.ceil(most / 16 + rounding)
    assert parse_toml(render_toml(terms)).terms == terms
    with pytest.raises(SpecError, match="norm/16"):
        parse_toml(text + said.replace("norm/16", "norm/3"))
    noisy = said + "epsilon = 8\ndelta = 1e-5\n"
    with pytest.raises(SpecError, match="the noise sets the bound"):
        parse_toml(text + noisy)
