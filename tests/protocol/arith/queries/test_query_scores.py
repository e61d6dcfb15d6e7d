"""Scores of a private query: exact, within what an answer says, and no more for a crafted one."""

from __future__ import annotations

import secrets

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.examples import examples
from kits.queries import MAKER, SEED, Sale, model, sale

from protocol.arith.numbers.entropy import from_seed
from protocol.arith.numbers.shape import HEADER_BYTES, Kind
from protocol.arith.paillier import obfuscation
from protocol.arith.paillier.batch import encode_batch
from protocol.arith.paillier.blinding import FullRange
from protocol.arith.paillier.cryptosystem import PrivateKey, encrypt, generate_short_key
from protocol.arith.paillier.pool import Pool
from protocol.arith.queries import answer, ask, plain
from protocol.errors import FatalError, InputError, Malformed
from protocol.layout.queries import Mode, QueryLayout
from protocol.params import MAX_QUERY_CLASSES, MAX_SEALED_FEATURES, QUERY_SUM_BITS


def asked(of: Sale, features: np.ndarray) -> bytes:
    return ask.ask(of.layout, of.private, features, MAKER, secrets.token_bytes)


def crafted(of: Sale, plaintexts: list[int]) -> bytes:
    """A query that no honest buyer makes: any plaintexts modulo n."""
    numbers = encrypt(of.private.public, plaintexts, secrets.token_bytes)
    return encode_batch(of.private.public, numbers, MAKER, Kind.QUERY)


def answered(of: Sale, query: bytes, seed: bytes = SEED) -> bytes:
    return answer.answer_scores(of.layout, of.public, of.weights, query, MAKER, seed)


def opened(of: Sale, reply: bytes) -> np.ndarray:
    return ask.open_scores(of.layout, of.private, reply, MAKER)


