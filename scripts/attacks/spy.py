"""The attack `spy`: the requester of a sealed model reads data off replies to crafted weights.

A reply is M w + b, for weights w that the requester chose, and M and b are made of the owner's
statistics. Crafted weights spell out M; M tells the Gram matrix sum u u^T of the owner's rows; and
that, less the rows that the requester knows already, tells a row. What stops it is not that M stays
hidden, it does not: M is made of statistics that were noised, once, before the requester asked for
anything. Whatever is read, in however many rounds, is a function of that one draw, and tells of a
row no more than epsilon allows (docs/spec/sealed-statistics.md).

The worst is assumed of all that noise does not rest on: puppets fill the block, so that one owner's
reply is read in the clear; the requester knows all rows but one, and where the noise is zero.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from protocol.arith.learning.feature_map import FeatureMap, MapKind
from protocol.arith.learning.models import Family, Floats, Model
from protocol.arith.noise.accountant import multiplier
from protocol.arith.noise.mechanism import add_noise
from protocol.arith.numbers.entropy import Entropy, draw, generator
from protocol.arith.numbers.fixedpoint import Integers
from protocol.arith.paillier.cryptosystem import PrivateKey, generate_short_key
from protocol.arith.sealed import affine, statistics
from protocol.arith.sealed.affine import Quantised
from protocol.arith.sealed.statistics import Statistics
from protocol.layout.sealed import SealedLayout
from protocol.params import SEALED_FRACTION_BITS
from scripts.attacks.spied import Block, crafts
from scripts.attacks.table import Row, Table

#: The attack does not hang on the key: a test key's length makes it take seconds.
BITS = 1024

EPSILONS, DELTA = (8.0, 4.0, 1.0), 1e-5

#: An owner of so many rows of so many columns, as one of breast cancer's: 31 features with a bias.
ROWS, INPUTS = 100, 30

#: Numbers that the columns of a row follow, but for a rest of their own.
_HIDDEN = 10

#: A few columns and many rows, of which averages are taken; rounds of replies that go into them.
MANY_ROWS, FEW_INPUTS, ROUNDS = 1000, 8, 1000

#: Draws of noise that a recovered row's cosine is the mean of, and that membership is told from, on
#: either side.
DRAWS, TRIES = 20, 2000

#: Local steps from which the Gram matrix takes a matrix root.
STEPS = 50

#: At which a row counts as recovered, and below which it counts as not; how far the fixed point may
#: move that from what the noised statistic itself gives.
_RECOVERED, _LOST, _APART = 0.999, 0.5, 0.02

#: Standard deviations above chance that count as having learnt something: one run in hundreds of
#: thousands gets there by luck.
_SIGMAS = 5.0


@dataclass(frozen=True, slots=True)
class Owner:
    """Rows as features `u` (n, p) in the unit ball, and classes `y` (n,)."""

    model: Model
    u: Floats
    y: Floats

    @classmethod
    def made(cls, rows: int, inputs: int, entropy: Entropy) -> Owner:
        """Rows whose columns hang together, and classes on them."""
        random = generator(draw(entropy, 32), "spied rows")
        hidden = random.normal(size=(rows, _HIDDEN))
        x = 0.5 + 0.2 / math.sqrt(_HIDDEN) * hidden @ random.normal(size=(_HIDDEN, inputs))
        x += 0.1 * random.normal(size=x.shape)
        mapped = FeatureMap(MapKind.NONE, inputs, 0, 0.0, 0.5, 0.3, 0.5, bytes(32))
        y = (hidden[:, 0] > 0.0).astype(np.float64)
        return cls(Model(Family.LOGISTIC, mapped.features, 1), mapped.rows(x), y)

    def without(self, row: int) -> Owner:
        """The same but for one row."""
        return Owner(self.model, np.delete(self.u, row, 0), np.delete(self.y, row))

    def statistics(self, sigma: float = 0.0) -> Statistics:
        """What the owner keeps; drawn anew by each call where `sigma` is above 0."""
        if sigma == 0.0:
            return statistics.exact(self.model, self.u, self.y)
        return statistics.noised(self.model, self.u, self.y, sigma)


@dataclass(frozen=True, slots=True)
class Spy:
    """A job whose numbers its requester chose so as to read on: a step size that no owner has to
    shorten, and whose T-th power still tells eigenvalues apart; replies of full weight."""

    layout: SealedLayout
    model: Model
    steps: int
    rate: float

    @classmethod
    def on(cls, layout: SealedLayout, model: Model, rows: int, sigma: float, steps: int = 1) -> Spy:
        """For an owner of so many rows, whose noise has that multiplier."""
        curvature, _ = affine.surrogate(model)
        largest = curvature * (1.0 + affine.NOISE_RIDGE * sigma / rows)
        return cls(layout, model, steps, 1.0 / (largest * steps))

    def step(self, statistics: Statistics) -> Quantised:
        """What the owner multiplies with in this job: its own code."""
        found = affine.local_map(self.model, statistics, self.steps, self.rate)
        return affine.quantised(found, 1.0, self.layout, 1.0)

    def gram(self, matrix: Integers | Floats, rows: int, sigma: float) -> Floats:
        """The Gram matrix that such a step's matrix was made of: I - eta H is M^(1/T)."""
        curvature, _ = affine.surrogate(self.model)
        moved = matrix * 2.0**-SEALED_FRACTION_BITS
        values, vectors = np.linalg.eigh((moved + moved.T) / 2.0)
        roots = np.maximum(1.0 + values, 0.0) ** (1.0 / self.steps)
        bent = rows * (1.0 - roots) / (self.rate * curvature) - affine.NOISE_RIDGE * sigma
        return np.asarray((vectors * bent) @ vectors.T)

    def moments(self, offset: Integers, rows: int) -> Floats:
        """sum u t, of a job with one step: b = eta s f (sum u t) / n."""
        curvature, factor = affine.surrogate(self.model)
        unit = 2.0**-SEALED_FRACTION_BITS / self.layout.weight_max
        return np.asarray(offset[:, 0] * (unit * rows / (self.rate * curvature * factor)))


