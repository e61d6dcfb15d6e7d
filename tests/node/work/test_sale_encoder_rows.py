"""A buyer's rows for a model that an encoder stands in front of: as training has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kits import encoders as small

from node.data.reading import Reading
from node.encoders import running
from node.encoders.running import embed
from node.store.blobs import Blobs
from node.work import tasks
from node.work.embedding import Encoders
from node.work.sale import purchases
from node.work.sale.models import layout_of
from node.work.sale.purchases import feature_count, prepare
from protocol.errors import InputError
from protocol.layout.queries import Mode
from protocol.spec.encoder import EncoderKind
from protocol.spec.job import JobSpec, encode_spec
from protocol.spec.parts import ChainRef, Party
from protocol.spec.toml import parse_toml

SPEC = """
title = "Numbers"
purpose = "research"

[encoder]
digest = "{digest}"
package_bytes = {size}
kind = "numbers"
columns = ["x0", "x1", "x2", "x3"]
pooling = "none"
size = 4
low = -100.0
high = 100.0

[target]
name = "kind"
classes = ["no", "yes"]

[model]
family = "logistic"

[training]
rounds = 1

[privacy]
epsilon = "none"

[payment]
rate = "0.001 ether"
"""


def open_spec(digest: bytes, size: int) -> JobSpec:
    return parse_toml(SPEC.format(digest=digest.hex(), size=size)).complete(
        requester=Party(b"\x11" * 20, b"peer"),
        chain=ChainRef(1337, b"\x22" * 20),
        modulus=((1 << 3071) + 1).to_bytes(384, "big"),
        salt=bytes(16),
        seed=bytes(32),
        now=1,
        proof=b"",
    )


def test_an_open_models_rows_are_the_encoders_scaled_into_the_ball(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, recipe = small.write(tmp_path, EncoderKind.NUMBERS)
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    spec = open_spec(recipe.digest, recipe.package_bytes)
    file, out = tmp_path / "rows.csv", tmp_path / "out"
    file.write_text("x0,x1,x2,x3\n30,-40,0,0\n0.5,0.25,0,0\n,1,1,1\n")
    given = encode_spec(spec), file, Reading(), 100, out
    with pytest.raises(InputError, match=recipe.digest.hex()):
        prepare(*given, Encoders(blobs))
    assert Blobs(blobs).put([package.read_bytes()]).digest == recipe.digest

    made = prepare(*given, Encoders(blobs))

    assert made.unused == 1
    assert made.digests[64:] == bytes(32)
    width = feature_count(spec)
    assert width == layout_of(spec, Mode.LABEL, 2048).features == 4
    rows = np.frombuffer(out.read_bytes(), "<f8").reshape(3, width)
    assert spec.encoder is not None
    raw = embed(package, spec.encoder, [(30.0, -40.0, 0.0, 0.0), (0.5, 0.25, 0.0, 0.0)])
    assert np.array_equal(rows[:2], tasks.in_ball(raw.astype(np.float64)))
    assert np.abs(rows).max() <= 1.0
    assert np.abs(raw).max() > 1.0

    # Its rows are made a few at a time, by one process.
    monkeypatch.setattr(purchases, "_STEP", 1)
    opened: list[int] = []
    start = running.started
    monkeypatch.setattr(running, "started", lambda *of: opened.append(of[2]) or start(*of))
    assert prepare(*given, Encoders(blobs)) == made
    assert opened == [3]
