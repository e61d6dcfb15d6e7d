"""The trees: what they prove, and that nothing else can be proved. The chain's view of the same
vectors is tests/contract/test_contract_trees.py."""

from __future__ import annotations

import json
from typing import Any

import pytest
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st
from kits import paths
from kits.examples import examples

from protocol.books.trees import (
    EMPTY,
    MAX_DEPTH,
    NO_MERIT,
    NODE_BYTES,
    IndexTree,
    Merit,
    SumNode,
    SumTree,
    contribution_detail,
    contribution_leaf,
    depth_of,
    enrolment_leaf,
    index_root,
    verify_index,
    verify_sum,
)
from protocol.params import MAX_COHORT

VECTORS = json.loads((paths.VECTORS / "trees.json").read_text())

accounts = st.binary(min_size=20, max_size=20)
words = st.binary(min_size=32, max_size=32)
leaf_lists = st.lists(words, min_size=1, max_size=40)
entry_lists = st.lists(
    st.builds(Merit, accounts, st.integers(1, 2**200)),
    min_size=1,
    max_size=20,
    unique_by=lambda entry: entry.account,
)


def unhex(values: list[str]) -> list[bytes]:
    return [bytes.fromhex(value) for value in values]


def node_of(vector: dict[str, Any]) -> SumNode:
    return SumNode(bytes.fromhex(vector["hash"]), int(vector["total"]))


def merit_of(vector: dict[str, Any]) -> Merit:
    return Merit(bytes.fromhex(vector["account"]), int(vector["amount"]))


@given(leaf_lists)
def test_every_leaf_is_proved_at_its_position(leaves: list[bytes]) -> None:
    tree = IndexTree(leaves)
    for position, leaf in enumerate(leaves):
        proof = tree.proof(position)
        assert len(proof) == depth_of(len(leaves))
        assert {len(node) for node in proof} <= {NODE_BYTES}
        assert verify_index(tree.root, len(leaves), position, leaf, proof)
    assert tree.root == index_root(leaves)


@given(st.lists(words, min_size=2, max_size=20, unique=True), st.data())
def test_no_position_has_two_leaves(leaves: list[bytes], data: st.DataObject) -> None:
    tree = IndexTree(leaves)
    position = data.draw(st.integers(0, len(leaves) - 1))
    other = data.draw(st.integers(0, len(leaves) - 1).filter(lambda n: n != position))
    proof = tree.proof(position)
    assert not verify_index(tree.root, tree.count, other, leaves[position], proof)
    assert not verify_index(tree.root, tree.count, position, leaves[other], proof)


@given(leaf_lists, st.data())
def test_one_changed_bit_breaks_a_proof(leaves: list[bytes], data: st.DataObject) -> None:
    tree = IndexTree(leaves)
    position = data.draw(st.integers(0, len(leaves) - 1))
    parts = [tree.root, leaves[position], *tree.proof(position)]
    broken = data.draw(st.integers(0, len(parts) - 1))
    # Of a leaf that has a parent, only what the parent hashes counts.
    place = data.draw(st.integers(0, NODE_BYTES - 1))
    part = bytearray(parts[broken])
    part[place] ^= 1 << data.draw(st.integers(0, 7))
    parts[broken] = bytes(part)
    root, leaf, *proof = parts
    assert not verify_index(root, tree.count, position, leaf, proof)


@given(leaf_lists)
def test_padding_proves_nothing(leaves: list[bytes]) -> None:
    tree = IndexTree(leaves)
    width = 1 << depth_of(len(leaves))
    whole = IndexTree([*leaves, *[EMPTY] * (width - len(leaves))])
    assert whole.root == tree.root
    for position in range(len(leaves), width):
        proof = whole.proof(position)
        assert not verify_index(tree.root, tree.count, position, EMPTY, proof)
        with pytest.raises(IndexError, match=f"position {position} of a tree"):
            tree.proof(position)