def run(entropy: Entropy = secrets.token_bytes, bits: int = BITS, tries: int = TRIES) -> Table:
    """The whole table, on a fresh key of `bits` bits. OpenDP draws its noise by itself."""
    key = generate_short_key(bits, entropy)
    sigmas = {epsilon: multiplier(epsilon, DELTA, 1.0, 1) for epsilon in EPSILONS}
    owner = Owner.made(ROWS, INPUTS, entropy)
    few = Owner.made(MANY_ROWS, FEW_INPUTS, entropy)
    block = Block.of_puppets(key, owner.model.inputs, entropy)
    rows = [
        *matrix_rows(block, owner, sigmas, entropy),
        *(gram_row(block, owner, sigmas, steps, entropy) for steps in (1, STEPS)),
        averages_row(key, few, EPSILONS[0], sigmas[EPSILONS[0]], entropy),
        single_row(block.layout, owner, sigmas),
        jobs_row(block.layout, owner, sigmas),
        membership_row(sigmas, tries),
    ]
    notes = [
        f"An owner of {ROWS} rows, {owner.model.inputs} features, logistic; a key of {bits} bits. "
        f"Of its block of {block.layout.members}, all others are the requester's puppets: a sum "
        f"less theirs is the owner's reply. {block.answered} replies to crafted ciphertexts were "
        "read so; the owner took every one of these models for fine.",
        "With the defence: statistics noised once, before the first reply, at the epsilons named, "
        f"delta {DELTA:g}, noise multipliers "
        + ", ".join(f"{sigma:g} ({epsilon:g})" for epsilon, sigma in sigmas.items())
        + ". What is read is then all of that one draw, and nothing else.",
    ]
    return Table("spy", "Reading an owner's data off its replies to crafted weights", rows, notes)


def matrix_rows(
    block: Block, owner: Owner, sigmas: Mapping[float, float], entropy: Entropy
) -> list[Row]:
    """The owner's matrix, by each kind of weights: it is read to the last bit, always; with noise
    it is not the data's."""
    epsilon = max(sigmas)
    spy = Spy.on(block.layout, owner.model, len(owner.u), sigmas[epsilon])
    exact, noised = (spy.step(owner.statistics(each)) for each in (0.0, sigmas[epsilon]))
    rows = []
    for craft in crafts(block.layout, entropy):
        without, with_it = block.read(craft, exact), block.read(craft, noised)
        right, still = _same(without, exact), _same(with_it, exact)
        total, its_own = exact.matrix.size, _same(with_it, noised)
        rows.append(
            Row(
                f"entries of the data's M, from {craft.name}",
                f"{right} of {total}, in {craft.rounds(block.layout)} rounds",
                f"{still} of {total} (epsilon {epsilon:g}); of the noised statistic's M "
                f"{its_own} of {total}",
                # Noise moves an entry by hundreds of steps of the fixed point.
                right == its_own == total and still < total / 50,
            )
        )
    return rows


