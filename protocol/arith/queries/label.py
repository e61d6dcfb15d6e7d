"""The class alone: four messages, after which the buyer knows one number and the seller none.

1. Buyer: the query (ask.ask).
2. Seller, `mask`: the packed scores plus U, uniform modulo n, and the offer of transfers. What the
   buyer decrypts is uniform, whatever it encrypted. (Veugen 2012, section 3, blinds so before he
   compares; there over the integers, here over all of Z_n.)
3. Buyer, `choose`: for each of the low `score_bits` of each lane a point that hides the bit.
4. Seller, `garble`: a circuit that takes U off and names the largest score (circuit.py), padded
   labels of the buyer's bits, and what tells the outputs.

The buyer evaluates (`reveal`). Nothing that it then knows goes back: so a seller that cheats gets a
wrong label through, which scores could be as well, and learns at most whether the buyer goes on.

Each side's steps follow from 32 secret bytes and from what it was sent, so that a crash repeats
them to the last byte, and other messages meet other secrets. A seller answers one `choices` for a
query: a second one would be a second label for the price of one (protocol/sale keeps to that).

*Wrong with a probability* of C 2^-40 at most, where U carries from a lane's upper bits into the
next lane, or wraps around n. No secret hangs on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from protocol.arith.numbers.entropy import checked_seed, from_seed, uniform_below
from protocol.arith.numbers.shape import HEADER_BYTES, Kind
from protocol.arith.paillier.batch import ciphertexts, read_batch
from protocol.arith.paillier.cryptosystem import PrivateKey
from protocol.arith.paillier.public_key import PublicKey
from protocol.arith.queries.answer import blinded
from protocol.arith.queries.ask import checked
from protocol.arith.queries.circuit import largest
from protocol.arith.queries.garbling import (
    GATE_BYTES,
    LABEL_BYTES,
    Evaluator,
    Garbler,
    output_bit,
)
from protocol.arith.queries.plain import Weights
from protocol.arith.queries.transfer import POINT_BYTES, Sender, received, scalar
from protocol.arith.queries.transfer import choose as choose_points
from protocol.errors import FatalError, Malformed
from protocol.layout.queries import Mode, QueryLayout

_OFFER: Final = 2 * POINT_BYTES


def masked_bytes(layout: QueryLayout) -> int:
    """The exact size of the seller's first message."""
    return HEADER_BYTES + layout.groups * (layout.key_bits // 4) + _OFFER


def choices_bytes(layout: QueryLayout) -> int:
    """The exact size of the buyer's second message."""
    return layout.choices * POINT_BYTES


def circuit_bytes(layout: QueryLayout) -> int:
    """The exact size of the seller's second message: the label of the wire that is 0, two hashes an
    output, two padded labels a choice, the gates."""
    labels = 1 + 2 * layout.label_bits + 2 * layout.choices
    return labels * LABEL_BYTES + layout.gates * GATE_BYTES


def mask(
    layout: QueryLayout,
    public: PublicKey,
    weights: Weights,
    query: bytes,
    maker: bytes,
    seed: bytes,
) -> bytes:
    """The seller's first message; arguments and errors as of answer.answer_scores."""
    _labels(layout)
    bound = _bound(seed, sha256(query).digest())
    entropy = from_seed(bound, "query mask")
    batch = blinded(layout, public, weights, query, maker, _masks(layout, public, bound), entropy)
    return batch + _sender(bound).offer


def choose(
    layout: QueryLayout, private: PrivateKey, masked: bytes, maker: bytes, seed: bytes
) -> bytes:
    """The buyer's second message. Raises Malformed unless `masked` is what a seller may answer."""
    bits, exponents = _chosen(layout, private, masked, maker, seed)
    return choose_points(masked[-_OFFER:], exponents, bits)


def garble(
    layout: QueryLayout,
    public: PublicKey,
    digest: bytes,
    choices: bytes,
    maker: bytes,
    seed: bytes,
) -> bytes:
    """The seller's second message, for the `seed` that masked a query of this SHA-256 `digest`. For
    one `choices` only: a caller keeps theirs. Raises Malformed, naming the choice, unless all are
    points."""
    _labels(layout)
    if len(choices) != choices_bytes(layout):
        raise Malformed(f"choices have {len(choices)} bytes, {choices_bytes(layout)} belong")
    name = _name(layout, maker)
    bound = _bound(seed, digest)
    pads = _sender(bound).pads(name, choices)
    garbler = Garbler(name, from_seed(_bound(bound, choices), "query circuit"))
    zero = garbler.label()
    wires = [garbler.label() for _ in range(layout.choices)]
    blinding = _low_bits(layout, _masks(layout, public, bound))
    outputs = largest(garbler, layout, zero, wires, blinding)
    parts = [zero.to_bytes(LABEL_BYTES, "big")]
    parts += [garbler.shown(name, place, wire) for place, wire in enumerate(outputs)]
    for wire, (first, second) in zip(wires, pads, strict=True):
        parts += [_padded(wire, first), _padded(wire ^ garbler.offset, second)]
    return b"".join([*parts, bytes(garbler.tables)])


def reveal(
    layout: QueryLayout,
    private: PrivateKey,
    masked: bytes,
    circuit: bytes,
    maker: bytes,
    seed: bytes,
) -> int:
    """The label, 0 to C - 1, with the `seed` that chose. Raises Malformed where the circuit opens
    to none."""
    bits, exponents = _chosen(layout, private, masked, maker, seed)
    if len(circuit) != circuit_bytes(layout):
        raise Malformed(f"a circuit has {len(circuit)} bytes, {circuit_bytes(layout)} belong")
    name, labels = _name(layout, maker), 1 + 2 * layout.label_bits
    pads = received(name, masked[-_OFFER:], exponents, bits)
    wires = []
    for index, (bit, pad) in enumerate(zip(bits, pads, strict=True)):
        start = (labels + 2 * index + bit) * LABEL_BYTES
        held = int.from_bytes(circuit[start : start + LABEL_BYTES], "big")
        wires.append(int.from_bytes(_padded(held, pad), "big"))
    tables = circuit[(labels + 2 * layout.choices) * LABEL_BYTES :]
    zero = int.from_bytes(circuit[:LABEL_BYTES], "big")
    outputs = largest(Evaluator(name, tables), layout, zero, wires, [0] * layout.choices)
    label = 0
    for place, wire in enumerate(outputs):
        start = LABEL_BYTES * (1 + 2 * place)
        shown = circuit[start : start + 2 * LABEL_BYTES]
        label |= output_bit(name, place, wire, shown) << place
    if label >= layout.classes:
        raise Malformed(f"circuit: it names class {label}, there are {layout.classes}")
    return label


def _chosen(
    layout: QueryLayout, private: PrivateKey, masked: bytes, maker: bytes, seed: bytes
) -> tuple[list[int], list[int]]:
    """The buyer's bits, and an exponent for each."""
    _labels(layout)
    public = checked(layout, private.public)
    if len(masked) != masked_bytes(layout):
        raise Malformed(f"a masked answer has {len(masked)} bytes, {masked_bytes(layout)} belong")
    shape = ciphertexts(public, layout.groups, Kind.ANSWER)
    batch = masked[: shape.size]
    numbers = read_batch(batch, public, layout.groups, maker, "masked answer", Kind.ANSWER)
    plain = private.decrypt([int(number) for number in numbers])
    bits = _low_bits(layout, [number % public.n for number in plain])
    # Other bits under the same exponents would tell them apart.
    entropy = from_seed(_bound(seed, masked), "query choices")
    return bits, [scalar(entropy) for _ in bits]


def _low_bits(layout: QueryLayout, numbers: Sequence[int]) -> list[int]:
    """The low `score_bits` of every lane that a class stands in, class by class."""
    return [
        number >> (layout.width * lane + place) & 1
        for group, number in enumerate(numbers)
        for lane, _ in enumerate(layout.classes_of(group))
        for place in range(layout.score_bits)
    ]


def _masks(layout: QueryLayout, public: PublicKey, seed: bytes) -> list[int]:
    """U: uniform modulo n, a group each."""
    entropy = from_seed(seed, "query blinding")
    return [uniform_below(public.n, entropy) for _ in range(layout.groups)]


def _bound(seed: bytes, sent: bytes) -> bytes:
    """A seed for what was sent, and for nothing else."""
    return sha256(checked_seed(seed) + sent).digest()


def _sender(seed: bytes) -> Sender:
    return Sender.drawn(from_seed(seed, "query transfer"))


def _name(layout: QueryLayout, maker: bytes) -> bytes:
    """What every hash of one query's circuit begins with."""
    shape = f"{layout.classes} {layout.score_bits} {layout.key_bits}".encode()
    return sha256(b"assay/1 query\x00" + maker + shape).digest()


def _padded(label: int, pad: bytes) -> bytes:
    return (label ^ int.from_bytes(pad, "big")).to_bytes(LABEL_BYTES, "big")


def _labels(layout: QueryLayout) -> None:
    if layout.mode is not Mode.LABEL:
        raise FatalError("a label for a layout of scores")
