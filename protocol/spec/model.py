"""The part of a job spec that says what is trained, open or sealed, and how.

docs/spec/job.md says what every field means to somebody who writes or implements one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from protocol import params
from protocol.spec.checks import Fault
from protocol.spec.parts import Part, Ratio
from protocol.wire.codec import Range

#: The least limit on a sealed model's weights, and the least norm of its rows. Quotients by them
#: stay far inside float64, so that no spec that can be built fails at owners who were charged
#: already.
LEAST_SEALED: Final = 1e-6


class Family(StrEnum):
    """The model, as in protocol.arith.learning.models."""

    LINEAR = "linear"
    LOGISTIC = "logistic"
    SOFTMAX = "softmax"
    DENSE = "dense"


#: Families that are linear in their weights once cross entropy gives way to its second-order
#: approximation (Hardy et al. 2017): only their training can be computed on ciphertexts.
SEALABLE: Final = (Family.LINEAR, Family.LOGISTIC, Family.SOFTMAX)


def unsealable(family: Family) -> str:
    """Why a family cannot be sealed, and which can."""
    return (
        f"is {family}; sealed models are linear in their weights: {', '.join(SEALABLE)}, on the "
        "inputs or on a public map of them (model.map = fourier, dense or encoder)"
    )


class FeatureMap(StrEnum):
    """The features that a sealed model is linear in (arith/learning/feature_map.py): inputs, or a
    map. ENCODER, which open models may have too: what a pretrained network makes of a row's cells
    (protocol.spec.encoder)."""

    NONE = "none"
    FOURIER = "fourier"
    DENSE = "dense"
    ENCODER = "encoder"

    @property
    def random(self) -> bool:
        """Whether the features are drawn at random: `map_width` of them, at `map_scale`."""
        return self not in (FeatureMap.NONE, FeatureMap.ENCODER)


@dataclass(frozen=True, slots=True)
class ModelSpec(Part):
    """The architecture. `hidden` is the width of the dense family's one ReLU layer, else 0.

    The rest shapes sealed models (docs/spec/sealed.md) and is 'none' and 0 for open ones: `map` of
    the inputs less `center`, to `map_width` features at `map_scale` (both 0 for 'none'); a constant
    feature `bias` beside them where that is above 0; `weight_limit`, the largest weight that can be
    encrypted.
    """

    family: Family
    hidden: Annotated[int, Range(0, 65_536)]
    map: FeatureMap = FeatureMap.NONE
    map_width: Annotated[int, Range(0, params.MAX_SEALED_FEATURES)] = 0
    map_scale: Annotated[float, Range(0.0, 1e6)] = 0.0
    center: Annotated[float, Range(0.0, 1.0)] = 0.0
    bias: Annotated[float, Range(0.0, 1e3)] = 0.0
    weight_limit: Annotated[float, Range(0.0, 1e6)] = 0.0

    def faults(self) -> Iterator[Fault]:
        yield from self._map_faults()
        if self.family is Family.DENSE and not self.hidden:
            yield Fault("hidden", "is 0; a dense model has at least 1")
        if self.family is not Family.DENSE and self.hidden:
            yield Fault("hidden", f"is {self.hidden}; a {self.family} model has none")

    def _map_faults(self) -> Iterator[Fault]:
        if not self.map.random:
            without = "without a map" if self.map is FeatureMap.NONE else "with an encoder"
            if self.map_width:
                yield Fault("map_width", f"is {self.map_width}; {without} it is 0")
            if self.map_scale:
                yield Fault("map_scale", f"is {self.map_scale:g}; {without} it is 0")
            if self.map is FeatureMap.ENCODER and self.center:
                yield Fault("center", f"is {self.center:g}; {without} it is 0")
            return
        if not self.map_width:
            yield Fault("map_width", f"is 0; a {self.map} map makes at least 2 features")
        elif self.map is FeatureMap.FOURIER and self.map_width % 2:
            yield Fault("map_width", f"is {self.map_width}; fourier features come in pairs")
        if not self.map_scale:
            yield Fault("map_scale", f"is 0; a {self.map} map needs one above it")

    def open_faults(self) -> Iterator[Fault]:
        """Faults of an open model: settings that only a sealed model has."""
        if self.map.random:
            yield Fault("map", f"is {self.map}; only an encoder makes features of open models")
        for name in ("center", "bias", "weight_limit"):
            if value := getattr(self, name):
                yield Fault(name, f"is {value:g}; only a sealed model has it")

    def sealed_faults(self) -> Iterator[Fault]:
        """Faults of a sealed model."""
        if self.family not in SEALABLE:
            yield Fault("family", unsealable(self.family))
        if self.weight_limit < LEAST_SEALED:
            found = f"is {self.weight_limit:g}; a sealed model's weights need a range of at least"
            yield Fault("weight_limit", f"{found} {LEAST_SEALED:g}, such as 64")


@dataclass(frozen=True, slots=True)
class TrainingSpec(Part):
    """How it is trained; the meaning of each number is in protocol.arith.learning.training.

    `clip_norm` bounds the norm of one record's gradient, and so every value that leaves an owner:
    it fixes the scale of the fixed point.
    """

    rounds: Annotated[int, Range(1, params.MAX_ROUNDS)]
    local_steps: Annotated[int, Range(1, 10_000)]
    batch_rows: Annotated[int, Range(1, 65_536)]
    rate: Ratio
    clip_norm: Ratio
    ridge: Annotated[float, Range(0.0, 1e6)]
    server_rate: Ratio
    momentum: Annotated[float, Range(0.0, 0.999_999)]

    def sealed_faults(self) -> Iterator[Fault]:
        """What a sealed model's features cannot be cut to."""
        if self.clip_norm < LEAST_SEALED:
            found = f"is {self.clip_norm:g}; a sealed model's features need at least"
            yield Fault("clip_norm", f"{found} {LEAST_SEALED:g}, such as 1")

    def open_faults(self) -> Iterator[Fault]:
        """Faults of settings that open models cannot train with. A sealed model's step size heeds
        the ridge itself."""
        if self.rate * self.ridge >= 1.0:
            yield Fault("ridge", f"is {self.ridge:g}; below 1 / rate = {1 / self.rate:g} is needed")
