"""The job spec: everything that requester and owners agree on before they train.

A spec is canonical bytes (protocol.codec); its digest stands on the chain, so that nobody can be
shown another one. `Terms` is what the requester decides, `JobSpec` adds what its daemon fills in.
A spec that breaks a rule cannot be built: `JobSpec(...)`, `decode_spec` and the TOML reader
(protocol.spec_toml) go through the same checks. docs/spec/job.md lists every field and limit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, TypeAlias

from protocol import params
from protocol.codec import Amount, Range, Size, Wire, decode, encode
from protocol.errors import Malformed
from protocol.spec_checks import (
    Fault,
    distinct,
    feature_faults,
    finite_range,
    least_threshold,
    printable,
    slug,
    terms_faults,
)

ETHER: Final = bytes(20)
"""The token address that stands for the chain's own coin."""

Address: TypeAlias = Annotated[bytes, Size(20)]
Name: TypeAlias = Annotated[str, Size(1, params.MAX_NAME_BYTES)]
Ratio: TypeAlias = Annotated[float, Range(1e-9, 1e6)]
Seconds: TypeAlias = Annotated[int, Range(1, 7 * 86_400)]


class Faulty(Malformed):
    """Values that are fine one by one do not fit together. `faults` says which, and why."""

    def __init__(self, where: str, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(f"{where}.{fault.field}: {fault.message}" for fault in faults))
        self.faults = faults


class Part(Wire):
    """A part of a spec: limits of each field first, then the rules between fields."""

    __slots__ = ()

    def __post_init__(self) -> None:
        Wire.__post_init__(self)
        faults = tuple(self.faults())
        if faults:
            raise Faulty(type(self).__name__, faults)

    def faults(self) -> Iterator[Fault]:
        """What is wrong between fields whose own limits hold."""
        yield from ()


class Outside(StrEnum):
    """What an owner does with a row whose value lies outside its declared range."""

    REFUSE = "refuse"
    CLIP = "clip"


class Family(StrEnum):
    """The model, as in protocol.arith.models."""

    LINEAR = "linear"
    LOGISTIC = "logistic"
    SOFTMAX = "softmax"
    DENSE = "dense"


class Envelope(StrEnum):
    """What closes a contribution."""

    PAILLIER = "paillier"


@dataclass(frozen=True, slots=True)
class Party(Part):
    """A participant: the account that signs and pays, and its libp2p identity."""

    account: Address
    peer_id: Annotated[bytes, Size(1, 64)]

    def faults(self) -> Iterator[Fault]:
        if self.account == bytes(20):
            yield Fault("account", "the zero address is nobody's account")


@dataclass(frozen=True, slots=True)
class ChainRef(Part):
    """The chain (EIP-155 id) and the bounty contract that hold the job's money."""

    chain_id: Annotated[int, Range(1, 2**63 - 1)]
    contract: Address

    def faults(self) -> Iterator[Fault]:
        if self.contract == bytes(20):
            yield Fault("contract", "the zero address holds no contract")


@dataclass(frozen=True, slots=True)
class NumberFeature(Part):
    """A column of numbers; `low` to `high` becomes 0 to 1, one input."""

    name: Name
    low: float
    high: float

    def faults(self) -> Iterator[Fault]:
        yield from printable("name", self.name)
        yield from finite_range(self.low, self.high)

    @property
    def inputs(self) -> int:
        return 1


@dataclass(frozen=True, slots=True)
class CategoryFeature(Part):
    """A column of words; each category becomes one input, 1 where it holds and 0 elsewhere."""

    name: Name
    categories: Annotated[tuple[Name, ...], Size(2, params.MAX_CATEGORIES)]

    def faults(self) -> Iterator[Fault]:
        yield from printable("name", self.name)
        yield from distinct("categories", self.categories)

    @property
    def inputs(self) -> int:
        return len(self.categories)


@dataclass(frozen=True, slots=True)
class ClassTarget(Part):
    """A column that names a row's class; class k is the k-th of `classes`, from 0."""

    name: Name
    classes: Annotated[tuple[Name, ...], Size(2, params.MAX_CATEGORIES)]

    def faults(self) -> Iterator[Fault]:
        yield from printable("name", self.name)
        yield from distinct("classes", self.classes)


@dataclass(frozen=True, slots=True)
class NumberTarget(Part):
    """A column of numbers; `low` to `high` becomes 0 to 1."""

    name: Name
    low: float
    high: float

    def faults(self) -> Iterator[Fault]:
        yield from printable("name", self.name)
        yield from finite_range(self.low, self.high)