@given(
    st.binary(max_size=40),
    st.integers(-3, MAX_COHORT + 3),
    st.integers(-3, MAX_COHORT + 3),
    st.binary(max_size=40),
    st.lists(st.binary(max_size=40), max_size=14),
)
def test_hostile_index_proofs_are_false_and_never_an_error(
    root: bytes, count: int, position: int, leaf: bytes, proof: list[bytes]
) -> None:
    assert not verify_index(root, count, position, leaf, proof)


def test_the_largest_cohort_and_no_more() -> None:
    leaves = [number.to_bytes(32, "big") for number in range(MAX_COHORT + 1)]
    tree = IndexTree(leaves[:MAX_COHORT])
    proof = tree.proof(MAX_COHORT - 1)
    assert len(proof) == MAX_DEPTH == 12
    assert verify_index(tree.root, MAX_COHORT, MAX_COHORT - 1, leaves[-2], proof)
    with pytest.raises(ValueError, match="1 to 4096 leaves, not 4097"):
        IndexTree(leaves)
    with pytest.raises(ValueError, match="1 to 4096 leaves, not 0"):
        IndexTree([])


@pytest.mark.parametrize(
    ("count", "depth"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (4095, 12), (4096, 12)]
)
def test_a_depth_is_the_logarithm_rounded_up(count: int, depth: int) -> None:
    assert depth_of(count) == depth


def test_fields_of_the_wrong_size_are_refused() -> None:
    word = bytes(32)
    contribution_leaf(bytes(20), 65535, word, word)
    for fields in (
        (bytes(19), 0, word, word),
        (bytes(21), 0, word, word),
        (bytes(20), 65536, word, word),
        (bytes(20), -1, word, word),
        (bytes(20), 0, word[1:], word),
        (bytes(20), 0, word, word + b"\x00"),
    ):
        with pytest.raises(ValueError, match=r"bytes, not|0 to 65535"):
            contribution_leaf(*fields)
    with pytest.raises(ValueError, match="32 bytes, not 31"):
        IndexTree([bytes(31)])
    with pytest.raises(ValueError, match="32 bytes, not 33"):
        enrolment_leaf(bytes(33))


def test_no_kind_of_node_passes_for_another() -> None:
    """An account and a detail that look like two nodes: the 32nd byte tells them apart."""
    account, roster, batch = bytes([1]) * 20, bytes(32), bytes([2]) * 32
    leaf = contribution_leaf(account, 0, roster, batch)
    detail = contribution_detail(0, roster, batch)
    left, right = account.ljust(32, b"\x00"), detail.ljust(32, b"\x00")
    assert leaf == keccak(left[:-1] + b"\x01" + right) != index_root([left, right])
    assert index_root([left, right]) == keccak(left + right)


@given(entry_lists)
def test_every_entry_is_proved_and_the_total_is_the_sum(entries: list[Merit]) -> None:
    tree = SumTree(entries)
    assert tree.root.total == sum(entry.amount for entry in entries)
    for position, entry in enumerate(entries):
        assert verify_sum(tree.root, position, entry, tree.proof(position))


@given(entry_lists, st.integers(-(2**64), 2**64), st.data())
def test_no_entry_is_worth_another_amount(
    entries: list[Merit], shift: int, data: st.DataObject
) -> None:
    tree = SumTree(entries)
    position = data.draw(st.integers(0, len(entries) - 1))
    entry, proof = entries[position], tree.proof(position)
    if shift == 0 or entry.amount + shift < 1:
        return
    altered = Merit(entry.account, entry.amount + shift)
    assert not verify_sum(tree.root, position, altered, proof)
    if proof and proof[0].total >= shift:
        # What the amount gains, its sibling loses, so that the total still fits.
        moved = SumNode(proof[0].hash, proof[0].total - shift)
        assert not verify_sum(tree.root, position, altered, (moved, *proof[1:]))


