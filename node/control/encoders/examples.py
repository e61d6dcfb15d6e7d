"""Examples of the methods about encoders: a small network for sentences."""

from __future__ import annotations

from typing import Final

from node.control.encoders import results as r

ENCODER: Final = r.Encoder(
    digest="6e1d0c5b" * 8,
    bytes=90_868_123,
    name="minilm",
    title="all-MiniLM-L6-v2",
    licence="Apache-2.0",
    source="sentence-transformers",
    origin="/srv/minilm.assay",
    kind="text",
    pooling="mean",
    size=384,
    max_tokens=256,
    added=1_783_500_000.0,
    jobs=0,
)

DETAIL: Final = r.EncoderDetail(
    ENCODER,
    22_713_216,
    ("MatMul 72", "Add 95"),
    ("limits", "landlock", "seccomp"),
    '[encoder]\ndigest = "6e1d0c5b…"\n',
)
REMOVED: Final = r.EncoderRemoved(ENCODER.digest, ENCODER.name)
