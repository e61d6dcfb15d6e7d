"""A finished model as it is sold: linear in features that the job's public map makes.

The seller keeps its weights alone; the map is the spec's, and the buyer computes it. Whatever is
not linear in such features cannot be sold, and is refused with the reason.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from node.store.blobs import BlobRef
from node.work import tasks
from node.work.tasks import Work, get
from protocol import params
from protocol.errors import InputError, Malformed
from protocol.layout.queries import Mode, QueryLayout
from protocol.spec.job import JobSpec
from protocol.spec.model import Family
from protocol.spec.parts import ClassTarget

if TYPE_CHECKING:
    from protocol.arith.learning.models import Floats

#: Bits of a feature and of a class's sum: the spec's own example (docs/spec/queries.md). Rounding
#: then moves a score by some 2^-16 of its largest, so that a label differs from the model's own
#: where two classes are that close alone.
FEATURE_BITS: Final = 16
SUM_BITS: Final = 24

_HEAD: Final = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class ForSale:
    """A model that can be sold: its weights and biases (`pack`), its layout, and what a score of 1
    stands for; 0 for labels."""

    model: bytes = field(repr=False)
    layout: QueryLayout
    unit: float


def layout_of(spec: JobSpec, mode: Mode, key_bits: int) -> QueryLayout:
    """How a job's features and answers lie in ciphertexts. Raises InputError, saying why, for a
    model that cannot be sold so."""
    features = spec.feature_count if spec.privacy.sealed else spec.inputs
    if spec.model.family.value == Family.DENSE:
        raise InputError(
            "the model has a hidden layer: what is sold is linear in public features "
            "(model.family = linear, logistic or softmax, open or sealed)",
            "job",
        )
    if mode is Mode.LABEL and not isinstance(spec.target, ClassTarget):
        raise InputError(
            "the model predicts a number, which has no label: --scores sells it", "scores"
        )
    if features > params.MAX_SEALED_FEATURES:
        raise InputError(
            f"the model has {features} features; {params.MAX_SEALED_FEATURES} can be asked for",
            "job",
        )
    outputs = spec.outputs
    classes = 2 if mode is Mode.LABEL and outputs == 1 else outputs
    if classes > params.MAX_QUERY_CLASSES:
        raise InputError(
            f"the model has {classes} classes; {params.MAX_QUERY_CLASSES} can be asked for", "job"
        )
    return QueryLayout(features, classes, FEATURE_BITS, SUM_BITS, key_bits, mode)


def for_sale(work: Work, private_key: bytes, model: BlobRef, mode: Mode, bits: int) -> ForSale:
    """A job's model, ready to be sold. `private_key` opens a sealed one, and is not looked at
    otherwise. Raises InputError."""
    from protocol.arith.learning import models
    from protocol.arith.numbers.vectors import Kind, decode_vector
    from protocol.arith.paillier.cryptosystem import PrivateKey
    from protocol.arith.queries.plain import quantise_weights
    from protocol.arith.sealed import ciphertexts as sealed

    spec = tasks.spec_of(work)
    layout = layout_of(spec, mode, bits)
    bias: Floats | None = None
    if spec.privacy.sealed:
        key, envelope = PrivateKey.from_bytes(private_key), tasks.envelope_of(spec)
        integers = sealed.decrypt_model(key, envelope, get(work, model))
        weights = integers.astype("float64") * envelope.fixed_point.step
        weights = weights.reshape(spec.feature_count, spec.outputs)
    else:
        architecture = tasks.model_of(spec)
        vector = decode_vector(Kind.MODEL, get(work, model), architecture.parameter_count)
        [(weights, bias)] = models.layers(architecture, vector)
    made = quantise_weights(layout, weights, bias)
    return ForSale(pack(weights, bias), layout, 0.0 if mode is Mode.LABEL else made.unit)


def pack(weights: Floats, bias: Floats | None) -> bytes:
    """Weights (p, outputs) and biases, as the store keeps them: two lengths, then float64."""
    import numpy as np

    offsets = np.zeros(weights.shape[1]) if bias is None else bias
    whole = np.vstack([weights, offsets[None, :]])
    return _HEAD.pack(*weights.shape) + whole.astype("<f8").tobytes()


def unpack(model: bytes) -> tuple[Floats, Floats]:
    """Weights and biases. Raises Malformed on another length."""
    import numpy as np

    features, outputs = _HEAD.unpack_from(model)
    if len(model) != _HEAD.size + 8 * (features + 1) * outputs:
        raise Malformed("a packed model of another length than it names")
    whole = np.frombuffer(model, "<f8", offset=_HEAD.size).reshape(features + 1, outputs)
    return whole[:features].astype(np.float64), whole[features].astype(np.float64)