@given(entry_lists, st.data())
def test_an_entry_has_one_position(entries: list[Merit], data: st.DataObject) -> None:
    tree = SumTree(entries)
    position = data.draw(st.integers(0, len(entries) - 1))
    claimed = data.draw(st.integers(-1, 64).filter(lambda n: n != position))
    assert not verify_sum(tree.root, claimed, entries[position], tree.proof(position))


@examples(0.5)
@given(
    st.builds(Merit, accounts, st.integers(1, 2**256 - 1)),
    st.lists(st.builds(SumNode, words, st.integers(0, 2**256 - 1)), max_size=14),
    st.integers(-1, 2**14),
)
def test_hostile_sum_proofs_are_false_and_never_an_error(
    merit: Merit, proof: list[SumNode], position: int
) -> None:
    assert not verify_sum(SumNode(bytes(32), 10), position, merit, proof)


def test_a_sum_trees_entries_are_bounded_distinct_and_positive() -> None:
    accounts_of_all = [number.to_bytes(20, "big") for number in range(MAX_COHORT + 1)]
    entries = [Merit(account, 1) for account in accounts_of_all]
    assert SumTree(entries[:MAX_COHORT]).root.total == MAX_COHORT
    with pytest.raises(ValueError, match="at most 4096 entries, not 4097"):
        SumTree(entries)
    with pytest.raises(ValueError, match="stands twice"):
        SumTree([entries[0], Merit(accounts_of_all[0], 2)])
    with pytest.raises(ValueError, match="at least 1"):
        Merit(bytes(20), 0)
    with pytest.raises(ValueError, match="256 bits"):
        Merit(bytes(20), 2**256)
    with pytest.raises(ValueError, match="256 bits"):
        SumTree([Merit(accounts_of_all[0], 2**255), Merit(accounts_of_all[1], 2**255)])
    with pytest.raises(IndexError, match="position 1 of a sum tree of 1"):
        SumTree(entries[:1]).proof(1)


def test_no_merit_has_the_empty_root() -> None:
    assert SumTree([]).root == NO_MERIT == SumNode(bytes(32), 0)


def test_the_leaf_vectors() -> None:
    for case in VECTORS["contribution_leaves"]:
        account, roster, digest = unhex([case["account"], case["roster"], case["contribution"]])
        assert contribution_detail(case["block"], roster, digest).hex() == case["detail"]
        assert contribution_leaf(account, case["block"], roster, digest).hex() == case["leaf"]
    for case in VECTORS["enrolment_leaves"]:
        assert enrolment_leaf(bytes.fromhex(case["digest"])).hex() == case["leaf"]


@pytest.mark.parametrize("case", VECTORS["index_roots"], ids=lambda case: len(case["leaves"]))
def test_an_index_root_vector(case: dict[str, Any]) -> None:
    assert index_root(unhex(case["leaves"])).hex() == case["root"]


@pytest.mark.parametrize("case", VECTORS["index_proofs"], ids=lambda case: case["name"])
def test_an_index_proof_vector(case: dict[str, Any]) -> None:
    root, leaf = unhex([case["root"], case["leaf"]])
    holds = verify_index(root, case["count"], case["position"], leaf, unhex(case["proof"]))
    assert holds == (case["expect"] == "holds")


@pytest.mark.parametrize("case", VECTORS["sum_roots"], ids=lambda case: len(case["entries"]))
def test_a_sum_root_vector(case: dict[str, Any]) -> None:
    assert SumTree([merit_of(entry) for entry in case["entries"]]).root == node_of(case["root"])


@pytest.mark.parametrize("case", VECTORS["sum_proofs"], ids=lambda case: case["name"])
def test_a_sum_proof_vector(case: dict[str, Any]) -> None:
    proof = [node_of(sibling) for sibling in case["proof"]]
    holds = verify_sum(node_of(case["root"]), case["position"], merit_of(case), proof)
    assert holds == (case["expect"] == "holds")
