"""Labels: the class of the largest score, and nothing else, whoever cheats."""

from __future__ import annotations

import secrets
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.examples import examples
from kits.queries import MAKER, OTHER_SEED, SEED, Sale, sale

from protocol.arith.numbers.shape import HEADER_BYTES, Kind
from protocol.arith.paillier.batch import encode_batch
from protocol.arith.paillier.cryptosystem import PrivateKey, encrypt
from protocol.arith.queries import answer, ask, label, plain
from protocol.arith.queries.circuit import Plain, largest
from protocol.arith.queries.transfer import POINT_BYTES, Sender, choose, received
from protocol.errors import FatalError, Malformed
from protocol.layout.queries import Mode, QueryLayout


def masked(of: Sale, query: bytes, seed: bytes = SEED) -> bytes:
    return label.mask(of.layout, of.public, of.weights, query, MAKER, seed)


def garbled(of: Sale, query: bytes, choices: bytes, seed: bytes = SEED) -> bytes:
    digest = sha256(query).digest()
    return label.garble(of.layout, of.public, digest, choices, MAKER, seed)


def exchanged(of: Sale, query: bytes) -> tuple[bytes, bytes, bytes, int]:
    first = masked(of, query)
    choices = label.choose(of.layout, of.private, first, MAKER, OTHER_SEED)
    circuit = garbled(of, query, choices)
    found = label.reveal(of.layout, of.private, first, circuit, MAKER, OTHER_SEED)
    return first, choices, circuit, found


def asked(of: Sale, features: np.ndarray) -> bytes:
    return ask.ask(of.layout, of.private, features, MAKER, secrets.token_bytes)


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=3), st.integers(2, 17), st.integers(0, 999))
@examples(0.1)
def test_a_label_is_the_first_largest_score(
    short_key: PrivateKey, features: list[float], classes: int, seed: int
) -> None:
    of = sale(short_key, Mode.LABEL, 3, classes, seed)
    x = np.array(features)
    expected = plain.scores(of.layout, of.weights, plain.quantise_features(of.layout, x))
    first, choices, circuit, found = exchanged(of, asked(of, x))
    assert found == int(np.argmax(expected))
    assert len(first) == label.masked_bytes(of.layout)
    assert len(choices) == label.choices_bytes(of.layout)
    assert len(circuit) == label.circuit_bytes(of.layout)


def test_one_output_is_two_classes(short_key: PrivateKey) -> None:
    layout = QueryLayout(2, 2, 8, 16, short_key.public.bits, Mode.LABEL)
    weights = plain.quantise_weights(layout, np.array([[1.0], [-1.0]]), np.array([0.5]))
    of = Sale(layout, short_key, short_key.public, weights)
    for x, expected in (([0.9, 0.0], 1), ([0.0, 0.9], 0), ([-0.25, 0.25], 0)):
        assert exchanged(of, asked(of, np.array(x)))[3] == expected


@given(st.data())
@examples(1)
def test_the_circuit_finds_the_first_largest(data: st.DataObject) -> None:
    """In the clear, ties among them, with the blinding that it takes off."""
    classes = data.draw(st.integers(2, 20))
    layout = QueryLayout(2, classes, 4, 16, 3072, Mode.LABEL)
    bits = layout.score_bits
    values = data.draw(
        st.lists(st.sampled_from([0, 1, 5, (1 << bits) - 1]), min_size=classes, max_size=classes)
    )
    masks = data.draw(st.lists(st.integers(0, (1 << bits) - 1), min_size=classes, max_size=classes))
    wires = [(v + m) >> i & 1 for v, m in zip(values, masks, strict=True) for i in range(bits)]
    blinding = [m >> i & 1 for m in masks for i in range(bits)]
    machine = Plain()
    found = largest(machine, layout, 0, wires, blinding)
    assert sum(bit << i for i, bit in enumerate(found)) == values.index(max(values))
    assert machine.gates == layout.gates


def test_both_sides_repeat_to_the_last_byte(label_sale: Sale) -> None:
    query = asked(label_sale, np.linspace(-1, 1, 6))
    assert exchanged(label_sale, query) == exchanged(label_sale, query)


def test_other_messages_meet_other_secrets(label_sale: Sale) -> None:
    """The same seed for two queries, or for two choices, is two independent ones."""
    of, query = label_sale, asked(label_sale, np.zeros(6))
    other = asked(of, np.zeros(6))
    first, second = masked(of, query), masked(of, other)
    assert first[-2 * POINT_BYTES :] != second[-2 * POINT_BYTES :]
    choices = [
        label.choose(of.layout, of.private, first, MAKER, seed) for seed in (OTHER_SEED, SEED)
    ]
    assert choices[0] != choices[1]
    circuits = [garbled(of, query, each) for each in choices]
    assert circuits[0][:16] != circuits[1][:16]


