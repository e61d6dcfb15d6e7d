"""The parts of a job spec, each with the limits of its fields and the rules between them.

docs/spec/job.md says what every field means to somebody who writes or implements one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, TypeAlias

from protocol import params
from protocol.addresses import ZERO_ADDRESS
from protocol.errors import Malformed
from protocol.spec.checks import Fault, distinct, finite_range, printable
from protocol.wire.codec import Amount, Range, Size, Wire

ETHER: Final = ZERO_ADDRESS
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


@dataclass(frozen=True, slots=True)
class Part(Wire):
    """A part of a spec: limits of each field first, then the rules between fields."""

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


class MeritBy(StrEnum):
    """What decides how the pot is shared among those who contributed.

    Worth is measured by the requester on its hold-out set, whose digest the spec has: when the job
    ends it is published with the sums of blocks, so that anybody can measure again. By discretion
    it is measured on a set that stays closed, and nobody can check it. Equal shares need nothing.
    """

    WORTH = "worth"
    DISCRETION = "discretion"
    EQUAL = "equal"


class Envelope(StrEnum):
    """What closes a contribution: masks alone, Paillier encryption around them, or shares.

    Masks hide it from everybody, and their shares go to the requester only. Paillier keeps it
    closed to all others even where a mask key leaks later. As shares its owner deals it among its
    block with a proof of its norm: a file says that as `privacy.proof = "norm"`. `shares/16`, in a
    file `"norm/16"`: the norm is at most a 16th of clip_norm. A contribution is a mean over many
    records, whose gradients mostly cancel, so that clip_norm is far from what honest ones have.
    """

    PAILLIER = "paillier"
    MASKS = "masks"
    SHARES = "shares"
    SHARES_4 = "shares/4"
    SHARES_16 = "shares/16"
    SHARES_32 = "shares/32"
    SHARES_64 = "shares/64"
    SHARES_128 = "shares/128"
    SHARES_256 = "shares/256"

    @property
    def kind(self) -> str:
        """The layout's name for it: one of packing.ENVELOPES."""
        return self.value.partition("/")[0]

    @property
    def part(self) -> int:
        """Which part of clip_norm a contribution's norm is at most."""
        return int(self.value.partition("/")[2] or 1)

    @property
    def proof(self) -> str:
        """What a file says as privacy.proof."""
        return self.value.replace("shares", "norm") if self.kind == "shares" else "none"


@dataclass(frozen=True, slots=True)
class Party(Part):
    """A participant: the account that signs and pays, and its libp2p identity."""

    account: Address
    peer_id: Annotated[bytes, Size(1, 64)]

    def faults(self) -> Iterator[Fault]:
        if self.account == ZERO_ADDRESS:
            yield Fault("account", "the zero address is nobody's account")


@dataclass(frozen=True, slots=True)
class ChainRef(Part):
    """The chain (EIP-155 id) and the bounty contract that hold the job's money."""

    chain_id: Annotated[int, Range(1, 2**63 - 1)]
    contract: Address

    def faults(self) -> Iterator[Fault]:
        if self.contract == ZERO_ADDRESS:
            yield Fault("contract", "the zero address holds no contract")


@dataclass(frozen=True, slots=True)
class NumberFeature(Part):
    """A column of numbers; `low` to `high` becomes 0 to 1, one input. What a spec says of its gaps
    is in protocol.spec.gaps, and so for the other columns."""

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
class PrivacySpec(Part):
    """The protection of one owner's data beside the masks of a round.

    `epsilon` None means no noise. `dropouts` members of a block may vanish in a round and `corrupt`
    may work for the requester without harm; docs/design.md, section 5, derives the threshold.
    `sealed`: owners train weights that they cannot read (docs/spec/sealed.md); their noise is then
    on statistics that are drawn once a job.
    """

    epsilon: Annotated[float, Range(1e-6, 1e3)] | None
    delta: Annotated[float, Range(0.0, 0.1)]
    dropouts: Annotated[int, Range(0, params.MAX_BLOCK)]
    corrupt: Annotated[int, Range(0, params.MAX_BLOCK)]
    sealed: bool

    def faults(self) -> Iterator[Fault]:
        if self.epsilon is not None:
            if not self.delta:
                yield Fault("delta", "is 0; with epsilon it is above 0, such as 1e-5")
            return
        if self.delta:
            yield Fault("delta", f"is {self.delta:g}; without epsilon it is 0")
        if self.dropouts:
            # Sums of different sets could be subtracted; only noise would hide the difference.
            yield Fault(
                "dropouts",
                f"is {self.dropouts}; without epsilon (no noise) it is 0: two sums could be "
                "subtracted. Set epsilon and delta to allow it",
            )

    @property
    def noisy(self) -> bool:
        """Whether every owner adds noise of its own."""
        return self.epsilon is not None


