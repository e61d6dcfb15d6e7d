"""Python's trees and digests against the contract's own code, and both against the vectors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from eth_tester.exceptions import TransactionFailed
from hypothesis import example, given
from hypothesis import strategies as st
from kits import paths
from kits.bounty import MOCKS, World, compiled
from kits.examples import examples

from protocol.addresses import to_checksum
from protocol.books.trees import (
    MAX_DEPTH,
    NODE_BYTES,
    IndexTree,
    Merit,
    SumTree,
    contribution_detail,
    contribution_leaf,
    depth_of,
    verify_index,
    verify_sum,
)
from protocol.books.typed_data import recover
from protocol.errors import Malformed

accounts = st.binary(min_size=20, max_size=20)
words = st.binary(min_size=32, max_size=32)
#: One example is some 5 ms of py-evm; the tests of `protocol/` alone draw many more.
few = examples(0.25)


class Code:
    """The modules' internal functions behind a contract that exposes them."""

    def __init__(self, world: World) -> None:
        self.functions = world.deploy(compiled(MOCKS / "trees_mock.vy")).functions

    def is_at(self, root: bytes, count: int, position: int, leaf: bytes, proof: Any) -> bool:
        return bool(self.functions.is_at(root, count, position, leaf, b"".join(proof)).call())

    def sum_root(self, position: int, merit: Merit, proof: Any) -> tuple[bytes, int]:
        pairs = [(node.hash, node.total) for node in proof]
        account = to_checksum(merit.account)
        node = self.functions.sum_root(position, account, merit.amount, pairs).call()
        return bytes(node[0]), int(node[1])


@pytest.fixture(scope="module")
def code() -> Iterator[Code]:
    return Code(World())


def load(name: str) -> dict[str, Any]:
    vectors: dict[str, Any] = json.loads((paths.VECTORS / name).read_text())
    return vectors


@few
@given(accounts, st.integers(0, 65535), words, words)
def test_a_leaf_is_the_contracts(
    code: Code, account: bytes, block: int, roster: bytes, digest: bytes
) -> None:
    detail = contribution_detail(block, roster, digest)
    call = code.functions.contribution_leaf(to_checksum(account), detail)
    assert call.call() == contribution_leaf(account, block, roster, digest)


@few
@given(st.data())
def test_an_index_proof_that_python_makes_convinces_the_contract(
    code: Code, data: st.DataObject
) -> None:
    leaves = data.draw(st.lists(words, min_size=1, max_size=20))
    tree = IndexTree(leaves)
    position = data.draw(st.integers(0, tree.count - 1))
    assert code.is_at(tree.root, tree.count, position, leaves[position], tree.proof(position))


@few
@given(st.data())
def test_python_and_the_contract_agree_on_altered_index_proofs(
    code: Code, data: st.DataObject
) -> None:
    leaves = data.draw(st.lists(words, min_size=1, max_size=9))
    tree = IndexTree(leaves)
    position = data.draw(st.integers(0, tree.count - 1))
    proof = list(tree.proof(position))
    alteration = data.draw(st.sampled_from(["longer", "shorter", "count", "position", "swap"]))
    count, claimed = tree.count, position
    if alteration == "longer" and len(proof) < MAX_DEPTH:
        proof.append(bytes(NODE_BYTES))
    elif alteration == "shorter":
        proof = proof[:-1]
    elif alteration == "count":
        count = data.draw(st.integers(0, 40))
    elif alteration == "position":
        claimed = data.draw(st.integers(0, 40))
    else:
        proof.reverse()
    arguments = tree.root, count, claimed, leaves[position], proof
    assert code.is_at(*arguments) == verify_index(*arguments)


def test_a_depth_is_pythons(code: Code) -> None:
    for count in (*range(1, 18), 255, 256, 257, 1024, 1025, 4095, 4096):
        assert code.functions.depth(count).call() == depth_of(count)


@few
@given(
    st.lists(
        st.builds(Merit, accounts, st.integers(1, 2**251)),
        min_size=1,
        max_size=12,
        unique_by=lambda entry: entry.account,
    ),
    st.data(),
)
def test_a_sum_proof_that_python_makes_convinces_the_contract(
    code: Code, entries: list[Merit], data: st.DataObject
) -> None:
    tree = SumTree(entries)
    position = data.draw(st.integers(0, len(entries) - 1))
    proof = tree.proof(position)
    assert verify_sum(tree.root, position, entries[position], proof)
    root = code.sum_root(position, entries[position], proof)
    assert root == (tree.root.hash, tree.root.total)


@few
@given(st.integers(0, 2**255 - 1))
@example(0)
@example(2**255 - 1)
def test_round_bits_are_counted(code: Code, word: int) -> None:
    assert code.functions.ones(word).call() == word.bit_count()


def test_the_index_vectors_hold_on_the_chain(code: Code) -> None:
    vectors = load("trees.json")
    for leaf in vectors["contribution_leaves"]:
        account, detail = bytes.fromhex(leaf["account"]), bytes.fromhex(leaf["detail"])
        call = code.functions.contribution_leaf(to_checksum(account), detail)
        assert call.call().hex() == leaf["leaf"]
    for case in vectors["index_proofs"]:
        proof = [bytes.fromhex(digest) for digest in case["proof"]]
        root, leaf_hash = bytes.fromhex(case["root"]), bytes.fromhex(case["leaf"])
        holds = len(proof) <= MAX_DEPTH and code.is_at(
            root, case["count"], case["position"], leaf_hash, proof
        )
        assert holds == (case["expect"] == "holds"), case["name"]


def test_the_sum_vectors_hold_on_the_chain(code: Code) -> None:
    for case in load("trees.json")["sum_proofs"]:
        pairs = [(bytes.fromhex(node["hash"]), int(node["total"])) for node in case["proof"]]
        call = code.functions.sum_root(
            case["position"],
            to_checksum(bytes.fromhex(case["account"])),
            int(case["amount"]),
            pairs,
        )
        if case["expect"] == "overflow":
            with pytest.raises(TransactionFailed):
                call.call()
            continue
        digest, total = call.call()
        holds = digest.hex() == case["root"]["hash"] and str(total) == case["root"]["total"]
        assert holds == (case["expect"] == "holds"), case["name"]


def test_the_signature_vectors_hold_on_the_chain(code: Code) -> None:
    for case in load("typed_data.json")["signatures"]:
        digest, signature = bytes.fromhex(case["digest"]), bytes.fromhex(case["signature"])
        call = code.functions.signer(digest, signature)
        if case["expect"] == "malformed":
            with pytest.raises(TransactionFailed):
                call.call()
            with pytest.raises(Malformed):
                recover(digest, signature)
        else:
            assert call.call() == to_checksum(bytes.fromhex(case["signer"]))
            assert recover(digest, signature).hex() == case["signer"]
