"""The job spec: everything that requester and owners agree on before they train.

A spec is canonical bytes (protocol.wire.codec); its digest stands on the chain, so that nobody can
be shown another one. `Terms` is what the requester decides, `JobSpec` adds what its daemon fills
in. A spec that breaks a rule cannot be built: `JobSpec(...)`, `decode_spec` and the TOML reader
(protocol.spec.toml) go through the same checks. docs/spec/job.md lists every field and limit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from protocol import params
from protocol.errors import InputError, Malformed
from protocol.layout.noise import check_resolution
from protocol.layout.packing import Packing, model_bytes
from protocol.layout.sealed import SealedLayout
from protocol.spec.checks import Fault, least_threshold, printable, slug
from protocol.spec.encoder import Encoder, column_names, feature_faults
from protocol.spec.gaps import (
    GapCategoryFeature,
    GapClassTarget,
    GapNumberFeature,
    GapNumberTarget,
)
from protocol.spec.merit import merit_faults
from protocol.spec.model import Family, FeatureMap, ModelSpec, TrainingSpec
from protocol.spec.parts import (
    ETHER,
    Address,
    CategoryFeature,
    ChainRef,
    ClassTarget,
    CohortSpec,
    EncryptionSpec,
    Envelope,
    Faulty,
    Feature,
    MeritBy,
    NumberFeature,
    NumberTarget,
    Outside,
    Part,
    Party,
    PaymentSpec,
    PrivacySpec,
    Target,
    TimingSpec,
)
from protocol.spec.proving import largest_norm, least_deciding, proof_faults
from protocol.spec.sealing import sealed_faults
from protocol.wire.codec import Range, Size, decode, encode

__all__ = [
    "ETHER",
    "Address",
    "CategoryFeature",
    "ChainRef",
    "ClassTarget",
    "CohortSpec",
    "EncryptionSpec",
    "Envelope",
    "Family",
    "Faulty",
    "Feature",
    "FeatureMap",
    "JobSpec",
    "MeritBy",
    "ModelSpec",
    "NumberFeature",
    "NumberTarget",
    "Outside",
    "Party",
    "PaymentSpec",
    "PrivacySpec",
    "Target",
    "Terms",
    "TimingSpec",
    "TrainingSpec",
    "decode_spec",
    "encode_spec",
    "spec_digest",
]


@dataclass(frozen=True, slots=True)
class Terms(Part):
    """What the requester decides, and an owner judges."""

    version: Annotated[int, Range(params.PROTOCOL_VERSION, params.PROTOCOL_VERSION)]
    title: Annotated[str, Size(1, params.MAX_TITLE_BYTES)]
    purpose: Annotated[str, Size(1, 32)]
    features: Annotated[
        tuple[
            NumberFeature | CategoryFeature | GapNumberFeature | GapCategoryFeature | Encoder, ...
        ],
        Size(1, params.MAX_FEATURES),
    ]
    outside: Outside
    target: ClassTarget | NumberTarget | GapClassTarget | GapNumberTarget
    model: ModelSpec
    training: TrainingSpec
    privacy: PrivacySpec
    encryption: EncryptionSpec
    cohort: CohortSpec
    payment: PaymentSpec
    timing: TimingSpec

    def faults(self) -> Iterator[Fault]:
        yield from printable("title", self.title)
        yield from slug("purpose", self.purpose)
        encoded = self.model.map is FeatureMap.ENCODER
        yield from feature_faults(self.features, self.target.name, encoded)
        sealed = tuple(sealed_faults(self))
        yield from sealed
        if not sealed:
            yield from self._model_faults()
        yield from self._cohort_faults()
        if not sealed:
            yield from merit_faults(self)
            yield from proof_faults(self)

    @property
    def inputs(self) -> int:
        """Columns of the matrix that owners train on, categories one-hot, a
        feature's indicator behind its other inputs."""
        return sum(feature.inputs for feature in self.features)

    @property
    def beyond(self) -> Outside:
        """What becomes of a number outside of its range: with noise it is clipped whatever the file
        says, because no value may decide whether an owner takes part."""
        return Outside.CLIP if self.privacy.noisy else self.outside

    @property
    def outputs(self) -> int:
        """Outputs of the model: 1, or one for each class."""
        if isinstance(self.target, NumberTarget) or self.model.family is Family.LOGISTIC:
            return 1
        return len(self.target.classes)

    @property
    def feature_count(self) -> int:
        """Numbers of a row that a sealed model multiplies: its inputs, or what its map makes of
        them, and one more for a bias."""
        mapped = self.model.map_width if self.model.map.random else self.inputs
        return mapped + (self.model.bias > 0.0)

    @property
    def parameter_count(self) -> int:
        """Weights and biases, which is the length of a contribution before packing."""
        if self.privacy.sealed:
            return self.feature_count * self.outputs
        if self.model.family is Family.DENSE:
            return (self.inputs + 1) * self.model.hidden + (self.model.hidden + 1) * self.outputs
        return (self.inputs + 1) * self.outputs

    @property
    def _width(self) -> int:
        """Numbers of one row in training: what goes into the layers, and what comes out."""
        if self.privacy.sealed:
            return 0  # rows are met one at a time
        return self.inputs + self.model.hidden + self.outputs

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that a dataset must have: the features, then the target."""
        return (*column_names(self.features), self.target.name)

    @property
    def encoder(self) -> Encoder | None:
        """The network that makes the features, where one does."""
        return self.features[0] if isinstance(self.features[0], Encoder) else None

    @property
    def packing(self) -> Packing:
        """The layout of contributions in the job's largest possible block."""
        return self.packing_for(self.cohort.largest_block)

    def packing_for(self, members: int) -> Packing:
        """The layout of contributions in a block of `members`."""
        encryption = self.encryption
        kind = encryption.envelope.kind
        return Packing(encryption.value_bits, members, encryption.key_bits, kind, self.layout)

    @property
    def layout(self) -> SealedLayout | None:
        """How a sealed model's ciphertexts are laid out, in every block of the job: as its largest
        one needs them; None if the model is open."""
        if not self.privacy.sealed:
            return None
        encryption, members = self.encryption, self.cohort.largest_block
        return SealedLayout(
            self.feature_count, self.outputs, encryption.value_bits, encryption.key_bits, members
        )

    def counted_rows(self, declared: int) -> int:
        """How many of an owner's declared rows count in a sealed job. A contribution of full weight
        stands for `batch_rows`; an owner that declares none counts as one."""
        return min(max(declared, 1), self.training.batch_rows)

    @property
    def charged_rounds(self) -> int:
        """How many draws of noise the job costs: one a round, or a sealed job's statistics."""
        return 1 if self.privacy.sealed else self.training.rounds

    @property
    def model_bytes(self) -> int:
        """Bytes of the model as owners fetch it: floats, or a sealed model's ciphertexts."""
        layout = self.layout
        return model_bytes(self.parameter_count) if layout is None else layout.model_bytes

    @property
    def block_count(self) -> int:
        """The most blocks that the cohort can make."""
        return self.cohort.max_owners // self.cohort.block_size

    @property
    def escrow(self) -> int:
        """What the contract holds from the start: every round of the largest cohort, and merit."""
        return self.training.rounds * self.cohort.max_owners * self.payment.rate + (
            self.payment.merit
        )

    @property
    def least_lifetime(self) -> int:
        """Seconds in which every round can use up its deadlines once."""
        t = self.timing
        compute = t.ready_seconds + t.contribute_seconds + t.apply_seconds
        if self.proves:
            compute += t.unmask_seconds  # for the members' words on each other
        return t.enrol_seconds + self.training.rounds * (
            compute + t.commit_seconds + t.unmask_seconds
        )

    def threshold(self, members: int) -> int:
        """Shares that rebuild a secret in a block of `members` (docs/design.md, section 5)."""
        return least_threshold(members, self.privacy.corrupt)

    def quorum(self, members: int) -> int:
        """Members of a block of `members` without whom it does not go on: all but the dropouts.

        With proofs and without noise, those whose words decide: who cheats leaves, and nobody else
        may (protocol/owner/verify.py).
        """
        if self.proves and not self.privacy.noisy:
            return min(members, least_deciding(members, self.privacy.corrupt))
        return members - self.privacy.dropouts

    @property
    def proves(self) -> bool:
        """Whether a contribution counts only with a proof that its norm is within the bound."""
        return self.encryption.envelope.kind == Envelope.SHARES

    @property
    def norm_bound(self) -> int:
        """The L2 norm, in steps of the wire's grid, that contributions prove to keep. Raises
        InputError, naming what would do, where it is beyond what can be proven."""
        return largest_norm(self)

    def _model_faults(self) -> Iterator[Fault]:
        family = self.model.family
        classes = len(self.target.classes) if isinstance(self.target, ClassTarget) else 0
        if family is Family.LINEAR and classes:
            yield Fault("model.family", "is linear; its target is a number, not classes")
        if family is not Family.LINEAR and not classes:
            yield Fault("model.family", f"is {family}; its target is classes, not a number")
        if family is Family.LOGISTIC and classes > 2:
            yield Fault("model.family", f"is logistic, which takes 2 classes, not {classes}")
        if self.parameter_count > params.MAX_PARAMETERS:
            found = f"has {self.parameter_count} parameters"
            yield Fault("model", f"{found}, {params.MAX_PARAMETERS} are allowed")
        elif (cells := self.training.batch_rows * self._width) > params.MAX_STEP_CELLS:
            found = f"is {self.training.batch_rows}: a step over {self._width} inputs and outputs"
            allowed = f"{params.MAX_STEP_CELLS} are allowed"
            yield Fault("training.batch_rows", f"{found} holds {cells} numbers; {allowed}")
        elif (size := self.packing.batch_bytes(self.parameter_count)) > params.MAX_BLOB_BYTES:
            allowed = f"a blob may have {params.MAX_BLOB_BYTES}"
            yield Fault("encryption.value_bits", f"make contributions of {size} bytes; {allowed}")

    def _way_out(self) -> str:
        """Which blocks would do for so many dropouts and corrupt members."""
        privacy = self.privacy
        gone = privacy.dropouts + privacy.corrupt
        for block in range(self.cohort.block_size, params.MAX_BLOCK + 1):
            if self.threshold(block) <= block - gone:
                return f"blocks of {block} would do, or fewer of either"
        return f"no block of up to {params.MAX_BLOCK} would do: fewer of either are needed"

    def _cohort_faults(self) -> Iterator[Fault]:
        block, privacy = self.cohort.block_size, self.privacy
        left = block - privacy.dropouts - privacy.corrupt
        if self.threshold(block) > left:
            # 2t > n + c and t <= n - d - c; if they hold for the least block, they hold for larger
            # ones.
            yield Fault(
                "privacy.corrupt",
                f"is {privacy.corrupt} beside {privacy.dropouts} dropouts: in a block of {block}, "
                f"{self.threshold(block)} shares rebuild a secret (2t > n + c), and {max(left, 0)} "
                f"members are sure to give theirs (n - d - c); {self._way_out()}",
            )
        if privacy.noisy and not privacy.sealed and self.training.local_steps > 1:
            yield Fault(
                "training.local_steps",
                f"is {self.training.local_steps}; with epsilon it is 1: noise is added to one "
                "gradient a round",
            )
        if privacy.epsilon is not None and not privacy.sealed:
            try:
                check_resolution(
                    self.encryption.value_bits,
                    self.training.batch_rows,
                    self.training.rounds,
                    privacy.epsilon,
                    privacy.delta,
                )
            except InputError as error:
                where = "encryption.value_bits"
                yield Fault(where, str(error).removeprefix(f"{where}: "))
        if self.cohort.shuffle and not privacy.noisy:
            # Sums of overlapping sets could be subtracted, round against round.
            yield Fault("cohort.shuffle", "is true; without epsilon (no noise) blocks stay fixed")
        if self.escrow > params.MAX_ESCROW:
            yield Fault("payment", f"makes an escrow of {self.escrow}; at most 2^128 - 1 is held")


