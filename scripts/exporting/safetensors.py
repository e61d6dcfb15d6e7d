"""Weights of a safetensors file, as numpy arrays that lie in the file.

Format: 8 bytes of length, little-endian, a JSON object of names, then the numbers; the format's own
page is huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_MAX_HEADER_BYTES: Final = 100 * 1024 * 1024
_TYPES: Final = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I64": "<i8"}


def read(path: Path) -> dict[str, NDArray[Any]]:
    """Every array of the file by its name, without a copy of the file in memory.

    Raises ValueError if the file is none, is cut off, or has numbers of a type that is not known.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, _MAX_HEADER_BYTES):
            raise ValueError(f"{path}: its header would have {length} bytes of {size}")
        header = json.loads(file.read(length))
    held: NDArray[Any] = np.memmap(path, dtype=np.uint8, mode="r", offset=8 + length)
    found: dict[str, NDArray[Any]] = {}
    for name, said in header.items():
        if name == "__metadata__":
            continue
        if said["dtype"] not in _TYPES:
            raise ValueError(f"{path}: {name} has numbers of type {said['dtype']}")
        begin, end = said["data_offsets"]
        kind = np.dtype(_TYPES[said["dtype"]])
        if not 0 <= begin <= end <= len(held) or end - begin != math.prod(said["shape"]) * (
            kind.itemsize
        ):
            raise ValueError(f"{path}: {name} is cut off, or not of its shape {said['shape']}")
        found[name] = held[begin:end].view(kind).reshape(said["shape"])
    return found
