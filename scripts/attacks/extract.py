"""The attack `extract`: copy a model whose use is sold, from its answers.

Three ways. *Crafted features*: a buyer encrypts numbers that no row has, so that one score spells
many weights; the blinding over the full range leaves the bits that a score has. *Equations*: p + 1
honest rows give a linear model's scores, and so its weights (Tramer, Zhang, Juels, Reiter and
Ristenpart, 'Stealing machine learning models via prediction APIs', USENIX Security 2016, section
4.1); labels give no equation. *Retraining*: the buyer labels rows of its own and trains on them
(ibid., section 6); this works, and costs more answers.
"""

from __future__ import annotations

import operator
import secrets
from dataclasses import dataclass
from typing import Final

import numpy as np

from protocol.arith.numbers.entropy import Entropy, draw
from protocol.arith.numbers.fixedpoint import Floats, Integers
from protocol.arith.numbers.shape import HEADER_BYTES, Kind
from protocol.arith.paillier.batch import encode_batch
from protocol.arith.paillier.cryptosystem import PrivateKey, encrypt, generate_short_key
from protocol.arith.queries import answer, ask, plain
from protocol.layout.queries import Mode, QueryLayout
from scripts.attacks.table import Row, Table

#: Test keys: the attack takes seconds. A real key's plaintext carries three times as many weights.
BITS: Final = 1024

FEATURES: Final = 24
CLASSES: Final = 3

#: Honest rows that a copy is compared on.
_TESTED: Final = 2000

#: Labels that are bought, in numbers of weights.
_LABELS: Final = (1, 4, 16)


@dataclass(frozen=True)
class Sold:
    """A model on sale, and its buyer."""

    layout: QueryLayout
    private: PrivateKey
    weights: plain.Weights
    entropy: Entropy

    def crafted(self, plaintexts: list[int]) -> tuple[int, int]:
        """What a crafted query's answer opens to, without the blinding and with it."""
        public, maker = self.private.public, draw(self.entropy, 32)
        numbers = encrypt(public, plaintexts, self.entropy)
        query = encode_batch(public, numbers, maker, Kind.QUERY)
        [bare] = answer.product(self.layout, public, self.weights, query, maker)
        seed = draw(self.entropy, 32)
        reply = answer.answer_scores(self.layout, public, self.weights, query, maker, seed)
        blinded = int.from_bytes(reply[HEADER_BYTES:], "big")
        first, second = self.private.decrypt([int(bare), blinded])
        return first, second

    def scores(self, row: Floats) -> Integers:
        """An honest query's answer, through the whole exchange."""
        public, maker = self.private.public, draw(self.entropy, 32)
        query = ask.ask(self.layout, self.private, row, maker, self.entropy)
        seed = draw(self.entropy, 32)
        reply = answer.answer_scores(self.layout, public, self.weights, query, maker, seed)
        return ask.open_scores(self.layout, self.private, reply, maker)


def run(entropy: Entropy = secrets.token_bytes) -> Table:
    """The whole table, on a fresh key and model."""
    rng = np.random.default_rng(int.from_bytes(draw(entropy, 8), "big"))
    rows = [one_answer(entropy, rng), equations(entropy, rng)]
    curve = [retrained(count, rng) for count in _LABELS]
    notes = [
        f"{FEATURES} features, keys of {BITS} bits. Crafted features are of one class, honest rows "
        f"of {CLASSES}; a weight counts as read if it is exact, a copy by the rows of {_TESTED:,} "
        "on which it says the same class.",
        "Labels alone give a model away more slowly, and no defence here stops that. A buyer that "
        "trains on labels of its own rows agrees with the seller's model on "
        + ", ".join(
            f"{share:.0%} of rows after {count * FEATURES * CLASSES:,} labels"
            for count, share in zip(_LABELS, curve, strict=True)
        )
        + ": the price of a row has to be worth that.",
    ]
    return Table("extract", "Copying a model whose use is sold", rows, notes)


def sold(mode: Mode, classes: int, entropy: Entropy, rng: np.random.Generator) -> Sold:
    """A model with normal weights on sale."""
    private = generate_short_key(BITS, entropy)
    layout = QueryLayout(FEATURES, classes, 16, 24, BITS, mode)
    weights, bias = rng.normal(size=(FEATURES, classes)), rng.normal(size=classes)
    return Sold(layout, private, plain.quantise_weights(layout, weights, bias), entropy)


