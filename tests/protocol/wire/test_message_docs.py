"""docs/spec/ names every message, code, limit and check that the code has."""

from __future__ import annotations

import dataclasses
import re
from typing import get_args

import pytest
from kits.paths import ROOT

from protocol import params
from protocol.books.evidence import Evidence, RoundRecord
from protocol.wire.blobs import chunk_list_bytes
from protocol.wire.messages import FROM_REQUESTER, OF_CARDS, Body, Contribution, RefusalCode
from protocol.wire.topics import CARDS_TOPIC, JOBS_TOPIC

SPEC = ROOT / "docs" / "spec"


def page(name: str) -> str:
    return (SPEC / f"{name}.md").read_text()


def rows(text: str) -> list[list[str]]:
    """The cells of every table row."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|") and not line.startswith("|---")
    ]


def sections(text: str) -> dict[str, str]:
    """What stands under each message's name in bold, to the next such name or heading."""
    parts = re.split(r"^\*\*(\w+)\*\*", text, flags=re.MULTILINE)
    bodies = (re.split(r"^## ", part, flags=re.MULTILINE)[0] for part in parts[2::2])
    return dict(zip(parts[1::2], bodies, strict=True))


def test_every_message_is_stated_with_its_fields_in_order() -> None:
    stated = sections(page("messages"))
    kinds = {kind.__name__: kind for kind in get_args(Body)}
    assert set(stated) == set(kinds)
    for name, kind in kinds.items():
        fields = [field.name for field in dataclasses.fields(kind)]
        # In a table, or, where there is little to say, in the text.
        table = [cell for row in rows(stated[name]) for cell in row[0].split(", ")]
        text = re.findall(r"`(\w+)`", stated[name])
        told = [[word for word in words if word in fields] for words in (table, text)]
        assert fields in told, name
        unknown = [row[0] for row in rows(stated[name]) if row[0] not in ("field", "code")]
        assert all("`" in cell or set(cell.split(", ")) <= set(fields) for cell in unknown), name


def test_every_refusal_code_is_named() -> None:
    text = page("messages")
    assert [code.value for code in RefusalCode if f"`{code.value}`" not in text] == []


def test_topics_carry_what_the_code_lets_them_carry() -> None:
    table = {row[0]: row[2] for row in rows(page("gossip").partition("## Topics")[2])}
    job = next(value for name, value in table.items() if "/job/" in name)
    block = next(value for name, value in table.items() if "/block/" in name)
    assert table[f"`{JOBS_TOPIC}`"] == "Announce"
    assert table[f"`{CARDS_TOPIC}`"] == ", ".join(kind.__name__ for kind in OF_CARDS)
    assert {*job.split(", "), "Announce"} == {kind.__name__ for kind in FROM_REQUESTER}
    assert block == Contribution.__name__


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("messages", params.MAX_BLOB_BYTES),
        ("messages", params.MAX_LIST_BYTES),
        ("messages", params.MAX_VERDICT_BYTES),
        ("messages", params.MAX_WORDS_BYTES),
        ("messages", params.MAX_SPEC_BYTES),
        ("messages", params.MAX_COHORT),
        ("messages", params.MAX_REASON_BYTES),
        ("messages", params.MAX_TOLD_FRAMES),
        ("messages", params.MAX_CARD_BYTES),
        ("messages", params.MAX_CARD_BYTES + 16),
        ("messages", params.MAX_CARD_COLUMNS),
        ("messages", params.MAX_CARD_WORDS),
        ("messages", params.MAX_CARD_PURPOSES),
        ("messages", params.MAX_CARDS_OF_PEER),
        ("messages", params.MAX_ROWS_BUCKET),
        ("messages", params.MAX_TOLD_CARDS),
        ("gossip", params.MAX_CARD_BYTES),
        ("gossip", params.MAX_CARDS),
        ("gossip", params.MAX_CARD_SECONDS),
        ("gossip", params.CARD_SKEW_SECONDS),
        ("gossip", params.CARD_BURST),
        ("gossip", params.CARD_REFILL_SECONDS),
        ("gossip", params.CARD_AGAIN_SECONDS),
        ("gossip", params.MAX_GOSSIP_BYTES),
        ("gossip", params.MAX_SEEN),
        ("gossip", params.GOSSIP_MESSAGES_PER_SECOND),
        ("gossip", params.MAX_JOBS),
        ("streams", params.MAX_BLOB_BYTES),
        ("streams", params.REQUESTS_PER_SECOND),
        ("streams", params.PROGRESS_SECONDS),
        ("streams", params.MAX_PEERS_PER_ANSWER),
        ("streams", params.MAX_PEER_RECORD_BYTES),
        ("blobs", params.MAX_BLOB_BYTES),
        ("blobs", params.CHUNK_BYTES),
        ("blobs", chunk_list_bytes(params.MAX_BLOB_BYTES)),
        ("blobs", params.MAX_LIST_BYTES),
        ("blobs", params.MAX_COHORT),
        ("blobs", params.MAX_VERDICT_BYTES),
        ("blobs", params.MAX_WORD_BYTES),
        ("evidence", params.MAX_LIST_BYTES),
        ("evidence", params.MAX_ROUNDS),
    ],
)
def test_a_limit_stands_on_its_page(name: str, limit: int) -> None:
    plain = re.sub(r"(?<=\d),(?=\d{3})", "", page(name))
    assert re.search(rf"(?<!\d){limit}(?!\d)", plain), f"{limit} is not on {name}.md"


def test_evidence_has_as_many_fields_as_its_page_says() -> None:
    table = [row[0] for row in rows(page("evidence").partition("## Merit")[0])][1:]
    told = sum(len(name.split(", ")) + name.count("digest and size") for name in table)
    assert told == len(dataclasses.fields(Evidence))
    record = re.search(r"A round's record: ([^.]+)\.", page("evidence"))
    assert record is not None
    words = " ".join(record[1].split())
    assert len(words.split(", ")) + words.count("digest and size") == len(
        dataclasses.fields(RoundRecord)
    )