@dataclass(frozen=True, slots=True)
class JobSpec(Terms):
    """A whole spec: the terms, and what ties them to one posting of one requester on one chain.

    `salt` lets one file be posted twice; `seed` makes the initial weights; `modulus` is the
    Paillier n, big-endian; `expires_at` (Unix seconds) is the contract's absolute expiry; `base` is
    a short-order key's h, as long as the modulus, or empty; `proof` shows of a sealed job's n that
    it has no factor in common with phi(n) (docs/spec/arithmetic.md), and is empty otherwise. Before
    an owner enrols, a worker checks what takes big numbers of n, h and the proof. `holdout` names
    the rows that worth is measured on where they are published when the job ends, and is empty
    otherwise.
    """

    salt: Annotated[bytes, Size(16)]
    requester: Party
    chain: ChainRef
    seed: Annotated[bytes, Size(32)]
    modulus: Annotated[bytes, Size(1, max(params.KEY_BITS) // 8)]
    expires_at: Annotated[int, Range(1, 2**40)]
    base: Annotated[bytes, Size(0, max(params.KEY_BITS) // 8)] = b""
    proof: Annotated[bytes, Size(0, params.KEY_PROOF_ROOTS * max(params.KEY_BITS) // 8)] = b""
    holdout: Annotated[bytes, Size(0, 32)] = b""

    def faults(self) -> Iterator[Fault]:
        yield from Terms.faults(self)
        n = int.from_bytes(self.modulus, "big")
        bits = self.encryption.key_bits
        if n.bit_length() != bits or 8 * len(self.modulus) != bits:
            yield Fault("modulus", f"has {n.bit_length()} bits; key_bits is {bits}")
        elif n % 2 == 0:
            yield Fault("modulus", "is even; a Paillier modulus is the product of two odd primes")
        if self.base:
            if len(self.base) != len(self.modulus):
                found = f"has {len(self.base)} bytes; the modulus has {len(self.modulus)}"
                yield Fault("base", found)
            elif not 1 < int.from_bytes(self.base, "big") < n - 1:
                yield Fault("base", "lies outside (1, n - 1)")
        wanted = params.KEY_PROOF_ROOTS * len(self.modulus) if self.privacy.sealed else 0
        if len(self.proof) != wanted:
            kind = "a sealed job's" if wanted else "an open job's"
            found = f"has {len(self.proof)} bytes; {kind} has {wanted}"
            yield Fault("proof", found)
        named = 32 if self.payment.publishes else 0
        if len(self.holdout) != named:
            kind = "a job whose merit is by worth has" if named else "any other has"
            yield Fault("holdout", f"has {len(self.holdout)} bytes; {kind} {named}")

    @property
    def n(self) -> int:
        """The Paillier modulus."""
        return int.from_bytes(self.modulus, "big")


def encode_spec(spec: JobSpec) -> bytes:
    """Canonical bytes. Raises Malformed above MAX_SPEC_BYTES."""
    data = encode(spec)
    if len(data) > params.MAX_SPEC_BYTES:
        raise Malformed(f"the spec has {len(data)} bytes, {params.MAX_SPEC_BYTES} are allowed")
    return data


def decode_spec(data: bytes) -> JobSpec:
    """Read hostile bytes. Raises Malformed, with the field, for whatever is wrong in them."""
    _check_version(data[:4])
    return decode(JobSpec, data, params.MAX_SPEC_BYTES)


def spec_digest(data: bytes) -> bytes:
    """SHA-256 of the canonical bytes, 32 bytes, as it stands on the chain.

    The same as any blob's digest, so that an owner who knows the chain can fetch the spec by it.
    """
    return hashlib.sha256(data).digest()


def _check_version(head: bytes) -> None:
    """Tell a spec of another version from garbage: its fields may differ, its first does not."""
    if not head:
        raise Malformed("JobSpec: no bytes")
    start = 1 if head[0] & 0xF0 == 0x90 else 3 if head[0] == 0xDC else len(head)
    found = head[start] if start < len(head) else 0x80
    if found < 0x80 and found != params.PROTOCOL_VERSION:
        raise Malformed(
            f"JobSpec.version: is {found}, this version of assay reads {params.PROTOCOL_VERSION}"
        )
