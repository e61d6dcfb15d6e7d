"""What a spec must satisfy so that contributions can prove their norm, and which norm that is.

docs/spec/proofs.md derives the numbers. arith/proofs/statement.py has the same bound for arrays; a
test holds the two to each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

from protocol import params
from protocol.errors import InputError
from protocol.layout.noise import multiplier_bound
from protocol.spec.checks import Fault, least_threshold
from protocol.spec.model import TrainingSpec
from protocol.spec.parts import CohortSpec, EncryptionSpec, PrivacySpec

#: Chance, as an exponent of e, that noise is longer than the bound allows: 2^-40.
_TAIL = 40 * math.log(2)


class Provable(Protocol):
    """The part of a spec's terms that proofs look at."""

    @property
    def training(self) -> TrainingSpec: ...
    @property
    def privacy(self) -> PrivacySpec: ...
    @property
    def encryption(self) -> EncryptionSpec: ...
    @property
    def cohort(self) -> CohortSpec: ...
    @property
    def parameter_count(self) -> int: ...
    @property
    def proves(self) -> bool: ...


def least_proven(members: int, corrupt: int) -> int:
    """Members that must be there so that `corrupt` liars can neither accuse nor keep out anybody in
    a block of `members`: t + 2 c, of whose words c wrong ones are corrected."""
    return least_threshold(members, corrupt) + 2 * corrupt


def least_deciding(members: int, corrupt: int) -> int:
    """The fewest whose words say anything in a block of `members`: t + c. A block that loses those
    who cheated goes on with so many."""
    return least_threshold(members, corrupt) + corrupt


def least_opening(members: int, corrupt: int) -> int:
    """Members that must be there so that `corrupt` liars cannot close a block of `members` either:
    t + 2 c + c^2. Each of c dealers can spoil the pieces of c honest members, whose sums are then
    missing, and c sums may be wrong."""
    return least_proven(members, corrupt) + corrupt**2


def largest_norm(terms: Provable) -> int:
    """What an honest contribution's L2 norm is at most, in steps of the wire's grid.

    Without noise the largest integer stands for clip_norm, of which the spec may allow a part:
    owners shorten theirs to it (work/tasks.py). With noise it stands for a sample of
    twice the expected rows and 8 deviations (layout/noise.py): the sample's part, and noise of the
    deviation that suffices without sampling (Hsu, Kakade and Zhang 2012, Theorem 1, with 2^-40).
    Rounding adds sqrt(values). Raises InputError, naming encryption.value_bits, beyond what can be
    proven.
    """
    values, privacy = terms.parameter_count, terms.privacy
    norm, noise = float((1 << (terms.encryption.value_bits - 1)) - 1), 0.0
    norm /= terms.encryption.envelope.part
    if privacy.epsilon is not None:
        training = terms.training
        part = multiplier_bound(privacy.epsilon, privacy.delta, training.rounds)
        part /= training.batch_rows
        unit = norm / (2.0 + 8.0 * part)
        norm = 2.0 * unit
        noise = unit * part * math.sqrt(values + 2 * math.sqrt(values * _TAIL) + 2 * _TAIL)
    found = math.ceil(norm + math.sqrt(values) + noise)
    if found > params.MAX_PROVEN_BOUND:
        wanted = terms.encryption.value_bits - math.ceil(math.log2(found / params.MAX_PROVEN_BOUND))
        raise InputError(
            f"is {terms.encryption.value_bits}: an honest contribution may be {found} steps of the "
            f"grid long, {params.MAX_PROVEN_BOUND} can be proven; {wanted} bits would do",
            "encryption.value_bits",
        )
    return found


def proof_faults(terms: Provable) -> Iterator[Fault]:
    """Faults of settings with which norms cannot be proven."""
    if not terms.proves:
        return
    if terms.parameter_count > params.MAX_PROVEN_VALUES:
        found = f"has {terms.parameter_count} parameters"
        yield Fault("model", f"{found}, {params.MAX_PROVEN_VALUES} can be proven")
        return
    try:
        largest_norm(terms)
    except InputError as error:
        where = "encryption.value_bits"
        yield Fault(where, str(error).removeprefix(f"{where}: "))
    block, privacy = terms.cohort.block_size, terms.privacy
    if privacy.noisy and terms.encryption.envelope.part > 1:
        where = f"is {terms.encryption.envelope.proof!r}"
        yield Fault("privacy.proof", f"{where}; with noise the noise sets the bound: 'norm' it is")
    needed = least_proven(block, privacy.corrupt)
    if privacy.corrupt and needed > block - privacy.dropouts:
        yield Fault(
            "privacy.corrupt",
            f"is {privacy.corrupt}: with proofs {needed} members of a block of {block} must stay "
            f"(t + 2 c), and {block - privacy.dropouts} do; {_way_out(terms)}",
        )


def _way_out(terms: Provable) -> str:
    """Which blocks would do for so many dropouts and corrupt members."""
    privacy = terms.privacy
    for block in range(terms.cohort.block_size, params.MAX_BLOCK + 1):
        if least_proven(block, privacy.corrupt) <= block - privacy.dropouts:
            return f"cohort.block_size = {block} would do, or corrupt = 0, which trusts all members"
    return "no block would do: fewer dropouts or corrupt members are needed"