@given(st.lists(st.floats(-1, 1), min_size=6, max_size=6), st.integers(1, 40), st.integers(0, 99))
@examples(0.3)
def test_scores_are_exact(
    short_key: PrivateKey, features: list[float], classes: int, seed: int
) -> None:
    """Whatever the features, and however many ciphertexts the classes take."""
    of = sale(short_key, Mode.SCORES, 6, classes, seed)
    x = np.array(features)
    found = opened(of, answered(of, asked(of, x)))
    assert (
        found.tolist()
        == plain.scores(of.layout, of.weights, plain.quantise_features(of.layout, x)).tolist()
    )
    assert of.layout.groups == -(-classes // of.layout.lanes)


def test_extreme_features_and_weights_stay_in_the_lanes(short_key: PrivateKey) -> None:
    layout = QueryLayout(4, 2, 8, 16, short_key.public.bits, Mode.SCORES)
    weights = plain.quantise_weights(layout, np.array([[1.0, -1.0]] * 4), np.array([1.0, -1.0]))
    of = Sale(layout, short_key, short_key.public, weights)
    found = opened(of, answered(of, asked(of, np.ones(4))))
    assert abs(found).max() <= layout.bound
    assert found[0] == -found[1] > 0.999 * layout.bound


def test_a_score_comes_near_the_models_own(scores_sale: Sale) -> None:
    of, (weights, bias) = scores_sale, model(6, 3)
    x = np.linspace(-1, 1, 6)
    found = opened(of, answered(of, asked(of, x))) * of.weights.unit
    assert np.abs(found - (x @ weights + bias)).max() < 0.05


def test_an_answer_repeats_and_never_blinds_two_queries_alike(scores_sale: Sale) -> None:
    of = scores_sale
    first, second = asked(of, np.zeros(6)), asked(of, np.zeros(6))
    assert first != second
    assert answered(of, first) == answered(of, first)
    blindings = set()
    for query in (first, second):
        number = int.from_bytes(answered(of, query)[HEADER_BYTES:], "big")
        [plaintext] = of.private.decrypt([number])
        blindings.add(plaintext % of.public.n >> of.layout.width * of.layout.classes)
    assert len(blindings) == 2


def test_a_crafted_query_reads_no_more_than_the_scores_bits(short_key: PrivateKey) -> None:
    """Features of 2^(k i) carry all weights into one number; the blinding leaves b bits a class."""
    of = sale(short_key, Mode.SCORES, 12, 1)
    step = of.layout.sum_bits + 1
    plaintexts = [1 << step * index for index in range(12)]
    bare = answer.product(of.layout, of.public, of.weights, crafted(of, plaintexts), MAKER)
    [whole] = of.private.decrypt([int(bare[0])])
    constant = of.layout.bound + int(of.weights.bias[0]) * of.layout.feature_max
    exact = sum(int(w) << step * i for i, w in enumerate(of.weights.matrix[0]))
    assert whole - constant == exact  # the attack works on a product that is not blinded
    shown = (1 << of.layout.score_bits) - 1
    seen = []
    for seed in (b"1" * 32, b"2" * 32):
        number = int.from_bytes(answered(of, crafted(of, plaintexts), seed)[HEADER_BYTES:], "big")
        [plaintext] = of.private.decrypt([number])
        assert plaintext % of.public.n & shown == whole & shown  # what an answer says, exactly
        seen.append(plaintext % of.public.n >> of.layout.score_bits)
    assert seen[0] != seen[1]
    assert whole >> of.layout.score_bits not in seen


def test_an_answers_residue_tells_nothing(scores_sale: Sale) -> None:
    """Ciphertexts with the residues 1 and -1: a product that is not blinded keeps to these."""
    of = scores_sale
    n, n_squared = of.public.n, int(of.public.n_squared)
    query = encode_batch(of.public, [1, n_squared - 1] * 3, MAKER, Kind.QUERY)
    [bare] = answer.product(of.layout, of.public, of.weights, query, MAKER)
    assert bare % n in (1, n - 1)  # it tells the parity of a sum of weights
    residues = {
        int.from_bytes(answered(of, query, bytes([seed]) * 32)[HEADER_BYTES:], "big") % n
        for seed in range(20)
    }
    assert len(residues) == 20
    assert not residues & {1, n - 1}


def test_all_but_the_scores_bits_are_uniform(scores_sale: Sale) -> None:
    """Each bit above them is 1 about half the time, over 200 answers to one crafted query."""
    of = scores_sale
    query = crafted(of, [of.public.n // 3] * 6)
    ones = np.zeros(of.public.bits - 2)
    for index in range(200):
        number = int.from_bytes(
            answered(of, query, index.to_bytes(32, "big"))[HEADER_BYTES:], "big"
        )
        plaintext = of.private.decrypt([number])[0] % of.public.n
        ones += [plaintext >> place & 1 for place in range(of.public.bits - 2)]
    free = ones[of.layout.width * of.layout.classes :]
    assert 55 < free.min() <= free.max() < 145  # 6 deviations from 100


def test_hostile_queries_are_refused(scores_sale: Sale) -> None:
    of = scores_sale
    good = asked(of, np.zeros(6))
    size = of.public.ciphertext_bytes
    p = of.private.factors()[0]
    for number, message in (
        (0, "query: ciphertext 5 lies outside"),
        (int(of.public.n_squared), "query: ciphertext 5 lies outside"),
        (p, "query: ciphertext 5 is no unit"),
    ):
        with pytest.raises(Malformed, match=message):
            answered(of, good[:-size] + number.to_bytes(size, "big"))
    for bad in (b"", good[:-1], good + b"\0", b"other" + good[5:]):
        with pytest.raises(Malformed, match="query"):
            answered(of, bad)
    with pytest.raises(Malformed, match="maker"):
        answer.answer_scores(of.layout, of.public, of.weights, good, bytes(32), SEED)


def test_garbage_for_an_answer_is_refused(scores_sale: Sale) -> None:
    of = scores_sale
    good = answered(of, asked(of, np.zeros(6)))
    for bad in (b"", good[:-1], good + b"\0", b"other" + good[5:]):
        with pytest.raises(Malformed, match="answer"):
            opened(of, bad)
    [number] = encrypt(of.public, [(1 << of.layout.score_bits) - 1], secrets.token_bytes)
    beyond = encode_batch(of.public, [number], MAKER, Kind.ANSWER)
    with pytest.raises(Malformed, match="class 0 has the score"):
        opened(of, beyond)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1.0000001, -2.0])
def test_features_are_finite_and_in_range(scores_sale: Sale, bad: float) -> None:
    with pytest.raises(InputError, match=r"features\[2\]: is .*, allowed is -1 to 1"):
        asked(scores_sale, np.array([0.0, 0.0, bad, 0.0, 0.0, 0.0]))
    with pytest.raises(InputError, match="expected are 6"):
        asked(scores_sale, np.zeros(5))


def test_keys_are_met_with_their_proof(short_key: PrivateKey, small_key: PrivateKey) -> None:
    introduction, bits = ask.introduce(short_key), short_key.public.bits
    assert ask.meet(introduction, bits) == ask.meet(introduction, bits)
    assert len(introduction) == ask.introduction_bytes(bits)
    small = (65537 * 3**200 | 1 << bits - 1 | 1).to_bytes(bits // 8 + 20, "big")[-bits // 8 :]
    for bad, message in (
        (introduction[:-1], "introduction has"),
        (introduction + b"\0", "introduction has"),
        (introduction[: bits // 8] + bytes(len(introduction) - bits // 8), "root 0 lies outside"),
        (introduction[: bits // 8 + 32] + introduction[bits // 8 :][:-32], "root"),
        (small[:-1] + b"\x0f" + introduction[bits // 8 :], "key.n"),
        (b"\x00" * (bits // 8) + introduction[bits // 8 :], "top bit"),
    ):
        with pytest.raises(Malformed, match=message):
            ask.meet(bad, bits)
    with pytest.raises(Malformed, match="introduction has"):
        ask.meet(ask.introduce(small_key), bits)


def test_a_pool_of_the_key_serves_and_no_other(scores_sale: Sale) -> None:
    of = scores_sale
    pool = Pool(of.private.public, secrets.token_bytes, lambda: 1)
    query = ask.ask(of.layout, of.private, np.ones(6), MAKER, secrets.token_bytes, pool)
    expected = plain.scores(of.layout, of.weights, [of.layout.feature_max] * 6)
    assert opened(of, answered(of, query)).tolist() == expected.tolist()
    other = generate_short_key(256, secrets.token_bytes).public
    for bad in (
        Pool(other, secrets.token_bytes, lambda: 1),
        Pool(of.private.public, secrets.token_bytes, lambda: 1, source=FullRange),
    ):
        with pytest.raises(FatalError, match="pool"):
            ask.ask(of.layout, of.private, np.ones(6), MAKER, secrets.token_bytes, bad)


def test_weights_of_another_shape_or_that_are_not_finite_are_refused() -> None:
    layout = QueryLayout(3, 2, 8, 16, 512, Mode.SCORES)
    with pytest.raises(InputError, match="the layout has 3 features and 2 classes"):
        plain.quantise_weights(layout, np.zeros((2, 2)))
    with pytest.raises(InputError, match="not finite"):
        plain.quantise_weights(layout, np.full((3, 2), np.nan))
    zeros = plain.quantise_weights(layout, np.zeros((3, 2)))
    assert not zeros.matrix.any()
    huge = plain.quantise_weights(layout, np.full((3, 2), 1e308))
    assert huge.matrix.sum(axis=1).max() <= layout.sum_max


def test_limits_of_a_layout() -> None:
    good = {"features": 4, "classes": 4, "feature_bits": 8, "sum_bits": 16, "key_bits": 512}
    for name, last, beyond in (
        ("features", MAX_SEALED_FEATURES, MAX_SEALED_FEATURES + 1),
        ("features", 1, 0),
        ("classes", MAX_QUERY_CLASSES, MAX_QUERY_CLASSES + 1),
        ("classes", 1, 0),
        ("feature_bits", 16, 17),
        ("feature_bits", 4, 3),
        ("sum_bits", QUERY_SUM_BITS[1], QUERY_SUM_BITS[1] + 1),
        ("sum_bits", QUERY_SUM_BITS[0], QUERY_SUM_BITS[0] - 1),
    ):
        QueryLayout(**{**good, name: last}, mode=Mode.SCORES)
        with pytest.raises(InputError, match=f"{name}: is {beyond}"):
            QueryLayout(**{**good, name: beyond}, mode=Mode.SCORES)
    with pytest.raises(InputError, match="classes: is 1, 2 to"):
        QueryLayout(**{**good, "classes": 1}, mode=Mode.LABEL)
    with pytest.raises(InputError, match="no lane"):
        QueryLayout(**{**good, "key_bits": 100}, mode=Mode.LABEL)


def test_the_price_of_a_copy() -> None:
    layout = QueryLayout(384, 10, 16, 24, 3072, Mode.SCORES)
    assert layout.score_bits == 40
    assert layout.answers_to_copy == 231  # 385 weights of 24 bits, 40 bits an answer
    assert QueryLayout(384, 10, 16, 24, 3072, Mode.LABEL).answers_to_copy == 13860


def test_a_keys_table_is_made_once_and_a_seed_makes_the_same_query(
    short_key: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, whole = [], obfuscation.FixedBase

    def counted(*given: object) -> obfuscation.FixedBase:
        made.append(given)
        return whole(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(obfuscation, "FixedBase", counted)
    obfuscation._kept_powers_of.cache_clear()
    few, more = (sale(short_key, Mode.SCORES, features, 2) for features in (3, 9))

    def query(of: Sale) -> bytes:
        row = np.zeros(of.layout.features)
        return ask.ask(of.layout, of.private, row, MAKER, from_seed(SEED, "query encryption"))

    first, _, again = query(few), query(more), query(few)
    assert first == again
    assert len(made) == 1
    obfuscation._kept_powers_of.cache_clear()
    assert query(few) == first
    assert len(made) == 2
