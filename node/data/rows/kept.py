"""What an encoder made of a copy's cells, kept beside the copy, private, and gone with it.

A file is the numbers' SHA-256, 32 bytes, and the numbers, row by row: little-endian floats of 32
bits. It is whole or not there; what is damaged is made again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Beside the copies of data sets: a folder for each copy of which something is kept.
_KEPT: Final = "embeddings"
_DIGEST_BYTES: Final = 32


def folder(directory: Path, digest: bytes) -> Path:
    """Where the embeddings of a copy are kept."""
    return directory / _KEPT / digest.hex()


def forget(directory: Path, digest: bytes) -> None:
    """Remove the embeddings of a copy."""
    shutil.rmtree(folder(directory, digest), ignore_errors=True)


def clear(directory: Path, keep: Collection[bytes]) -> None:
    """Remove the embeddings of every copy that is not in `keep`."""
    names = {digest.hex() for digest in keep}
    if (directory / _KEPT).is_dir():
        for each in (directory / _KEPT).iterdir():
            if each.name not in names:
                shutil.rmtree(each, ignore_errors=True)


def load(place: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """What is kept; None where nothing is, or what is there is damaged: it is made again."""
    import numpy as np

    count = shape[0] * shape[1]
    try:
        with place.open("rb") as file:
            # Of another length it is not read: nothing in the file says how much memory it takes.
            if os.fstat(file.fileno()).st_size != _DIGEST_BYTES + 4 * count:
                return None
            digest = file.read(_DIGEST_BYTES)
            kept = np.fromfile(file, "<f4", count)
    except OSError:
        return None
    if len(kept) != count or hashlib.sha256(kept.data).digest() != digest:
        return None
    return kept.reshape(shape)


def save(place: Path, made: NDArray[np.float32]) -> None:
    """Whole or not at all, and for this user alone."""
    import numpy as np

    numbers = np.ascontiguousarray(made, "<f4").reshape(-1).data
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=place.parent)  # of mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(hashlib.sha256(numbers).digest())
            file.write(numbers)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, place)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
