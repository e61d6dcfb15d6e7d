"""What only sealed models can have, and what they cannot: faults of a spec's terms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from protocol import params
from protocol.errors import InputError
from protocol.layout.sealed import SealedLayout
from protocol.spec.checks import Fault
from protocol.spec.model import ModelSpec, TrainingSpec
from protocol.spec.parts import EncryptionSpec, Envelope, PrivacySpec


class Sealable(Protocol):
    """The part of a spec's terms that sealing looks at."""

    @property
    def model(self) -> ModelSpec: ...
    @property
    def training(self) -> TrainingSpec: ...
    @property
    def privacy(self) -> PrivacySpec: ...
    @property
    def encryption(self) -> EncryptionSpec: ...
    @property
    def feature_count(self) -> int: ...
    @property
    def layout(self) -> SealedLayout | None: ...


def sealed_faults(terms: Sealable) -> Iterator[Fault]:
    """Faults of settings that sealed models cannot have, or that only they have."""
    model = terms.model
    told = model.sealed_faults() if terms.privacy.sealed else model.open_faults()
    yield from (Fault(f"model.{fault.field}", fault.message) for fault in told)
    if not terms.privacy.sealed:
        for fault in terms.training.open_faults():
            yield Fault(f"training.{fault.field}", fault.message)
        return
    for fault in terms.training.sealed_faults():
        yield Fault(f"training.{fault.field}", fault.message)
    if terms.encryption.envelope is not Envelope.PAILLIER:
        found = f"is {terms.encryption.envelope}; sealed weights are Paillier ciphertexts"
        yield Fault("encryption.envelope", found)
    if terms.feature_count > params.MAX_SEALED_FEATURES:
        found = f"make {terms.feature_count} features of a sealed model"
        yield Fault("features", f"{found}, {params.MAX_SEALED_FEATURES} are allowed")
        return
    try:
        _ = terms.layout
    except InputError as error:
        yield Fault("encryption", str(error))
