"""Trees and typed data, by ethers in JavaScript from the pages alone: vectors both ways."""

from __future__ import annotations

from typing import Any

import pytest
from kits import ethers
from kits.paths import TESTS

from protocol.books.trees import Merit, SumTree, contribution_leaf, index_root
from protocol.books.typed_data import (
    Commitment,
    Domain,
    Enrolment,
    commitment_digest,
    enrolment_digest,
    recover,
)

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return ethers.answer(tmp_path_factory.mktemp("ethers"), TESTS / "vectors")


def of(text: str) -> bytes:
    return bytes.fromhex(text)


def test_it_finds_our_vectors_true(told: dict[str, Any]) -> None:
    assert told["differences"] == []
    assert told["checked"] >= 50


def test_its_trees_are_ours(told: dict[str, Any]) -> None:
    made = told["made"]
    assert len(made["index_roots"]) == len(made["sum_roots"]) == 8
    for each in made["leaves"]:
        words = of(each["account"]), each["block"], of(each["roster"]), of(each["contribution"])
        assert contribution_leaf(*words).hex() == each["leaf"]
    for each in made["index_roots"]:
        assert index_root([of(leaf) for leaf in each["leaves"]]).hex() == each["root"]
    for each in made["sum_roots"]:
        entries = [Merit(of(entry["account"]), int(entry["amount"])) for entry in each["entries"]]
        root = SumTree(entries).root
        assert (root.hash.hex(), str(root.total)) == (each["hash"], each["total"])


def test_what_it_signs_we_read(told: dict[str, Any]) -> None:
    made = told["made"]
    assert len(made["commitments"]) == len(made["enrolments"]) == 4
    for each in made["commitments"]:
        word = Commitment(
            of(each["job"]),
            each["round"],
            of(each["root"]),
            each["count"],
            of(each["model_digest"]),
            int(each["valid_until"]),
        )
        digest = commitment_digest(domain(each), word)
        assert recover(digest, of(each["signature"])).hex() == each["signer"]
    for each in made["enrolments"]:
        names = (of(each[name]) for name in ("job", "account", "payout", "peer"))
        digest = enrolment_digest(domain(each), Enrolment(*names, each["rows"]))
        assert recover(digest, of(each["signature"])).hex() == each["signer"]


def domain(each: dict[str, Any]) -> Domain:
    return Domain(each["domain"]["chain_id"], of(each["domain"]["contract"]))
