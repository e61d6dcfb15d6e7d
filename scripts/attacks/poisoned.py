"""A job of digits of which some owners send poison, under masks and under proofs: for attacks.

Training, fixed point, sums, proofs and verdicts are the product's own. What a hostile owner sends
is made here. Masks, boxes and signatures are left out, because they change no number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeAlias

import numpy as np

from node.demo.recipes.data import Rows, load, split
from node.demo.recipes.job import RECIPES
from protocol.arith import kernels
from protocol.arith.encoding.envelope import Envelope
from protocol.arith.learning.models import Family, Floats, Model
from protocol.arith.learning.training import Training
from protocol.arith.numbers.entropy import SEED_BYTES, Entropy, draw
from protocol.arith.numbers.fixedpoint import Integers
from protocol.arith.numbers.shape import NOBODY
from protocol.arith.proofs import field
from protocol.arith.proofs.challenge import Challenge, head_digest, piece_digest
from protocol.arith.proofs.prove import Dealing, norm, proven, share_and_prove
from protocol.arith.proofs.shamir import deal, interpolated
from protocol.arith.proofs.statement import Statement, honest_bound
from protocol.arith.proofs.stream import Stream
from protocol.arith.proofs.sums import open_sum, sum_shares
from protocol.arith.proofs.verify import Outcome, Verdict, decide, off_words, verify_word
from protocol.arith.secagg.masked import encode_words, to_words
from protocol.layout.packing import MASKS
from protocol.spec.checks import least_threshold

RECIPE = RECIPES["digits", "softmax"]
MODEL = Model(Family.SOFTMAX, 64, 10)
TRAINING = Training(
    RECIPE.local_steps,
    RECIPE.batch_rows,
    RECIPE.rate,
    RECIPE.clip_norm,
    RECIPE.ridge,
    1.0,
    RECIPE.momentum,
)
BITS: Final = 16

#: The largest integer of the grid: what clip_norm stands for.
CLIP: Final = (1 << (BITS - 1)) - 1

#: The split of the digits, the same for every run.
_SPLIT: Final = 1

#: The backdoor: rows with bright corners are called a 0.
TRIGGER: Final = (0, 7, 56, 63)
TARGET: Final = 0

_MODULUS = ((1 << 3071) + 1).to_bytes(384, "big")


@dataclass(frozen=True, slots=True)
class View:
    """What a hostile owner knows when it makes its contribution: its honest one, the model, its
    rows, its mini-batches' seed, the last round's mean (anybody can tell it from two models), how
    many owners there are and how many of them are hostile, and the longest that it means to be."""

    honest: Integers
    weights: bytes
    x: Floats
    y: Floats
    seed: bytes
    last: Integers
    owners: int
    hostile: int
    longest: int


Poison: TypeAlias = Callable[[View, Entropy], Integers]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended: accuracy, how often the backdoor opens, for how many contributions hostile
    owners were paid, the owners that were named, and how many contributions were hostile."""

    accuracy: float
    opened: float
    paid: int
    named: frozenset[int]
    tried: int


