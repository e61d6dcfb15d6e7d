"""A model as an .npz that is of use without this node (docs/spec/model-file.md)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from node.store.blobs import BlobRef
from node.work import sealed as sealed_tasks
from node.work import tasks
from node.work.tasks import Work, get
from protocol.spec.encoder import Encoder
from protocol.spec.gaps import gap_rule
from protocol.spec.job import Terms
from protocol.spec.parts import CategoryFeature, ClassTarget, Feature, NumberFeature
from protocol.spec.render import render_toml

if TYPE_CHECKING:
    from numpy.typing import NDArray


#: The word of a column's indicator, the last of its inputs.
GAP: Final = "(gap)"


def export_model(work: Work, private_key: bytes, model: BlobRef, target: Path) -> None:
    """Write a model as .npz. `private_key` opens a sealed model, and is not looked at otherwise."""
    import numpy as np

    from protocol.arith.learning import models
    from protocol.arith.numbers.vectors import Kind, decode_vector

    spec = tasks.spec_of(work)
    architecture = tasks.model_of(spec)
    arrays: dict[str, NDArray[Any]]
    if spec.privacy.sealed:
        arrays = dict(sealed_tasks.exported(work, private_key, model))
    else:
        vector = decode_vector(Kind.MODEL, get(work, model), architecture.parameter_count)
        arrays = {"weights": vector}
        for number, (matrix, bias) in enumerate(models.layers(architecture, vector)):
            arrays |= {f"layer{number}_weights": matrix, f"layer{number}_bias": bias}
    arrays |= input_arrays(spec) | target_arrays(spec)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        np.savez(file, allow_pickle=False, spec=np.array(render_toml(spec)), **arrays)


def input_arrays(terms: Terms) -> dict[str, NDArray[Any]]:
    """What each of a model's inputs is made of, in order: its column, the word that it stands for
    (empty for a number), and the range of a number (0 to 1 for a word)."""
    import numpy as np

    told = [
        each
        for feature in terms.features
        for each in ([] if isinstance(feature, Encoder) else _inputs_of(feature))
    ]
    return {
        "columns": np.array([column for column, _, _, _ in told]),
        "words": np.array([word for _, word, _, _ in told]),
        "low": np.array([low for _, _, low, _ in told]),
        "high": np.array([high for _, _, _, high in told]),
    }


def _inputs_of(feature: Feature) -> list[tuple[str, str, float, float]]:
    told = [(feature.name, "", 0.0, 1.0)]
    if isinstance(feature, CategoryFeature):
        told = [(feature.name, word, 0.0, 1.0) for word in feature.categories]
    elif isinstance(feature, NumberFeature):
        told = [(feature.name, "", feature.low, feature.high)]
    return told + [(feature.name, GAP, 0.0, 1.0)] * gap_rule(feature).indicator


def target_arrays(terms: Terms) -> dict[str, NDArray[Any]]:
    """What a model's outputs stand for: classes, or the range of a number."""
    import numpy as np

    target = terms.target
    if isinstance(target, ClassTarget):
        return {"classes": np.array(target.classes)}
    return {"target_range": np.array([target.low, target.high])}
