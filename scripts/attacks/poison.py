"""The attack `poison`: owners that send what ruins the model, and are paid for it.

Under masks a requester sees a block's sum, and nobody can tell who sent what. With proofs a
contribution counts only if its norm is within the bound. Poison within the bound passes: rows that
are `told` say what it does then.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final, NamedTuple

from protocol.arith.numbers.entropy import SEED_BYTES, Entropy, draw
from scripts.attacks import poisoned
from scripts.attacks.poisoned import CLIP, RECIPE, Ended, Job, Poison, bound_of
from scripts.attacks.table import Row, Table

#: Owners in one block, and how many of them are hostile.
SIZES: Final = ((5, 1), (5, 2), (10, 1), (10, 2), (20, 1), (20, 2))

#: A bound for the contribution itself: honest ones have 0.5 to 3 % of clip_norm here.
TIGHT: Final = CLIP // 100

#: Points of accuracy by which an attack counts as one, and within which a job is unharmed.
_HARM, _UNHARMED = 10.0, 1.0


class Kind(NamedTuple):
    """What is sent. `stopped` says whether the proof is to stop it; None where it cannot."""

    what: str
    poison: Poison
    length: int
    stopped: bool
    opens: bool = False


KINDS: Final = (
    Kind("norm x 102", poisoned.huge, CLIP, True),
    Kind("sign flips", poisoned.flipped, CLIP, False),
    Kind("sign flips, as long as clip_norm", poisoned.clip_long_flip, CLIP, False),
    Kind("label flips", poisoned.mislabelled, CLIP, False),
    Kind("zeros", poisoned.nothing, CLIP, False),
    Kind("copies of the last round's mean", poisoned.copied, CLIP, False),
    Kind("a backdoor", poisoned.backdoor, CLIP, False, True),
    Kind("sign flips, as long as clip_norm", poisoned.clip_long_flip, TIGHT, True),
    Kind("sign flips, as long as passes", poisoned.longest_flip, TIGHT, False),
    Kind("a backdoor", poisoned.backdoor, TIGHT, True, True),
    Kind("a backdoor, as long as passes", poisoned.longest_backdoor, TIGHT, False, True),
)


def run(
    entropy: Entropy = secrets.token_bytes,
    sizes: Sequence[tuple[int, int]] = SIZES,
    kinds: Sequence[Kind] = KINDS,
    rounds: int = RECIPE.rounds,
) -> Table:
    """The whole table, or what of it is asked for."""
    seeds = draw(entropy, SEED_BYTES)
    alone = {size: Job(*size, None, rounds).run(seeds, entropy) for size in sizes}
    rows = [row_of(kind, alone, rounds, seeds, entropy) for kind in kinds]
    rows += [vouching(owners, rounds, seeds, entropy) for owners in (5, 10) if (owners, 2) in sizes]
    without = ", ".join(f"{_size(size)} {_percent(end.accuracy)}" for size, end in alone.items())
    notes = [
        f"Digits, softmax, {rounds} rounds of {RECIPE.local_steps} steps, one block, 16 bits, no "
        f"noise. The hostile ones left out, accuracy is: {without}.",
        "Percent are accuracy on the requester's hold-out rows; after a stroke, how many rows with "
        "the trigger are called a 0. 'Paid' counts contributions of hostile owners.",
        "An honest contribution has 0.5 to 3 % of clip_norm. So a bound of clip_norm leaves a "
        "hostile one forty times an honest norm and more. At 1 % of clip_norm honest owners "
        "shorten theirs first.",
        "'told': the proof does not stop this, or not at this bound.",
        "Everybody deals in the first round, and in a block of five in each; in other rounds "
        "hostile owners do. Boxes and signatures are left out. docs/poison.md reads this table.",
    ]
    return Table("poison", "Contributions that ruin the model, for pay", rows, notes)


def row_of(
    kind: Kind,
    alone: dict[tuple[int, int], Ended],
    rounds: int,
    seeds: bytes,
    entropy: Entropy,
) -> Row:
    """One kind of poison, in all sizes."""
    without, with_it, holds = {}, {}, []
    for size, base in alone.items():
        bound = bound_of(kind.length)
        full = range(rounds) if size[0] == 5 else (0,)
        before = Job(*size, kind.poison, rounds).run(seeds, entropy)
        after = Job(*size, kind.poison, rounds, bound, kind.length, full=full).run(seeds, entropy)
        without[size], with_it[size] = before, after
        holds.append(stopped(base, before, after, size[1], kind.opens))
    where = "clip_norm" if kind.length == CLIP else "1 % of clip_norm"
    return Row(
        f"{kind.what}; bound: {where}",
        _cell(without, kind.opens),
        _cell(with_it, kind.opens),
        all(holds) if kind.stopped else None,
    )


def stopped(base: Ended, before: Ended, after: Ended, hostile: int, opens: bool) -> bool:
    """Whether it harmed and was paid without proofs, and with them was named, not paid, and left
    the job as it is without its owners."""
    harm = before.opened - base.opened if opens else base.accuracy - before.accuracy
    return (
        100 * harm > _HARM
        and before.paid == before.tried
        and not before.named
        and after.named == frozenset(range(hostile))
        and after.paid == 0
        and 100 * abs(base.accuracy - after.accuracy) <= _UNHARMED
    )


def vouching(owners: int, rounds: int, seeds: bytes, entropy: Entropy) -> Row:
    """Two that send too long vectors, and pass each other by lies. Blocks of five admit c = 1 only,
    and so are not made for two. What is opened is held to the norm of a sum, and to no less."""
    size, poison = (owners, 2), poisoned.vouched_flip
    base = Job(*size, None, rounds).run(seeds, entropy)
    before = Job(*size, poison, rounds).run(seeds, entropy)
    job = Job(*size, poison, rounds, bound_of(TIGHT), TIGHT, lying=True)
    after = job.run(seeds, entropy)
    times = (owners - 1) // 2
    return Row(
        f"sign flips, {times} times too long, and both hostile ones lie in their words to pass "
        f"each other, c = {job.corrupt}; bound: 1 % of clip_norm",
        _cell({size: before}, False),
        _cell({size: after}, False),
        stopped(base, before, after, 2, False) if job.corrupt == 2 else None,
    )


def _cell(ends: dict[tuple[int, int], Ended], opens: bool) -> str:
    told = [
        f"{_size(size)} {_percent(end.accuracy)}" + (f" / {end.opened:.0%}" if opens else "")
        for size, end in ends.items()
    ]
    paid = sum(end.paid for end in ends.values())
    tried = sum(end.tried for end in ends.values())
    named = sum(len(end.named) for end in ends.values())
    hostile = sum(size[1] for size in ends)
    return f"{', '.join(told)}; paid {paid} of {tried}, named {named} of {hostile}"


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]} of {size[0]}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
