"""What node.control.encoders.results holds, as JSON; written by scripts/json-shapes."""

from __future__ import annotations

from typing import TypedDict


class Encoder(TypedDict):
    # node.control.encoders.results.Encoder
    digest: str
    bytes: int
    name: str
    title: str
    licence: str
    source: str
    origin: str
    kind: str
    pooling: str
    size: int
    max_tokens: int
    added: float
    jobs: int


class EncoderDetail(TypedDict):
    # node.control.encoders.results.EncoderDetail
    encoder: Encoder
    weights: int
    operators: list[str]
    walls: list[str]
    toml: str


class EncoderRemoved(TypedDict):
    # node.control.encoders.results.EncoderRemoved
    digest: str
    name: str