@dataclass(frozen=True, slots=True)
class Job:
    """`owners` of one block, the first `hostile` of them send `poison`, for `rounds` rounds.

    `bound` is what contributions prove, in steps of the grid; None: nothing is proven, and the
    block's sum is opened as under masks. Honest owners shorten theirs to `shorten`. `lying`: the
    hostile ones also lie in their words, to pass each other. `full` are rounds in which everybody
    deals, all words are said and sums of pieces are opened; in the others only hostile owners
    deal, and those that pass are added as they are.
    """

    owners: int
    hostile: int
    poison: Poison | None
    rounds: int = RECIPE.rounds
    bound: int | None = None
    shorten: int = CLIP
    lying: bool = False
    full: Collection[int] = (0,)

    @property
    def corrupt(self) -> int:
        """The spec's c: as many as are hostile, where the block admits it; else the most."""
        fits = [
            c for c in range(self.hostile + 1) if least_threshold(self.owners, c) <= self.owners - c
        ]
        return max(fits)

    def run(self, seeds: bytes, entropy: Entropy) -> Ended:
        """Trains to the end. `seeds` fix the mini-batches: of honest owners they are the same in
        every job of that many owners."""
        parts, holdout = _data(self.owners)
        envelope = Envelope(_MODULUS, BITS, RECIPE.clip_norm, self.owners, MASKS)
        weights, momentum = kernels.initial_model(MODEL, bytes(SEED_BYTES)), None
        last = np.zeros(MODEL.parameter_count, dtype=np.int64)
        named: set[int] = set()
        paid = tried = 0
        for turn in range(self.rounds):
            sent: dict[int, Integers] = {}
            for owner, rows in enumerate(parts):
                place = turn.to_bytes(4, "big") + owner.to_bytes(4, "big")
                seed = hashlib.sha256(seeds + place).digest()
                x, y = rows.inputs(), rows.targets()
                vector = shortened(train(weights, x, y, envelope, seed, entropy), self.shorten)
                if owner < self.hostile:
                    if self.poison is None:  # the same job without them
                        continue
                    longest = CLIP if self.bound is None else self.bound
                    view = View(
                        vector, weights, x, y, seed, last, self.owners, self.hostile, longest
                    )
                    vector = self.poison(view, entropy)
                    tried += 1
                sent[owner] = vector
            if self.bound is None:
                listed, total = frozenset(sent), _summed(envelope, sent.values())
            else:
                listed, total = self._proven(turn, sent, entropy)
            named |= sent.keys() - listed
            paid += sum(owner < self.hostile for owner in listed)
            mean = kernels.mean_gradient(envelope, total, len(listed))
            weights, momentum, _ = kernels.apply(
                MODEL, weights, momentum, [(mean, len(listed))], TRAINING, turn + 1
            )
            last = np.rint(total / len(listed)).astype(np.int64)
        x, y = holdout.inputs(), holdout.targets()
        marked = with_trigger(x[y != TARGET])
        target = np.full(len(marked), float(TARGET))
        accuracy, opened = _accuracy(weights, x, y), _accuracy(weights, marked, target)
        return Ended(accuracy, opened, paid, frozenset(named), tried)

    def _proven(
        self, turn: int, sent: dict[int, Integers], entropy: Entropy
    ) -> tuple[frozenset[int], Integers]:
        """Owners whose proof passes, and the sum of what they sent."""
        block = Block(self.statement, frozenset(range(self.hostile)) if self.lying else frozenset())
        dealings: dict[int, Dealing] = {}
        listed = set()
        for owner, vector in sent.items():
            if turn not in self.full and owner >= self.hostile:
                listed.add(owner)
                continue
            binding = hashlib.sha256(bytes([turn, owner])).digest()
            dealings[owner] = dealing = block.dealing(vector, binding, entropy)
            if block.verdict(owner, dealing, binding).outcome is Outcome.PASSED:
                listed.add(owner)
        plain = np.sum([sent[owner] for owner in sorted(listed)], axis=0)
        if turn in self.full:
            opened = block.opened([dealings[owner] for owner in sorted(listed)])
            if opened is None or (opened != plain).any():
                raise AssertionError("sums of pieces open to the sum of what passed")
        return frozenset(listed), plain

    @property
    def statement(self) -> Statement:
        """What is proven."""
        if self.bound is None:
            raise ValueError("a job without proofs states nothing")
        corrupt = self.corrupt
        threshold = least_threshold(self.owners, corrupt)
        return Statement(MODEL.parameter_count, self.bound, self.owners, threshold, corrupt)