Feature: TypeAlias = NumberFeature | CategoryFeature
Target: TypeAlias = ClassTarget | NumberTarget


@dataclass(frozen=True, slots=True)
class ModelSpec(Part):
    """The architecture. `hidden` is the width of the dense family's one ReLU layer, else 0."""

    family: Family
    hidden: Annotated[int, Range(0, 65_536)]

    def faults(self) -> Iterator[Fault]:
        if self.family is Family.DENSE and not self.hidden:
            yield Fault("hidden", "is 0; a dense model has at least 1")
        if self.family is not Family.DENSE and self.hidden:
            yield Fault("hidden", f"is {self.hidden}; a {self.family} model has none")


@dataclass(frozen=True, slots=True)
class TrainingSpec(Part):
    """How it is trained; the meaning of each number is in protocol.arith.training.

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

    def faults(self) -> Iterator[Fault]:
        if self.rate * self.ridge >= 1.0:
            yield Fault("ridge", f"is {self.ridge:g}; below 1 / rate = {1 / self.rate:g} is needed")


@dataclass(frozen=True, slots=True)
class PrivacySpec(Part):
    """What protects one owner's data beside the masks of a round.

    `epsilon` None means no noise. `dropouts` members of a block may vanish in a round and
    `corrupt` may work for the requester without harm; DESIGN section 5 derives the threshold.
    """

    epsilon: Annotated[float, Range(1e-6, 1e3)] | None
    delta: Annotated[float, Range(0.0, 0.1)]
    dropouts: Annotated[int, Range(0, params.MAX_BLOCK)]
    corrupt: Annotated[int, Range(0, params.MAX_BLOCK)]
    sealed: bool

    def faults(self) -> Iterator[Fault]:
        if self.sealed:
            yield Fault("sealed", "is true; sealed models are not supported by this version")
        if self.epsilon is not None:
            yield Fault("epsilon", f"is {self.epsilon:g}; noise is not supported by this version")
            return
        if self.delta:
            yield Fault("delta", f"is {self.delta:g}; without epsilon it is 0")
        if self.dropouts:
            # Sums of different sets could be subtracted; only noise would hide the difference.
            yield Fault("dropouts", f"is {self.dropouts}; without epsilon (no noise) it is 0")


@dataclass(frozen=True, slots=True)
class EncryptionSpec(Part):
    """How values are packed and closed; `value_bits` counts the sign."""

    envelope: Envelope
    key_bits: Annotated[int, Range(min(params.KEY_BITS), max(params.KEY_BITS))]
    value_bits: Annotated[int, Range(params.MIN_VALUE_BITS, params.MAX_VALUE_BITS)]

    def faults(self) -> Iterator[Fault]:
        if self.key_bits not in params.KEY_BITS:
            allowed = ", ".join(map(str, params.KEY_BITS))
            yield Fault("key_bits", f"is {self.key_bits}; allowed are {allowed}")


@dataclass(frozen=True, slots=True)
class CohortSpec(Part):
    """Who may take part, and in blocks of how many.

    Blocks are as equal as they can be and have at least `block_size` members; a block has more
    only where owners are left over. `admission` lists the accounts let in, ascending; empty lets
    in everybody.
    """

    min_owners: Annotated[int, Range(params.MIN_BLOCK, params.MAX_COHORT)]
    max_owners: Annotated[int, Range(params.MIN_BLOCK, params.MAX_COHORT)]
    block_size: Annotated[int, Range(params.MIN_BLOCK, params.MAX_BLOCK)]
    admission: Annotated[tuple[Address, ...], Size(0, params.MAX_COHORT)]

    def faults(self) -> Iterator[Fault]:
        if self.min_owners > self.max_owners:
            yield Fault("min_owners", f"is {self.min_owners}, above max_owners {self.max_owners}")
        elif self.min_owners < self.block_size:
            yield Fault("min_owners", f"is {self.min_owners}; a block has {self.block_size}")
        elif self.largest_block > params.MAX_BLOCK:
            yield Fault(
                "block_size",
                f"is {self.block_size}; some number of owners from {self.min_owners} to "
                f"{self.max_owners} makes a block of {self.largest_block}, "
                f"{params.MAX_BLOCK} are allowed",
            )
        if any(a >= b for a, b in zip(self.admission, self.admission[1:], strict=False)):
            yield Fault("admission", "accounts must ascend, each once")
        if 0 < len(self.admission) < self.min_owners:
            yield Fault(
                "admission", f"lists {len(self.admission)}; min_owners is {self.min_owners}"
            )

    def blocks(self, owners: int) -> tuple[int, ...]:
        """Sizes of the blocks that `owners` make, largest first; none below `block_size`."""
        count = owners // self.block_size
        if count == 0:
            return ()
        size, over = divmod(owners, count)
        return (size + 1,) * over + (size,) * (count - over)

    @property
    def largest_block(self) -> int:
        """The most members that a block of this job can have.

        With k blocks of b and r < b owners left over a block has b + ceil(r / k): the fewest
        blocks make the largest.
        """
        fewest = self.min_owners // self.block_size
        over = min(self.block_size - 1, self.max_owners - fewest * self.block_size)
        return self.block_size - (-over // fewest)


@dataclass(frozen=True, slots=True)
class PaymentSpec(Part):
    """Pay in the token's smallest unit: `rate` for each contribution, `merit` shared at the end."""

    token: Address
    rate: Amount
    merit: Amount

    def faults(self) -> Iterator[Fault]:
        if self.rate == 0:
            yield Fault("rate", "is 0; a contribution must be worth at least 1")


