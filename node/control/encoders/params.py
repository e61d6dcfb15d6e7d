"""Parameters of the methods about encoders. Frozen; node.control.wire checks them before calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from node.control.wire import AbsolutePath, Wire

#: An encoder: its name, its digest, or the beginning of that.
EncoderName = Annotated[str, Wire("encoder", r"^[^\x00-\x1f]{1,120}$", "minilm", str, str)]


@dataclass(frozen=True)
class EncoderAddParams:
    """A package to keep.

    path: the package's file
    name: what it is called here; null: its title
    origin: the file that the package was made of; null: it is that file itself
    """

    path: AbsolutePath
    name: EncoderName | None = None
    origin: AbsolutePath | None = None


@dataclass(frozen=True)
class EncoderParams:
    """One encoder.

    encoder: its name here, its digest, or the beginning of that, of four digits at least
    """

    encoder: EncoderName
