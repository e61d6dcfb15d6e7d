"""A model read from its .npz (docs/spec/model-file.md), to predict with.

The file may come from anywhere: an array's shape is held against what the spec in it says, before
the array is read.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from node.data.npz import npy_header
from node.work import tasks
from protocol import params
from protocol.arith.learning import models
from protocol.arith.learning.feature_map import FeatureMap, MapKind
from protocol.errors import FatalError, InputError
from protocol.spec.job import Terms
from protocol.spec.toml import parse_toml

if TYPE_CHECKING:
    from protocol.arith.learning.models import Floats

#: A text costs four bytes a character.
_MAX_SPEC_BYTES: Final = 4 * params.MAX_SPEC_BYTES


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model as its file has it: the terms that it was trained by, its weights, and of a sealed
    one the map to its features."""

    terms: Terms
    weights: Floats
    map: FeatureMap | None

    def scores(self, x: Floats) -> Floats:
        """Raw outputs (rows, outputs) of inputs (rows, inputs) as node.data.matrix makes them."""
        if not self.terms.privacy.sealed:
            x = x if self.terms.encoder is None else tasks.in_ball(x)
            return models.scores(tasks.model_of(self.terms), self.weights, x)
        if self.map is None:
            raise FatalError("a sealed model without its map")
        return np.asarray(self.map.rows(x) @ self.weights)


def read_model(path: Path) -> StoredModel:
    """The model in an .npz of `export_model`. Raises InputError, whose field is `model`."""
    try:
        with zipfile.ZipFile(path) as archive:
            text = str(_array(archive, path.name, "spec", None))
            terms = parse_toml(text).terms
            if not terms.privacy.sealed:
                weights = _array(archive, path.name, "weights", (terms.parameter_count,))
                return StoredModel(terms, weights, None)
            shape = (terms.feature_count, terms.outputs)
            weights = _array(archive, path.name, "weights", shape)
            return StoredModel(terms, weights, _map(archive, path.name, terms))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}", "model") from error
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise InputError(
            f"{path.name} is no model of assay ({error}); assay model get JOB writes one", "model"
        ) from error


def _map(archive: zipfile.ZipFile, file: str, terms: Terms) -> FeatureMap:
    model, kind = terms.model, MapKind(terms.model.map.value)
    drawn = None
    if kind.random:
        fourier = kind is MapKind.FOURIER
        wide = model.map_width // 2 if fourier else model.map_width
        matrix = _array(archive, file, "map_matrix", (terms.inputs, wide))
        offsets = np.empty(0) if fourier else _array(archive, file, "map_offsets", (wide,))
        drawn = matrix, offsets
    return FeatureMap(
        kind,
        terms.inputs,
        model.map_width,
        model.map_scale,
        model.center,
        model.bias,
        terms.training.clip_norm,
        b"",
        drawn,
    )


def _array(archive: zipfile.ZipFile, file: str, name: str, shape: tuple[int, ...] | None) -> Any:
    """An array of finite floats of that shape; None: one text. Nothing is read that is larger."""
    with archive.open(f"{name}.npy") as opened:
        found, kind = npy_header(opened)
    wanted = ("U", (), _MAX_SPEC_BYTES) if shape is None else ("f", shape, 8)
    if (kind.kind, found) != wanted[:2] or kind.itemsize > wanted[2]:
        described = "one text" if shape is None else f"float64 of shape {shape}"
        raise InputError(
            f"{file}: array {name!r} is {kind} of shape {found}; {described} is expected", "model"
        )
    with archive.open(f"{name}.npy") as opened:
        array = np.lib.format.read_array(opened, allow_pickle=False)
    if shape is not None and not np.isfinite(array).all():
        raise InputError(f"{file}: array {name!r} holds values that are not finite", "model")
    return array if shape is None else np.asarray(array, np.float64)