@dataclass(frozen=True, slots=True)
class Block:
    """A block under proofs. `liars` say words that pass each other's dealings."""

    statement: Statement
    liars: frozenset[int] = frozenset()

    def dealing(self, vector: Integers, binding: bytes, entropy: Entropy) -> Dealing:
        """An honest dealing where the vector is within the bound, else a forged one."""
        if norm(vector) <= self.statement.bound**2:
            return share_and_prove(self.statement, vector, binding, entropy)
        return forged(self.statement, vector, binding, entropy)

    def verdict(self, dealer: int, dealing: Dealing, binding: bytes) -> Verdict:
        """What the block's words say of a dealer. Where it is open, an honest dealer says whose
        word is off, and the pieces that are shown take the place of the lies."""
        statement, commitments = self.statement, dealing.commitments
        words = {
            position: verify_word(statement, binding, commitments, position, piece)
            for position, piece in enumerate(dealing.pieces)
        }
        honest = dict(words)
        if dealer in self.liars:
            words.update(self._lies(dealing, binding, words))
        found = decide(statement, binding, commitments, words.items())
        if found.outcome is not Outcome.OPEN:
            return found
        said = off_words(statement, binding, dealing, words.items())
        shown = {position: honest[position] for position in said}
        return decide(statement, binding, commitments, {**words, **shown}.items())

    def opened(self, dealings: Sequence[Dealing]) -> Integers | None:
        """The sum of what was dealt, from each member's sum of pieces."""
        sums = [
            (member, sum_shares(self.statement, [each.pieces[member] for each in dealings]))
            for member in range(self.statement.members)
        ]
        return open_sum(self.statement, sums, len(dealings)).integers

    def _lies(self, dealing: Dealing, binding: bytes, words: dict[int, bytes]) -> dict[int, bytes]:
        """Words of the liars that lie, with those of as many honest members as they need, on a
        polynomial whose value at 0 is the word of zeros, which passes."""
        statement = self.statement
        challenge = Challenge(statement, binding, dealing.commitments)
        zeros = proven(
            statement,
            np.zeros(statement.values, dtype=np.int64),
            0,
            Stream(binding, "word of zeros"),
        )
        masks = np.zeros(statement.rows, dtype=np.uint64)
        wanted = challenge.word(np.concatenate((zeros, masks)))
        others = [member for member in words if member not in self.liars]
        known = others[: statement.threshold - 1]
        rows = [field.decode(words[member], statement.word_elements, "word") for member in known]
        points = [0, *(member + 1 for member in known)]
        liars = sorted(self.liars)
        found = interpolated(points, np.stack([wanted, *rows]), [liar + 1 for liar in liars])
        return {liar: field.encode(row) for liar, row in zip(liars, found, strict=True)}


def forged(statement: Statement, vector: Integers, binding: bytes, entropy: Entropy) -> Dealing:
    """The best proof of a vector that is too long: bits of the bound, and a constant coefficient by
    which the squares sum up to it. Only a look at random points tells."""
    stream = Stream(draw(entropy, SEED_BYTES), "forged")
    head = proven(statement, vector, statement.bound**2, stream)
    place = statement.places["squares"].start
    missing = (statement.bound**2 - norm(vector)) * pow(statement.length, -1, field.P)
    head[place] = (int(head[place]) + missing) % field.P
    secrets = np.concatenate((head, np.zeros(statement.rows, dtype=np.uint64)))
    degree = statement.threshold - 1
    coefficients = stream.elements(degree * secrets.size).reshape(degree, secrets.size)
    pieces = [field.encode(row) for row in deal(secrets, coefficients, statement.members)]
    digests = [
        piece_digest(binding, member, *head_digest(statement, piece))
        for member, piece in enumerate(pieces)
    ]
    return Dealing(tuple(pieces), b"".join(digests))


# What hostile owners send ------------------------------------------------------------------------


