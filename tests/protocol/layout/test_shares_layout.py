"""Sizes that estimates tell, and the bound that specs hold to, are those of the arithmetic."""

from __future__ import annotations

import pytest
from kits.books import make_spec

from protocol import params
from protocol.arith.proofs.statement import Statement, honest_bound
from protocol.layout.packing import SHARES, Packing
from protocol.layout.shares import SharesLayout
from protocol.spec.parts import Envelope
from protocol.spec.proving import least_deciding, least_opening, least_proven
from protocol.spec.read import SpecError
from protocol.spec.toml import parse_toml

FILE = """
title = "x"
purpose = "research"
features = [{name="a", low=0, high=1}]
[target]
name = "y"
classes = ["0", "1"]
[model]
family = "softmax"
[training]
rounds = 3
[privacy]
proof = "norm"
[payment]
rate = "1"
"""


@pytest.mark.parametrize(
    ("values", "bound", "members", "threshold", "corrupt"),
    [
        (4, 40_000, 6, 4, 1),
        (650, 32_800, 5, 3, 0),
        (19_210, 33_000, 8, 5, 1),
        (1 << 20, 9, 32, 19, 4),
    ],
)
def test_a_layout_is_the_statement_s(
    values: int, bound: int, members: int, threshold: int, corrupt: int
) -> None:
    told = Statement(values, bound, members, threshold, corrupt)
    layout = SharesLayout(values, bound, members, threshold)
    assert layout.piece_elements == told.elements
    assert layout.word_elements == told.word_elements
    assert 8 * told.word_elements <= params.MAX_WORD_BYTES
    dealing = Packing(16, members, 3072, SHARES).batch_bytes(values)
    assert layout.dealt_bytes == dealing + members * (told.piece_bytes + 16)


def test_the_bound_is_what_an_honest_contribution_keeps() -> None:
    spec = make_spec(proven=True)
    assert spec.norm_bound == honest_bound(2**15 - 1, spec.parameter_count)
    noisy = make_spec(proven=True, noisy=True)
    assert noisy.norm_bound > 2 * 2**15 / 10
    assert noisy.norm_bound <= params.MAX_PROVEN_BOUND


def test_as_many_members_stay_as_words_and_sums_need() -> None:
    assert [least_deciding(6, 1), least_proven(6, 1), least_opening(6, 1)] == [5, 6, 7]
    assert [least_deciding(5, 0), least_proven(5, 0), least_opening(5, 0)] == [3, 3, 3]
    assert least_proven(16, 2) == 14


def test_the_file_s_word_is_the_envelope() -> None:
    terms = parse_toml(FILE).terms
    assert terms.encryption.envelope is Envelope.SHARES
    assert (terms.cohort.block_size, terms.cohort.min_owners) == (6, 6)
    other = parse_toml(FILE.replace('proof = "norm"', "") + '[encryption]\nenvelope = "shares"\n')
    assert other.terms == terms


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('proof = "norm"', 'proof = "sum"', "it is 'none', or of 'norm'"),
        ("[payment]", '[encryption]\nenvelope = "masks"\n[payment]', "needs the envelope 'shares'"),
        (
            "[payment]",
            "[cohort]\nblock_size = 5\nmin_owners = 5\n[payment]",
            "block_size = 6 would",
        ),
        ("[payment]", "[encryption]\nvalue_bits = 24\n[payment]", "19 bits would do"),
        ('proof = "norm"', 'proof = "norm"\nsealed = true', "Paillier"),
    ],
)
def test_what_cannot_be_proven_is_refused_with_what_would_do(old: str, new: str, text: str) -> None:
    with pytest.raises(SpecError, match=text):
        parse_toml(FILE.replace(old, new))


def test_more_values_than_can_be_proven_are_refused() -> None:
    wide = FILE.replace('{name="a", low=0', '{names="a_{0..29}", low=0')
    wide = wide.replace('family = "softmax"', 'family = "dense"\nhidden = 65536')
    with pytest.raises(SpecError, match="1048576 can be proven"):
        parse_toml(wide)
