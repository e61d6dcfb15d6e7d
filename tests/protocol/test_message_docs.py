"""docs/spec/ names every message, code, limit and check that the code has."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import get_args

import pytest

from protocol import params
from protocol.blobs import chunk_list_bytes
from protocol.evidence import Evidence
from protocol.machine import JOBS_TOPIC
from protocol.messages import FROM_REQUESTER, Body, Contribution, RefusalCode
from protocol.requester_state import RoundRecord

SPEC = Path(__file__).parents[2] / "docs" / "spec"


def page(name: str) -> str:
    return (SPEC / f"{name}.md").read_text()


def rows(text: str) -> list[list[str]]:
    """The cells of every table row."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|") and not line.startswith("|---")
    ]


def test_the_table_of_messages_has_each_once_with_its_fields() -> None:
    table = rows(page("messages").partition("## Messages")[2])
    described = {row[0]: row for row in table if row[0] != "message"}
    kinds = {kind.__name__: kind for kind in get_args(Body)}
    assert set(described) == set(kinds)
    for name, kind in kinds.items():
        words = described[name][3]
        while "(" in words:
            words = re.sub(r"\([^()]*\)", "", words)
        # Fields stand in order, separated by commas; "digest and size" are two.
        told = words.count(",") + words.count("digest and size") + bool(words)
        assert told == len(dataclasses.fields(kind)), name


def test_every_refusal_code_is_named() -> None:
    text = page("messages")
    assert [code.value for code in RefusalCode if f"`{code.value}`" not in text] == []


def test_topics_carry_what_the_code_lets_them_carry() -> None:
    table = {row[0]: row[2] for row in rows(page("gossip").partition("## Topics")[2])}
    job = next(value for name, value in table.items() if "/job/" in name)
    block = next(value for name, value in table.items() if "/block/" in name)
    assert table[f"`{JOBS_TOPIC}`"] == "Announce"
    assert {*job.split(", "), "Announce"} == {kind.__name__ for kind in FROM_REQUESTER}
    assert block == Contribution.__name__


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("messages", params.MAX_STREAM_MESSAGE_BYTES),
        ("messages", params.MAX_INLINE_BATCH_BYTES),
        ("messages", params.MAX_BLOB_BYTES),
        ("messages", params.MAX_GOSSIP_BYTES),
        ("messages", params.MAX_SPEC_BYTES),
        ("messages", params.MAX_COHORT),
        ("messages", params.MAX_REASON_BYTES),
        ("messages", params.MAX_TOLD_FRAMES),
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
        ("evidence", params.MAX_LIST_BYTES),
        ("evidence", params.MAX_ROUNDS),
    ],
)
def test_a_limit_stands_on_its_page(name: str, limit: int) -> None:
    assert re.search(rf"(?<!\d){limit}(?!\d)", page(name)), f"{limit} is not on {name}.md"


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