@dataclass(frozen=True, slots=True)
class EncryptionSpec(Part):
    """How values are packed and closed; `value_bits` counts the sign."""

    envelope: Envelope
    key_bits: Annotated[int, Range(min(params.KEY_BITS), max(params.KEY_BITS))]
    value_bits: Annotated[int, Range(*params.VALUE_BITS)]

    def faults(self) -> Iterator[Fault]:
        if self.key_bits not in params.KEY_BITS:
            allowed = ", ".join(map(str, params.KEY_BITS))
            yield Fault("key_bits", f"is {self.key_bits}; allowed are {allowed}")


@dataclass(frozen=True, slots=True)
class CohortSpec(Part):
    """Who may take part, and in blocks of how many.

    Blocks are as equal as they can be and have at least `block_size` members; a block has more only
    where owners are left over. `admission` lists the accounts that are let in, ascending; an empty
    list lets in everybody. `shuffle` draws the blocks anew for every round, which needs noise.
    """

    min_owners: Annotated[int, Range(params.MIN_BLOCK, params.MAX_COHORT)]
    max_owners: Annotated[int, Range(params.MIN_BLOCK, params.MAX_COHORT)]
    block_size: Annotated[int, Range(params.MIN_BLOCK, params.MAX_BLOCK)]
    admission: Annotated[tuple[Address, ...], Size(0, params.MAX_COHORT)]
    shuffle: bool

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

    def group_of(self, owners: int) -> int:
        """How many of so many late owners may form a group: the most that make no block larger than
        `largest_block`, because lanes have room for no more. 0 if too few came.

        A later group may be smaller than `min_owners`, and few blocks are the larger ones.
        """
        sizes = range(owners, self.block_size - 1, -1)
        return next((n for n in sizes if self.blocks(n)[0] <= self.largest_block), 0)


@dataclass(frozen=True, slots=True)
class PaymentSpec(Part):
    """Pay in the token's smallest unit: `rate` for each contribution, `merit` shared at the end, as
    `merit_by` says."""

    token: Address
    rate: Amount
    merit: Amount
    merit_by: MeritBy = MeritBy.EQUAL

    def faults(self) -> Iterator[Fault]:
        if self.rate == 0:
            yield Fault("rate", "is 0; a contribution must be worth at least 1")
        if self.rate > params.MAX_RATE:
            yield Fault("rate", f"is {self.rate}; the contract holds at most 2^96 - 1")

    @property
    def measures(self) -> bool:
        """Whether a pot is shared by what contributions were worth."""
        return self.merit > 0 and self.merit_by is not MeritBy.EQUAL

    @property
    def publishes(self) -> bool:
        """Whether everybody in the job can measure it again."""
        return self.merit > 0 and self.merit_by is MeritBy.WORTH


@dataclass(frozen=True, slots=True)
class TimingSpec(Part):
    """Deadlines of the phases, in seconds, and how deep a commitment lies before it is final.

    `commit_seconds` is how long a signed commitment may wait for the chain (its `valid_until`);
    `unmask_seconds` how long shares are awaited once it is final.
    """

    enrol_seconds: Seconds
    ready_seconds: Seconds
    contribute_seconds: Seconds
    commit_seconds: Annotated[int, Range(1, params.MAX_COMMIT_SECONDS)]
    unmask_seconds: Seconds
    apply_seconds: Seconds
    finality_blocks: Annotated[int, Range(0, params.MAX_FINALITY_BLOCKS)]