@dataclass(frozen=True, slots=True)
class TimingSpec(Part):
    """Deadlines of the phases, in seconds, and how deep a commitment lies before it is final.

    `commit_seconds` is how long a signed commitment may wait for the chain (its `valid_until`).
    """

    enrol_seconds: Seconds
    ready_seconds: Seconds
    contribute_seconds: Seconds
    commit_seconds: Annotated[int, Range(1, params.MAX_COMMIT_SECONDS)]
    apply_seconds: Seconds
    finality_blocks: Annotated[int, Range(0, params.MAX_FINALITY_BLOCKS)]


@dataclass(frozen=True, slots=True)
class Terms(Part):
    """What the requester decides, and an owner judges."""

    version: Annotated[int, Range(params.PROTOCOL_VERSION, params.PROTOCOL_VERSION)]
    title: Annotated[str, Size(1, params.MAX_TITLE_BYTES)]
    purpose: Annotated[str, Size(1, 32)]
    features: Annotated[tuple[NumberFeature | CategoryFeature, ...], Size(1, params.MAX_FEATURES)]
    outside: Outside
    target: ClassTarget | NumberTarget
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
        yield from feature_faults(self)
        yield from terms_faults(self)

    @property
    def inputs(self) -> int:
        """Columns of the matrix that owners train on, categories one-hot."""
        return sum(feature.inputs for feature in self.features)

    @property
    def outputs(self) -> int:
        """Outputs of the model: 1, or one for each class."""
        if isinstance(self.target, NumberTarget) or self.model.family is Family.LOGISTIC:
            return 1
        return len(self.target.classes)

    @property
    def parameter_count(self) -> int:
        """Weights and biases, which is the length of a contribution before packing."""
        if self.model.family is Family.DENSE:
            return (self.inputs + 1) * self.model.hidden + (self.model.hidden + 1) * self.outputs
        return (self.inputs + 1) * self.outputs

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that a dataset must have: the features, then the target."""
        return (*(feature.name for feature in self.features), self.target.name)

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
        a_round = t.ready_seconds + t.contribute_seconds + t.commit_seconds + t.apply_seconds
        return t.enrol_seconds + self.training.rounds * a_round

    def threshold(self, members: int) -> int:
        """Shares that rebuild a secret in a block of `members` (DESIGN section 5)."""
        return least_threshold(members, self.privacy.corrupt)


@dataclass(frozen=True, slots=True)
class JobSpec(Terms):
    """A whole spec: the terms, and what ties them to one posting of one requester on one chain.

    `salt` lets one file be posted twice; `seed` makes the initial weights; `modulus` is the
    Paillier n, big-endian; `expires_at` (Unix seconds) is the contract's absolute expiry.
    """

    salt: Annotated[bytes, Size(16)]
    requester: Party
    chain: ChainRef
    seed: Annotated[bytes, Size(32)]
    modulus: Annotated[bytes, Size(1, max(params.KEY_BITS) // 8)]
    expires_at: Annotated[int, Range(1, 2**40)]

    def faults(self) -> Iterator[Fault]:
        yield from Terms.faults(self)
        n = int.from_bytes(self.modulus, "big")
        bits = self.encryption.key_bits
        if n.bit_length() != bits or 8 * len(self.modulus) != bits:
            yield Fault("modulus", f"has {n.bit_length()} bits; key_bits is {bits}")
        elif n % 2 == 0:
            yield Fault("modulus", "is even; a Paillier modulus is the product of two odd primes")

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