@pytest.mark.parametrize("plaintext", [0, 1, 7**180])
def test_what_a_buyer_decrypts_is_uniform(label_sale: Sale, plaintext: int) -> None:
    """Bits of the masked scores, over 200 seeds, whatever was encrypted."""
    of = label_sale
    numbers = encrypt(of.public, [plaintext % of.public.n // 2] * 6, secrets.token_bytes)
    query = encode_batch(of.public, numbers, MAKER, Kind.QUERY)
    size, ones = of.public.ciphertext_bytes, np.zeros(of.public.bits - 2)
    for index in range(200):
        reply = masked(of, query, index.to_bytes(32, "big"))
        number = int.from_bytes(reply[HEADER_BYTES : HEADER_BYTES + size], "big")
        plain_number = of.private.decrypt([number])[0] % of.public.n
        ones += [plain_number >> place & 1 for place in range(of.public.bits - 2)]
    assert 55 < ones.min() <= ones.max() < 145  # 6 deviations from 100


def test_a_crafted_query_gets_a_label_and_no_more(label_sale: Sale) -> None:
    """Numbers beyond every range: the circuit still names one class, and of each bit the buyer can
    open the label that it chose and not the other one."""
    of = label_sale
    numbers = encrypt(of.public, [of.public.n // 5 + i for i in range(6)], secrets.token_bytes)
    query = encode_batch(of.public, numbers, MAKER, Kind.QUERY)
    first, choices, _, found = exchanged(of, query)
    assert 0 <= found < of.layout.classes
    bits, exponents = label._chosen(of.layout, of.private, first, MAKER, OTHER_SEED)
    offer, name = first[-2 * POINT_BYTES :], label._name(of.layout, MAKER)
    pads = received(name, offer, exponents, bits)
    sender = label._sender(label._bound(SEED, sha256(query).digest()))
    for pad, bit, pair in zip(pads, bits, sender.pads(name, choices), strict=True):
        assert pair[bit] == pad
        assert pair[1 - bit] != pad
    wrong = received(name, offer, exponents, [1 - bit for bit in bits])
    assert all(pad not in pair for pad, pair in zip(wrong, sender.pads(name, choices), strict=True))


def test_choices_hide_their_bits() -> None:
    """P0 and C - P0 are points of the same kind: the offer and the choice do not tell the bit."""
    sender = Sender(5, 9)
    ones = choose(sender.offer, [7], [1])
    zeros = choose(sender.offer, [2], [0])  # 9 G - 7 G is 2 G
    assert ones == zeros
    name = bytes(32)
    [(first, second)] = sender.pads(name, ones)
    assert received(name, sender.offer, [2], [0]) == [first]
    assert received(name, sender.offer, [7], [1]) == [second]


def test_hostile_choices_are_refused(label_sale: Sale) -> None:
    of, query = label_sale, asked(label_sale, np.zeros(6))
    first = masked(of, query)
    choices = label.choose(of.layout, of.private, first, MAKER, OTHER_SEED)
    other = first[-2 * POINT_BYTES : -POINT_BYTES]
    for bad, message in (
        (b"", "choices have 0 bytes"),
        (choices[:-1], "choices have"),
        (choices + b"\0", "choices have"),
        (bytes(33) + choices[33:], "choice 0 is no point"),
        (b"\x02" + b"\xff" * 32 + choices[33:], "choice 0 is no point"),
        (b"\x04" + choices[1:], "choice 0 is no point"),
        (other + choices[33:], "choice 0 is the sender's own point"),
    ):
        with pytest.raises(Malformed, match=message):
            garbled(of, query, bad)


def test_garbage_from_a_seller_is_refused(label_sale: Sale) -> None:
    of, query = label_sale, asked(label_sale, np.zeros(6))
    first, _, circuit, _ = exchanged(of, query)

    def revealed(answer: bytes, tables: bytes) -> int:
        return label.reveal(of.layout, of.private, answer, tables, MAKER, OTHER_SEED)

    for bad in (b"", circuit[:-1], circuit + b"\0"):
        with pytest.raises(Malformed, match="a circuit has"):
            revealed(first, bad)
    with pytest.raises(Malformed, match="opens to neither"):
        revealed(first, bytes(len(circuit)))
    with pytest.raises(Malformed, match="opens to neither"):
        revealed(first, secrets.token_bytes(len(circuit)))
    for bad in (b"", first[:-1], first + b"\0"):
        with pytest.raises(Malformed, match="masked answer has"):
            label.choose(of.layout, of.private, bad, MAKER, OTHER_SEED)
    with pytest.raises(Malformed, match="is no point"):
        label.choose(of.layout, of.private, first[:-66] + bytes(66), MAKER, OTHER_SEED)
    size = of.public.ciphertext_bytes
    broken = first[:HEADER_BYTES] + bytes(size) + first[HEADER_BYTES + size :]
    with pytest.raises(Malformed, match="lies outside"):
        label.choose(of.layout, of.private, broken, MAKER, OTHER_SEED)


def test_modes_do_not_mix(label_sale: Sale, scores_sale: Sale) -> None:
    query = asked(scores_sale, np.zeros(6))
    with pytest.raises(FatalError, match="a label for a layout of scores"):
        masked(scores_sale, query)
    of = label_sale
    with pytest.raises(FatalError, match="scores for a layout of labels"):
        answer.answer_scores(of.layout, of.public, of.weights, query, MAKER, SEED)
    with pytest.raises(FatalError, match="has no scores"):
        ask.open_scores(label_sale.layout, label_sale.private, b"", MAKER)