def one_answer(entropy: Entropy, rng: np.random.Generator) -> Row:
    """Features of 2^(25 j): the product spells all weights, the answer those of a score's bits."""
    of = sold(Mode.SCORES, 1, entropy, rng)
    step = of.layout.sum_bits + 1
    bare, blinded = of.crafted([1 << step * index for index in range(FEATURES)])
    constant = of.layout.bound + int(of.weights.bias[0]) * of.layout.feature_max
    truth = of.weights.matrix[0].tolist()
    n = of.private.public.n
    found = []
    for number in (bare, blinded):
        # As a signed number, and as a residue: whichever spells more.
        rest = (number - constant) % n
        readings = spelt(rest, step), spelt(rest - n, step)
        found.append(max(sum(map(operator.eq, digits, truth)) for digits in readings))
    most = -(-of.layout.score_bits // step)
    return Row(
        "weights in one answer to crafted features",
        f"{found[0]} of {FEATURES} (product not blinded)",
        f"{found[1]} of {FEATURES}: a score has {of.layout.score_bits} bits",
        found[0] == FEATURES and 1 <= found[1] <= most,
    )


def spelt(number: int, step: int) -> list[int]:
    """Signed digits of `step` bits, low ones first."""
    digits = []
    for _ in range(FEATURES):
        digit = number & ((1 << step) - 1)
        digit -= (digit >> step - 1) << step
        digits.append(digit)
        number = (number - digit) >> step
    return digits


def equations(entropy: Entropy, rng: np.random.Generator) -> Row:
    """p + 1 honest rows, answered with scores; the same rows, answered with labels."""
    of = sold(Mode.SCORES, CLASSES, entropy, rng)
    rows = rng.uniform(-1, 1, (FEATURES + 1, FEATURES))
    told = np.array([of.scores(row) for row in rows], np.float64)
    tested = rng.uniform(-1, 1, (_TESTED, FEATURES))
    truth = labels(of, tested)
    from_scores = agreement(solved(rows, told), tested, truth)
    # A label is worth an equation too, if one takes it for a score: 1 for the class, 0 for others.
    hot = np.eye(CLASSES)[labels(of, rows)]
    from_labels = agreement(solved(rows, hot), tested, truth)
    return Row(
        f"a copy from {FEATURES + 1} answers: scores, or labels alone",
        f"same class on {from_scores:.1%} of rows",
        f"same class on {from_labels:.1%} of rows",
        from_scores > 0.995 and from_labels < 0.9,
    )


def retrained(count: int, rng: np.random.Generator) -> float:
    """The share of rows on which a copy agrees that was trained on `count` labels a weight, by
    softmax regression. The labels are what the exchange gives, taken in the clear."""
    layout = QueryLayout(FEATURES, CLASSES, 16, 24, BITS, Mode.LABEL)
    weights, bias = rng.normal(size=(FEATURES, CLASSES)), rng.normal(size=CLASSES)
    true = plain.quantise_weights(layout, weights, bias)
    rows = rng.uniform(-1, 1, (count * FEATURES * CLASSES, FEATURES))
    tested = rng.uniform(-1, 1, (_TESTED, FEATURES))
    copy = np.zeros((FEATURES + 1, CLASSES))
    inputs = np.hstack([rows, np.ones((len(rows), 1))])
    hot = np.eye(CLASSES)[_labels(layout, true, rows)]
    for _ in range(1500):
        logits = inputs @ copy
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        copy -= 2.0 * inputs.T @ (shares - hot) / len(rows)
    return agreement(copy, tested, _labels(layout, true, tested))


def solved(rows: Floats, told: Floats) -> Floats:
    """(p + 1, C): the weights and biases that answer `rows` with `told`."""
    return np.asarray(np.linalg.solve(np.hstack([rows, np.ones((len(rows), 1))]), told))


def labels(of: Sold, rows: Floats) -> Integers:
    """What the seller's model says of rows."""
    return _labels(of.layout, of.weights, rows)


def _labels(layout: QueryLayout, weights: plain.Weights, rows: Floats) -> Integers:
    integers = np.rint(rows * layout.feature_max).astype(np.int64)
    scores = integers @ weights.matrix.T + weights.bias * layout.feature_max
    return np.asarray(scores.argmax(axis=1), np.int64)


def agreement(copy: Floats, rows: Floats, truth: Integers) -> float:
    """The share of rows to which a copy gives the same class."""
    found = np.hstack([rows, np.ones((len(rows), 1))]) @ copy
    return float(np.mean(found.argmax(axis=1) == truth))
