"""What a corrupt owner does otherwise, where its daemon would be honest: one function a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protocol.wire.messages import Ready, Release


def _same_ready(ready: Ready) -> Ready:
    return ready


def _same_batch(batch: bytes) -> bytes:
    return batch


def _same_release(release: Release) -> Release | None:
    return release


@dataclass
class Tricks:
    """Honest, unless a test puts something else here. A release of None is withheld."""

    ready: Callable[[Ready], Ready] = _same_ready
    batch: Callable[[bytes], bytes] = _same_batch
    release: Callable[[Release], Release | None] = _same_release