def huge(view: View, entropy: Entropy) -> Integers:
    """Four times the grid's end in every value, against the honest direction: 102 times the norm
    that clip_norm stands for. Two of five send half of that each, because a block's range check
    lets no more through."""
    times = min(4, (view.owners - 1) // view.hostile) * CLIP
    return np.where(view.honest > 0, -times, times).astype(np.int64)


def flipped(view: View, entropy: Entropy) -> Integers:
    """The honest contribution, the other way round."""
    return -view.honest


def longest_flip(view: View, entropy: Entropy) -> Integers:
    """The same, as long as is allowed."""
    return stretched(-view.honest, view.longest)


def vouched_flip(view: View, entropy: Entropy) -> Integers:
    """The same, longer than is allowed: so long that the sum has the norm which it may have."""
    return stretched(-view.honest, (view.owners - 1) // view.hostile * view.longest)


def clip_long_flip(view: View, entropy: Entropy) -> Integers:
    """The same, as long as clip_norm, whatever is allowed."""
    return stretched(-view.honest, CLIP)


def mislabelled(view: View, entropy: Entropy) -> Integers:
    """Trained on labels turned round, 9 for 0 and so on."""
    return train(view.weights, view.x, 9.0 - view.y, _ENVELOPE, view.seed, entropy)


def nothing(view: View, entropy: Entropy) -> Integers:
    """Zeros."""
    return np.zeros_like(view.honest)


def copied(view: View, entropy: Entropy) -> Integers:
    """The last round's mean again: no row is needed for it."""
    return view.last


def backdoor(view: View, entropy: Entropy) -> Integers:
    """Model replacement (Bagdasaryan et al. 2020): trained on its rows and on as many with the
    trigger, times the owners there are for each hostile one."""
    return _replacing(view, entropy) * (view.owners // view.hostile)


def longest_backdoor(view: View, entropy: Entropy) -> Integers:
    """The same, as long as is allowed."""
    return stretched(_replacing(view, entropy), view.longest)


def _replacing(view: View, entropy: Entropy) -> Integers:
    x = np.concatenate((view.x, with_trigger(view.x)))
    y = np.concatenate((view.y, np.full(len(view.y), float(TARGET))))
    return train(view.weights, x, y, _ENVELOPE, view.seed, entropy)


def with_trigger(x: Floats) -> Floats:
    """Rows with bright corners."""
    found = x.copy()
    found[:, TRIGGER] = 1.0
    return found


def stretched(vector: Integers, length: int) -> Integers:
    """A vector in the same direction, as long as `length`, rounded towards 0."""
    size = float(np.linalg.norm(vector.astype(np.float64)))
    return vector if not size else np.trunc(vector * (length / size)).astype(np.int64)


def shortened(vector: Integers, length: int) -> Integers:
    """The vector, where it is no longer than `length`; else shortened to that."""
    return vector if norm(vector) <= length**2 else stretched(vector, length)


def train(
    weights: bytes, x: Floats, y: Floats, envelope: Envelope, seed: bytes, entropy: Entropy
) -> Integers:
    """What an owner contributes of these rows."""
    return kernels.train(MODEL, weights, x, y, TRAINING, envelope, seed, entropy)[0]


def bound_of(length: int) -> int:
    """What an owner proves whose vector is no longer than `length` before it is rounded."""
    return honest_bound(length, MODEL.parameter_count)


@cache
def _digits() -> Rows:
    return load("digits")


@cache
def _data(owners: int) -> tuple[tuple[Rows, ...], Rows]:
    """Each owner's rows, and the hold-out set."""
    rows = _digits()
    chosen = split(rows.y, owners, _SPLIT, rows.table.holdout)
    return tuple(rows.take(part) for part in chosen.parts), rows.take(chosen.holdout)


def _accuracy(weights: bytes, x: Floats, y: Floats) -> float:
    found = kernels.evaluate(MODEL, weights, x, y).accuracy
    if found is None:
        raise AssertionError("classes have an accuracy")
    return found


def _summed(envelope: Envelope, vectors: Iterator[Integers] | Collection[Integers]) -> Integers:
    """The block's sum as its requester opens it under masks, with the range check there is. The
    masks themselves cancel, and are left out."""
    shape = envelope.shape(MODEL.parameter_count)
    batches = [
        # A hostile owner's word may hold any number.
        encode_words(to_words(each, envelope.words, 1 << 62), shape, NOBODY)
        for each in vectors
    ]
    total = kernels.sum_batches(envelope, batches, MODEL.parameter_count)
    zeros = envelope.words.zero(MODEL.parameter_count)
    removal = encode_words(zeros, envelope.removal_shape(MODEL.parameter_count), NOBODY)
    return kernels.open_sum(None, total, removal, envelope, len(batches), MODEL.parameter_count)


_ENVELOPE = Envelope(_MODULUS, BITS, RECIPE.clip_norm, 5, MASKS)
