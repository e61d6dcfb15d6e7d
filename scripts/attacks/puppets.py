"""The attack `puppets`: three of five members read the other two one by one, before a commitment.

A job's `privacy.corrupt`, c, sets how many shares rebuild a secret: more than half of members and c
together. At c = 0 three shares of five do, and three puppets hold three shares of everybody's
secrets from the roster on: nothing has to be committed, paid or released.
"""

from __future__ import annotations

import secrets

from protocol.arith import kernels
from protocol.arith.numbers.entropy import SEED_BYTES, Entropy, draw
from protocol.policy.rules import Verdict
from scripts.attacks.aggregated import MODEL, Block, gradient, judged, owners_rows, posted, right
from scripts.attacks.table import Row, Table

_MEMBERS, _PUPPETS = 5, 3


def run(entropy: Entropy = secrets.token_bytes) -> Table:
    """The whole table: what the puppets read, and what a policy makes of the job that lets them."""
    notes = [
        f"A block of {_MEMBERS}, {_PUPPETS} of them puppets, {MODEL.parameter_count} numbers an "
        "owner; masks, boxes and shares as owners make them. Nothing is committed.",
        "The defence is the policy's corrupt_least, 1 unless set: the owner is then in no job with "
        "privacy.corrupt = 0, and one with 1 asks for 4 shares of 5.",
    ]
    return Table(
        "puppets",
        "Reading an owner alone, before any commitment",
        [read_row(entropy), policy_row()],
        notes,
    )


def read_row(entropy: Entropy) -> Row:
    """The two honest owners' numbers, in a job of each kind."""
    count = (_MEMBERS - _PUPPETS) * MODEL.parameter_count
    without, with_it = (read(corrupt, entropy) for corrupt in (0, 1))
    return Row(
        f"numbers of two owners, read by {_PUPPETS} puppets' shares, before anything is committed",
        f"{without} of {count} (privacy.corrupt = 0)",
        f"{with_it} of {count} (privacy.corrupt = 1)",
        without == count and with_it == 0,
    )


def read(corrupt: int, entropy: Entropy) -> int:
    """How many numbers of the honest owners come out right."""
    block = Block(_MEMBERS, corrupt, entropy)
    weights = kernels.initial_model(MODEL, draw(entropy, SEED_BYTES))
    found = 0
    puppets, honest = block.everybody[:_PUPPETS], block.everybody[_PUPPETS:]
    for member, rows in zip(honest, owners_rows(len(honest), entropy), strict=True):
        numbers = gradient(rows, weights, block, entropy)
        batch = block.batch(member, numbers, block.everybody)
        found += right(block.alone(member, batch, block.everybody, puppets), numbers)
    return found


def policy_row() -> Row:
    """Whether an owner is in such a job at all."""
    job = posted(corrupt=0)
    without, with_it = judged(job, corrupt_least=0), judged(job)
    return Row(
        "a job with privacy.corrupt = 0, at a policy that takes any other",
        f"{without.verdict} (corrupt_least=0)",
        f"{with_it.verdict}: {'; '.join(with_it.reasons)}",
        without.verdict is Verdict.ACCEPT and with_it.verdict is Verdict.WAIT,
    )
