"""The attack `dropouts`: list an owner's known members away, in the roster or the committed list.

Four owners of a block of eight know each other; four are puppets. The job allows two dropouts, so
that a requester may leave two members out and go on: out of the roster, or out of the list that it
commits to. It leaves out those whom the others rely on.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Collection

from protocol.arith.numbers.entropy import SEED_BYTES, Entropy, draw, generator
from protocol.arith.numbers.fixedpoint import Integers
from protocol.books.enrolment import Cohort, Member
from protocol.machines import inputs
from protocol.machines.effects import ComputeContribution, SendRelease
from protocol.machines.job import JobPhase
from protocol.machines.machine import JobContext
from protocol.machines.round import Phase
from protocol.owner.machine import step
from protocol.owner.state import ChainCommitment, OwnerRound, OwnerState
from protocol.wire.messages import Open
from scripts.attacks.aggregated import MODEL, Block, posted
from scripts.attacks.table import Row, Table

_MEMBERS, _PUPPETS, _DROPOUTS, _LEAST = 8, 4, 2, 3
_FRIENDS = tuple(range(_PUPPETS, _MEMBERS))

#: Digests of what the requester shows: which bytes these are is no matter here.
_OPENING, _MODEL, _READY, _ROSTER, _BATCH, _ROOT, _LIST = (bytes([i]) * 32 for i in range(1, 8))
_NOW = 1_800_000_000_000


def run(entropy: Entropy = secrets.token_bytes) -> Table:
    """The whole table. The owners' machines decide; what they give is then opened in earnest."""
    rows = [
        listed_away("roster", in_roster=True, entropy=entropy),
        listed_away("committed list", in_roster=False, entropy=entropy),
    ]
    notes = [
        f"A block of {_MEMBERS}, {_PUPPETS} of them puppets; {_DROPOUTS} may drop out, 1 may be "
        "corrupt, 5 shares rebuild a secret. The other four know each other.",
        f"The defence is known_least={_LEAST}, asked again of the roster before anything is "
        "computed, and of the committed list before a share leaves. Of members that they know and "
        "that do not ask the same of theirs, a requester may still get the shares.",
    ]
    return Table("dropouts", "Listing an owner's known members away as dropouts", rows, notes)


def listed_away(where: str, *, in_roster: bool, entropy: Entropy) -> Row:
    """Among how many of the four an owner is hidden in what is opened, its noise beside theirs."""
    without = hidden_among(0, in_roster=in_roster, entropy=entropy)
    with_it = hidden_among(_LEAST, in_roster=in_roster, entropy=entropy)
    return Row(
        f"two known members left out of the {where}: what is opened, beside the puppets' numbers",
        f"the sum of {without} of the four" if without else "nothing",
        f"the sum of {with_it} of the four" if with_it else "nothing",
        without == len(_FRIENDS) - _DROPOUTS and with_it == 0,
    )


def hidden_among(least: int, *, in_roster: bool, entropy: Entropy) -> int:
    """How many honest owners the opened sum is over; 0 where nothing opens."""
    block = Block(_MEMBERS, 1, entropy)
    kept = tuple(m for m in block.everybody if m not in _FRIENDS[:_DROPOUTS])
    roster = kept if in_roster else block.everybody
    giving = [m for m in _FRIENDS if m in roster and contributes(m, roster, least)]
    numbers = {m: _numbers(entropy) for m in (*range(_PUPPETS), *giving)}
    batches = {m: block.batch(m, numbers[m], roster) for m in numbers if m in kept}
    if len(batches) < len(kept):
        return 0
    holders = [*range(_PUPPETS), *(m for m in giving if releases(m, roster, kept, least))]
    found = block.opened(batches, roster, holders)
    if found is None:
        return 0
    honest = [m for m in giving if m in kept]
    left = found - sum(numbers[m] for m in range(_PUPPETS))
    if (left != sum(numbers[m] for m in honest)).any():
        raise AssertionError("a sum that opens is that of its batches")
    return len(honest)


def contributes(member: int, roster: Collection[int], least: int) -> bool:
    """Whether an owner's machine orders its contribution, once it has seen the roster."""
    seen = inputs.ExaminedRoster(_NOW, 0, 0, _ROSTER, tuple(roster), _READY)
    round_ = dataclasses.replace(_attempt(Phase.FREEZE), roster=(), batch_digest=b"")
    _, wanted = step(_context(member), _state(member, round_, least), seen)
    return any(isinstance(effect, ComputeContribution) for effect in wanted)


def releases(member: int, roster: Collection[int], listed: Collection[int], least: int) -> bool:
    """Whether its machine orders the release, once it has seen the list under the chain's root."""
    count = len(listed)
    seen = inputs.ExaminedContributions(
        _NOW, 0, 0, _LIST, _ROOT, tuple(listed), count, _BATCH if member in listed else b""
    )
    round_ = dataclasses.replace(
        _attempt(Phase.COMMIT), roster=tuple(roster), commitment_root=_ROOT, list_digest=_LIST
    )
    state = dataclasses.replace(
        _state(member, round_, least),
        commitments=(ChainCommitment(0, _ROOT, count, _MODEL, 1),),
        head=1 + posted().timing.finality_blocks,
    )
    _, wanted = step(_context(member), state, seen)
    return any(isinstance(effect, SendRelease) for effect in wanted)


def _numbers(entropy: Entropy) -> Integers:
    random = generator(draw(entropy, SEED_BYTES), "numbers")
    return random.integers(-1000, 1000, MODEL.parameter_count)


def _account(member: int) -> bytes:
    return bytes([member + 1]) * 20


def _peer(member: int) -> bytes:
    return bytes([member + 1]) * 38


def _context(member: int) -> JobContext:
    spec = posted(dropouts=_DROPOUTS, owners=_MEMBERS)
    members = tuple(
        Member(_peer(m), _account(m), _account(m), 100, bytes([m]) * 32, bytes([m + 1]) * 32)
        for m in range(_MEMBERS)
    )
    cohort = Cohort(members, (bytes(32),), (_MEMBERS,))
    return JobContext(bytes(32), spec, 1000, bytes(32), _peer(member), _account(member), cohort)


def _attempt(phase: Phase) -> OwnerRound:
    opening = Open(bytes(32), 1000, _MODEL, 1000, _NOW + 60_000, _NOW + 120_000)
    return OwnerRound(
        0,
        0,
        phase,
        opening,
        _OPENING,
        secrets_asked=True,
        ready_digest=_READY,
        roster_digest=_ROSTER,
        batch_digest=_BATCH,
    )


def _state(member: int, round_: OwnerRound, least: int) -> OwnerState:
    known = tuple(_account(m) for m in _FRIENDS if m != member)
    return OwnerState(phase=JobPhase.TRAINING, known=known, known_least=least, round=round_)
