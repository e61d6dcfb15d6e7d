"""A card's file, what a requester looks for, what meets a job, and the spec begun from a card."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from kits.message_cases import CARD
from simulator.strategies import wire

from protocol.cards.draft import draft_spec, rows_text
from protocol.cards.file import MAX_CARD_FILE_BYTES, CardDraft, parse_card
from protocol.cards.search import Meeting, Query, meet
from protocol.errors import InputError
from protocol.params import MAX_RATE
from protocol.spec.job import Terms
from protocol.spec.read import Problem, SpecError
from protocol.spec.toml import parse_toml
from protocol.wire.cards import Card, CardColumn, ColumnKind

NUMBER, CATEGORY = ColumnKind.NUMBER, ColumnKind.CATEGORY

FILE = """
title = "Lung cancer, follow-up"
purposes = ["research", "care"]
least_rate = "0.002 ether"
valid_days = 10

[[columns]]
name = "age"
kind = "number"

[[columns]]
name = "sex"
words = [1, "2"]

[[columns]]
names = "marker_{1..2}"
kind = "number"

[[columns]]
names = ["ecog", "karno"]
kind = "category"
"""


def complete(draft: CardDraft) -> Card:
    return draft.complete(slot=0, sequence=7, now=1000, rows=228, purposes=("from-policy",), rate=5)


def test_a_file_becomes_a_card() -> None:
    found = complete(parse_card(FILE))
    assert found == Card(
        slot=0,
        sequence=7,
        valid_until=1000 + 10 * 86_400,
        title="Lung cancer, follow-up",
        rows=1,
        columns=(
            CardColumn("age", NUMBER, ()),
            CardColumn("sex", CATEGORY, ("1", "2")),
            CardColumn("marker_1", NUMBER, ()),
            CardColumn("marker_2", NUMBER, ()),
            CardColumn("ecog", CATEGORY, ()),
            CardColumn("karno", CATEGORY, ()),
        ),
        purposes=("care", "research"),
        token=bytes(20),
        rate=2 * 10**15,
    )


def test_what_a_file_leaves_out_is_the_policys() -> None:
    found = complete(parse_card('title = "t"\n[[columns]]\nname = "a"\nkind = "number"'))
    assert (found.purposes, found.rate) == (("from-policy",), 5)
    assert found.valid_until == 1000 + 30 * 86_400
    none = parse_card('title = "t"\npurposes = []\n[[columns]]\nname = "a"\nkind = "number"')
    assert complete(none).purposes == ()


@pytest.mark.parametrize(
    ("text", "field", "message"),
    [
        ("", "title", "is None"),
        ('title = "t"', "columns", "is missing"),
        ('title = "t"\ncolums = 1', "colums", "did you mean columns"),
        ('title = "t"\n[[columns]]\nkind = "number"', "columns[0]", "either name"),
        ('title = "t"\n[[columns]]\nname = "a"', "columns[0].kind", "number or category"),
        ('title = "t"\n[[columns]]\nname = "a"\nkind = "date"', "columns[0].kind", "number or"),
        (
            'title = "t"\n[[columns]]\nname = "a"\nkind = "number"\nwords = ["x"]',
            "columns[0].kind",
            "category",
        ),
        (
            'title = "t"\n[[columns]]\nname = "a\\u202e"\nkind = "number"',
            "columns[0]",
            "U+202E",
        ),
        ('title = "t\\n"\n[[columns]]\nname = "a"\nkind = "number"', "", "U+000A"),
        ('valid_days = 91\ntitle = "t"', "valid_days", "1 to 90"),
        ('least_rate = "2 pounds"\ntitle = "t"', "least_rate", "units are"),
        ('token = "0x12"\ntitle = "t"', "token", "0x12"),
        ('purposes = "care"\ntitle = "t"', "purposes", "list of up to 16"),
        ('title = "t"\n[[columns]]\nnames = "a_{1..300}"\nkind = "number"', "columns[0].names", ""),
        ("= nonsense", "", "no valid TOML"),
        ("x" * (MAX_CARD_FILE_BYTES + 1), "", "bytes"),
        ("a = " + "[" * 5000, "", "no valid TOML"),
    ],
)
def test_a_wrong_file_is_told_where_and_why(text: str, field: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        complete(parse_card(text))
    assert isinstance(caught.value, SpecError)
    said = [each for each in caught.value.problems if each.field == field]
    assert said, caught.value.problems
    assert message in said[0].message


def test_a_card_is_looked_for_by_what_it_says() -> None:
    for query, found in (
        (Query(), True),
        (Query(columns=("age", "sex")), True),
        (Query(columns=("age", "weight")), False),
        (Query(columns=("age",), kind=NUMBER), True),
        (Query(columns=("age", "sex"), kind=NUMBER), False),
        (Query(kind=CATEGORY), True),
        (Query(purpose="care"), True),
        (Query(purpose="sales"), False),
        (Query(max_rate=CARD.rate), True),
        (Query(max_rate=CARD.rate - 1), False),
        (Query(token=CARD.token), True),
        (Query(token=b"\x01" * 20), False),
    ):
        assert query.meets(CARD) == found, query
    anything = dataclasses.replace(CARD, purposes=())
    assert Query(purpose="sales").meets(anything)


def terms(features: str, target: str, purpose: str = "research", rate: int = 10) -> Terms:
    return parse_toml(
        f'title = "t"\npurpose = "{purpose}"\n{features}\n[target]\n{target}\n'
        '[model]\nfamily = "softmax"\n[training]\nrounds = 1\n'
        f'[cohort]\nmin_owners = 5\n[payment]\nrate = "{rate}"\n'
    ).terms


def feature(name: str, rest: str) -> str:
    return f'[[features]]\nname = "{name}"\n{rest}\n'


def offered(*columns: CardColumn, **changes: object) -> Card:
    plain = dataclasses.replace(CARD, columns=columns, purposes=("research",), rate=10)
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


AGE = CardColumn("age", NUMBER, ())
SEX = CardColumn("sex", CATEGORY, ("1", "2"))


@pytest.mark.parametrize(
    ("card", "met"),
    [
        (offered(AGE, SEX), (1, 1, 1)),
        (offered(AGE, SEX, purposes=()), (1, 1, 1)),
        (offered(AGE, SEX, purposes=("care",)), (1, 0, 0)),
        (offered(AGE, SEX, rate=11), (1, 1, 0)),
        (offered(AGE, SEX, token=b"\x01" * 20), (1, 1, 0)),
        (offered(AGE), (0, 0, 0)),
        (offered(CardColumn("age", CATEGORY, ()), SEX), (0, 0, 0)),
        # Words as cells are compared: exact, or by value.
        (offered(AGE, CardColumn("sex", CATEGORY, ("1.0", "9"))), (1, 1, 1)),
        (offered(AGE, CardColumn("sex", CATEGORY, ())), (1, 1, 1)),
        (offered(AGE, CardColumn("sex", CATEGORY, ("male", "female"))), (0, 0, 0)),
        (offered(AGE, CardColumn("sex", NUMBER, ())), (1, 1, 1)),
    ],
)
def test_cards_that_meet_a_job_are_counted(card: Card, met: tuple[int, int, int]) -> None:
    wanted = terms(feature("age", "low = 0\nhigh = 120"), 'name = "sex"\nclasses = ["1", "2"]')
    assert meet([card], wanted) == Meeting(*met)


def test_numbers_are_no_words() -> None:
    wanted = terms(feature("age", "low = 0\nhigh = 120"), 'name = "sex"\nclasses = ["m", "f"]')
    assert meet([offered(AGE, CardColumn("sex", NUMBER, ()))], wanted) == Meeting(0, 0, 0)


def test_a_spec_is_begun_from_a_card() -> None:
    """What it lacks are ranges; with them it is whole, and meets the card that it came from."""
    text = draft_spec(CARD, "0x" + "3f" * 32)
    assert CARD.title in text
    assert "100 to 300 rows" in text
    with pytest.raises(SpecError) as caught:
        parse_toml(text)
    assert [problem.field for problem in caught.value.problems] == ["features[0]", "target"]
    declared = text.replace("# low = 0.0 ", "low = 0.0 ").replace("# high = 1.0 ", "high = 1.0 ")
    declared = declared.replace("# classes = ", "classes = ")
    draft = parse_toml(declared)
    assert draft.terms.purpose in CARD.purposes
    assert draft.terms.payment.rate == CARD.rate
    assert meet([CARD], draft.terms) == Meeting(1, 1, 1)


@given(wire(Card))
def test_no_card_breaks_the_spec_that_is_begun_from_it(card: Card) -> None:
    """Its texts end no string and no comment: what is wrong is what is to be declared, and a least
    rate that no contract holds, which the spec's own words name."""
    problems: tuple[Problem, ...] = ()
    try:
        parse_toml(draft_spec(card, "0x" + "00" * 32))
    except SpecError as error:
        problems = error.problems
    fields = {problem.field.partition("[")[0].partition(".")[0] for problem in problems}
    too_dear = {"payment"} if card.rate > MAX_RATE else set()
    assert too_dear <= fields <= {"features", "target", "model"} | too_dear, problems


def test_hostile_texts_stay_in_their_strings() -> None:
    card = dataclasses.replace(
        CARD,
        title='"]\\ # [payment] rate = "9 ether"',
        columns=(CardColumn('a"\\', CATEGORY, ('"', "\\")), CardColumn("b", NUMBER, ())),
    )
    text = draft_spec(card, "0x00").replace("# low", "low").replace("# high", "high")
    found = parse_toml(text).terms
    assert (found.title, found.payment.rate) == (card.title, card.rate)
    assert found.features[0].name == 'a"\\'


def test_buckets_in_words() -> None:
    assert [rows_text(bucket) for bucket in (0, 1, 3, 11)] == [
        "under 100",
        "100 to 300",
        "1000 to 3000",
        "10000000 or more",
    ]
