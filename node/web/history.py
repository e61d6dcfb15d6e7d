"""A job's history as linked blocks: what was posted, each committed round, what was paid.

Each block is a JSON text that holds the SHA-256 of the one before it, so that a reader can compute
every link, and see that one changed byte breaks all that follow. The links are this page's. What
binds them is elsewhere: the spec's digest, each round's model digest and count, and each payment
stand in the bounty contract, in transactions that blocks name (docs/spec/contract.md), and `audit`
compares the daemon's books with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from node.control.shapes import JobDetail

_FIRST: Final = "0" * 64


@dataclass(frozen=True)
class Block:
    """One block.

    title: what it is of, for a person
    text: its JSON, ASCII
    digest: SHA-256 of the text, hex
    linked: whether it names the digest of the block before it
    sound: whether it and all before it are linked
    """

    title: str
    text: str
    digest: str
    linked: bool
    sound: bool


def blocks(job: JobDetail) -> list[str]:
    """The texts of a job's blocks, in order."""
    texts: list[str] = []
    previous = _FIRST
    for facts in _facts(job):
        texts.append(
            json.dumps({"previous": previous, **facts}, separators=(",", ":"), ensure_ascii=True)
        )
        previous = digest(texts[-1])
    return texts


def checked(texts: Sequence[str]) -> list[Block]:
    """Texts as blocks, each link computed anew."""
    found: list[Block] = []
    previous, sound = _FIRST, True
    for text in texts:
        facts = _parsed(text)
        linked = facts.get("previous") == previous
        sound = sound and linked
        previous = digest(text)
        found.append(Block(_title(facts), text, previous, linked, sound))
    return found


def digest(text: str) -> str:
    """SHA-256 of a block's text, hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def flipped(texts: Sequence[str], which: int) -> list[str]:
    """A copy in which one byte of a block is another: its last digit or letter.

    Raises IndexError where there is no such block.
    """
    copy = list(texts)
    text = copy[which]
    place = max(place for place, letter in enumerate(text) if letter.isalnum())
    copy[which] = f"{text[:place]}{'1' if text[place] != '1' else '2'}{text[place + 1 :]}"
    return copy


def _facts(job: JobDetail) -> Iterator[Mapping[str, Any]]:
    summary = job["summary"]
    yield {
        "kind": "spec",
        "job": summary["job"],
        "requester": summary["requester"],
        "spec": job["spec"],
        "spec_digest": job["spec_digest"],
    }
    for each in job["rounds"]:
        if each["transaction"]:
            yield {
                "kind": "round",
                "number": each["number"],
                "contributors": each["contributors"],
                "trained": each["model"],
                "transaction": each["transaction"],
            }
    if any(int(each["claimed"]) for each in job["members"]):
        yield {
            "kind": "pay",
            "token": summary["token"],
            "paid": {each["account"]: each["claimed"] for each in job["members"]},
        }
    if job["model"] is not None:
        yield {"kind": "model", "state": summary["state"], "model": job["model"]}


def _parsed(text: str) -> dict[str, Any]:
    try:
        facts = json.loads(text)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _title(facts: Mapping[str, Any]) -> str:
    kind = facts.get("kind")
    if kind == "round" and isinstance(facts.get("number"), int):
        return f"round {facts['number'] + 1}"
    return {"spec": "spec", "pay": "pay", "model": "newest model"}.get(str(kind), "changed block")