def gram_row(
    block: Block, owner: Owner, sigmas: Mapping[float, float], steps: int, entropy: Entropy
) -> Row:
    """The Gram matrix, from a matrix that was read by w_j = B^j."""
    count, truth = len(owner.u), owner.statistics().gram
    craft = crafts(block.layout, entropy)[0]

    def read(kept: Statistics) -> Floats:
        spy = Spy.on(block.layout, owner.model, count, kept.multiplier, steps)
        return spy.gram(block.read(craft, spy.step(kept)).matrix, count, kept.multiplier)

    plain = _error(read(owner.statistics()), truth)
    told, off = [], 0.0
    for epsilon, sigma in sigmas.items():
        kept = owner.statistics(sigma)
        found = read(kept)
        told.append((epsilon, _error(found, truth)))
        off = max(off, _error(found, made_of(kept)[0]))
    by = "T = 1" if steps == 1 else f"T = {steps}, by a matrix root"
    return Row(
        f"the Gram matrix, relative error, {by}",
        f"{plain:.1g}",
        f"{_listed(told)}; off the noised statistic by {off:.1g} at most",
        # What is read is the noised statistic, up to the fixed point, and as far off as that is.
        plain < 0.01 and off < 0.01 < min(error for _, error in told) / 10,
    )


def averages_row(
    key: PrivateKey, owner: Owner, epsilon: float, sigma: float, entropy: Entropy
) -> Row:
    """Rounds upon rounds: they average out noise that is drawn for each, and not what is kept."""
    count, truth = len(owner.u), owner.statistics()
    block = Block.of_puppets(key, owner.model.inputs, entropy)
    spy = Spy.on(block.layout, owner.model, count, sigma)
    craft = crafts(block.layout, entropy)[0]
    each = craft.rounds(block.layout)
    kept = spy.step(owner.statistics(sigma))
    first = block.read(craft, kept)
    again = block.read(craft, kept)
    fresh = np.zeros(first.matrix.shape)
    for _ in range(ROUNDS // each):
        # What `read` would return; all of a matrix from one draw, which is to the requester's good.
        numbers = add_noise(truth.numbers, sigma)
        drawn = Statistics(truth.features, truth.outputs, count, sigma, numbers)
        fresh += spy.step(drawn).matrix / (ROUNDS // each)
    once, averaged = (
        _error(spy.gram(matrix, count, sigma), truth.gram) for matrix in (first.matrix, fresh)
    )
    same = _same(again, first)
    return Row(
        f"the Gram matrix of {count:,} rows, {owner.model.inputs} features, from {ROUNDS:,} rounds "
        f"(epsilon {epsilon:g}): noise drawn anew for each, or once",
        f"relative error {averaged:.1g}",
        f"{once:.1g}, as after the first {each} rounds: later ones say the same, {same} of "
        f"{first.matrix.size} entries",
        averaged < once / 5 and same == first.matrix.size,
    )


def single_row(layout: SealedLayout, owner: Owner, sigmas: Mapping[float, float]) -> Row:
    """One row, where all others are known: what is left of Gram matrix and moments without them."""
    others = owner.without(0)
    exact = others.statistics()

    def cosines(sigma: float, whose: Owner) -> tuple[float, float]:
        kept, known = whose.statistics(sigma), (exact.gram, exact.moments[:, 0])
        return (
            recovered(read_both(layout, whose, kept), known, owner),
            recovered(made_of(kept), known, owner),
        )

    return _row_of("a row, cosine, all others known", cosines, owner, others, sigmas)


def jobs_row(layout: SealedLayout, owner: Owner, sigmas: Mapping[float, float]) -> Row:
    """One row that came between two jobs, of which nothing else is known. Each job is charged."""
    before = owner.without(0)

    def cosines(sigma: float, whose: Owner) -> tuple[float, float]:
        kept, earlier = whose.statistics(sigma), before.statistics(sigma)
        read = read_both(layout, whose, kept), read_both(layout, before, earlier)
        return (
            recovered(read[0], read[1], owner),
            recovered(made_of(kept), made_of(earlier), owner),
        )

    return _row_of("a row, cosine, that came between two jobs", cosines, owner, before, sigmas)


def read_both(layout: SealedLayout, owner: Owner, kept: Statistics) -> tuple[Floats, Floats]:
    """Gram matrix and moments as the requester reads them; `Block.read` finds a step exactly, so
    that here the owner's own is taken."""
    count, sigma = len(owner.u), kept.multiplier
    spy = Spy.on(layout, owner.model, count, sigma)
    step = spy.step(kept)
    return spy.gram(step.matrix, count, sigma), spy.moments(step.offset, count)


def recovered(found: tuple[Floats, Floats], without: tuple[Floats, Floats], owner: Owner) -> float:
    """The cosine between the owner's first row and the better of two guesses at it: the direction
    in which what it adds to the Gram matrix is largest, u u^T, and what it adds to the moments,
    u t. Each argument is Gram matrix and moments."""
    u = owner.u[0]
    gram, moments = (these - those for these, those in zip(found, without, strict=True))
    guesses = np.linalg.eigh(gram)[1][:, -1], moments
    return max(float(abs(u @ g) / np.linalg.norm(u) / np.linalg.norm(g)) for g in guesses)


def membership_row(sigmas: Mapping[float, float], tries: int) -> Row:
    """Whether a row is in, all others known: the likelihood-ratio test on the noised statistic,
    which no test on anything that is made of it can beat (Neyman and Pearson 1933)."""
    model = Model(Family.LOGISTIC, 2, 1)
    u = np.array([[0.6, 0.8], [0.0, 0.5], [1.0, 0.0]])  # the first is as long as a row can be
    whole = Owner(model, u, np.array([1.0, 0.0, 1.0]))
    less = whole.without(0)
    base = less.statistics().numbers.astype(np.float64)
    apart = whole.statistics().numbers - base

    def advantage(sigma: float, draws: int) -> float:
        """True positives' share less false positives'."""
        found = []
        for owner in (whole, less):
            seen = [owner.statistics(sigma).numbers - base for _ in range(draws)]
            # Both worlds' noise is the same, so that the ratio grows with the projection.
            found.append(float(np.mean([s @ apart > apart @ apart / 2 for s in seen])))
        return found[0] - found[1]

    told, holds = [], True
    for epsilon, sigma in sigmas.items():
        measured, most = advantage(sigma, tries), allowed(epsilon, DELTA)
        told.append(f"{measured:.2f} at epsilon {epsilon:g} (allowed {most:.3f})")
        gauss = math.erf(1.0 / (2.0 * math.sqrt(2.0) * sigma))  # the Gaussian mechanism's own
        by_luck = _SIGMAS * math.sqrt(0.5 / tries)
        holds = holds and measured < most and abs(measured - gauss) < by_luck
    without = advantage(0.0, 1)
    return Row(
        f"membership of a row, all others known: advantage over guessing, {tries:,} draws a side",
        f"{without:.3f}",
        ", ".join(told),
        holds and without == 1.0,
    )


def allowed(epsilon: float, delta: float) -> float:
    """The largest advantage that any test has against (epsilon, delta): Kairouz, Oh and Viswanath
    2015, theorem 2.1, at the point where both kinds of error are equal."""
    return (math.expm1(epsilon) + 2.0 * delta) / (math.exp(epsilon) + 1.0)


def made_of(kept: Statistics) -> tuple[Floats, Floats]:
    """What anybody can make of noised statistics: the nearest Gram matrix that rows can have, and
    the moments."""
    values, vectors = np.linalg.eigh(kept.gram)
    near = (vectors * affine.project(values, kept.rows)) @ vectors.T
    return np.asarray(near), kept.moments[:, 0]


def _row_of(
    what: str,
    cosines: Callable[[float, Owner], tuple[float, float]],
    owner: Owner,
    without: Owner,
    sigmas: Mapping[float, float],
) -> Row:
    """`cosines` of what is read, and of the noised statistic itself, for an owner that has the row
    and, to compare, for one that has not: all rows have something in common."""
    plain = cosines(0.0, owner)[0]
    told, of_none, lost = [], [], True
    for epsilon, sigma in sigmas.items():
        read, itself = np.mean([cosines(sigma, owner) for _ in range(DRAWS)], axis=0)
        none = np.mean([cosines(sigma, without)[0] for _ in range(DRAWS)])
        told.append((epsilon, float(read)))
        of_none.append(f"{none:.2f}")
        lost = lost and bool(read < _LOST and abs(read - itself) < _APART)
    return Row(
        what,
        f"{plain:.3f}",
        f"{_listed(told)}, as from the noised statistic itself; where the row is not in it at all, "
        + ", ".join(of_none),
        plain > _RECOVERED and lost,
    )


def _listed(found: Sequence[tuple[float, float]]) -> str:
    """Numbers by epsilon."""
    (first, value), *rest = found
    return ", ".join(
        [f"{value:.2f} at epsilon {first:g}", *(f"{each:.2f} at {e:g}" for e, each in rest)]
    )


def _same(found: Quantised, expected: Quantised) -> int:
    return int(np.count_nonzero(found.matrix == expected.matrix))


def _error(found: Floats, truth: Floats) -> float:
    """Relative, in the Frobenius norm."""
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))
