"""Results of the methods about encoders.

Docstring lines of the form `field: text` become the descriptions in the OpenRPC document.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.control.wire import Timestamp


@dataclass(frozen=True)
class Encoder:
    """An encoder of this home. Title, licence and source are its maker's words, unverified. In the
    list, where its package is gone or damaged, what the package says is empty, or 0.

    digest: of its package, 64 hex digits, as specs and policies have it
    bytes: the package's size
    name: what it is called here
    title: its title
    licence: its licence
    source: where it was published
    origin: the file that it was added from, or the job that it was fetched for
    kind: what it reads: text, image or numbers
    pooling: how a row's vector follows from its output
    size: features that it makes
    max_tokens: the most tokens of a text; 0 for other kinds
    added: when it came here
    jobs: running jobs that need it
    """

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
    added: Timestamp
    jobs: int


@dataclass(frozen=True)
class EncoderDetail:
    """An encoder, what a confined process found in it, and how a job's file names it.

    encoder: the encoder
    weights: numbers that its network holds
    operators: what the network computes with, each with how often
    walls: what that process was confined by on this machine
    toml: its part of a job's file
    """

    encoder: Encoder
    weights: int
    operators: tuple[str, ...]
    walls: tuple[str, ...]
    toml: str


@dataclass(frozen=True)
class EncoderRemoved:
    """An encoder that is gone.

    digest: of its package
    name: what it was called here
    """

    digest: str
    name: str
