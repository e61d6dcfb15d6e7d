"""Looks for a model's weights in files, in whatever form they may have been left there.

One number of 4 bytes, or of 6 digits, turns up by chance in some megabytes of other things. So a
trace is a number that is given to 8 bytes or 9 digits, or two of one matrix that stand side by side
in it and follow each other in the file: as 32-bit floats, as integers, as text to 6 digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_NUMBER = re.compile(rb"-?\d{1,19}(?:\.\d{1,25})?(?:[eE][+-]?\d{1,3})?")
_SHORT, _LONG = 2e-6, 2e-9  # relative: numbers given to 6 digits, and to 9
_KEY = 8


@dataclass(frozen=True)
class Trace:
    """A file, and what of it was found there."""

    path: Path
    form: str


def needles(weights: Floats, step: float) -> dict[bytes, str]:
    """All strings of bytes that would be a trace of a matrix of weights, integers times `step`."""
    found: dict[bytes, str] = {}
    integers = np.rint(weights / step).astype(np.int64)
    for order in ("<", ">"):
        for name, matrix, many in (
            ("f8", weights, 1),
            ("f4", weights, 2),
            ("i4", integers, 2),
            ("i8", integers, 2),
        ):
            # Slices keep their byte order, single numbers do not.
            for line in _lines(matrix.astype(f"{order}{name}")):
                for at in range(len(line) - many + 1):
                    found[line[at : at + many].tobytes()] = f"{order}{name}"
    return {needle: form for needle, form in found.items() if _is_telling(needle)}


def _lines(matrix: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """A matrix as it may be written down: row by row, or column by column."""
    yield matrix.reshape(-1)
    yield matrix.T.reshape(-1)


def _is_telling(needle: bytes) -> bool:
    """Whether it has so much in it that chance does not write it."""
    return sum(byte not in (0x00, 0xFF) for byte in needle) >= 6


class Search:
    """Looks for all of these matrices, and for some secrets, at once."""

    def __init__(
        self, matrices: Iterable[tuple[Floats, float]], secrets: Iterable[bytes] = ()
    ) -> None:
        self._needles: dict[bytes, str] = {}
        self._texts: list[tuple[str, npt.NDArray[Any]]] = []
        for weights, step in matrices:
            self._needles |= needles(weights, step)
            for line in _lines(weights):
                self._texts.append(("text", line))
            for line in _lines(np.rint(weights / step)):
                self._texts.append(("text of integers", line))
        for secret in secrets:
            for form in (
                secret,
                secret[::-1],
                secret.hex().encode(),
                secret.hex().upper().encode(),
            ):
                self._needles[form] = "secret"
        self._by_key: dict[bytes, list[bytes]] = {}
        for needle in self._needles:
            self._by_key.setdefault(needle[:_KEY], []).append(needle)
        self._keys = np.array(sorted(int.from_bytes(k, "little") for k in self._by_key), "<u8")

    def files(self, *folders: Path) -> list[Trace]:
        """Every trace in all files of these folders."""
        found = []
        for folder in folders:
            for path in sorted(folder.rglob("*")):
                if path.is_file() and not path.is_symlink():
                    found += [Trace(path, form) for form in sorted(self.forms(path.read_bytes()))]
        return found

    def forms(self, data: bytes) -> set[str]:
        """In which forms anything of it stands in these bytes."""
        return self._bytes(data) | self._text(data)

    def _bytes(self, data: bytes) -> set[str]:
        found = set()
        for offset in range(min(_KEY, max(0, len(data) - _KEY + 1))):
            count = (len(data) - offset) // _KEY
            windows = np.frombuffer(data, "<u8", count, offset)
            place = np.searchsorted(self._keys, windows).clip(max=len(self._keys) - 1)
            for index in np.flatnonzero(self._keys[place] == windows):
                at = offset + int(index) * _KEY
                for needle in self._by_key[data[at : at + _KEY]]:
                    if data.startswith(needle, at):
                        found.add(self._needles[needle])
        return found

    def _text(self, data: bytes) -> set[str]:
        told = np.array([float(each) for each in _NUMBER.findall(data)])
        found = set()
        for form, line in self._texts:
            if len(told) and _stands_in(line, told, whole=form != "text"):
                found.add(form)
        return found


def _stands_in(line: Floats, told: Floats, *, whole: bool) -> bool:
    """Whether numbers of a text are these: one to 9 digits, or two neighbours to 6."""
    order = np.argsort(line)
    place = np.searchsorted(line[order], told)
    near: dict[int, set[int]] = {}
    for offset in (-1, 0):
        at = order[np.clip(place + offset, 0, len(line) - 1)]
        off = np.abs(told - line[at])
        if not whole and bool((off <= _LONG * np.abs(line[at])).any()):
            return True
        bound = 0.0 if whole else _SHORT * np.abs(line[at])
        for index in np.flatnonzero(off <= bound):
            near.setdefault(int(index), set()).add(int(at[index]))
    return any(
        here + 1 == there
        for one, other in pairwise(sorted(near))
        if other == one + 1
        for here in near[one]
        for there in near[other]
    )
