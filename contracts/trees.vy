# pragma version 0.4.3
"""
@title Index tree and sum tree
@custom:contract-name trees
@license Apache-2.0
@author The authors of assay
@notice Proofs that a contribution stands at one position of a round, and that
        an account's merit is part of a pot. docs/spec/trees.md states both
        trees; `protocol/trees.py` builds them.
@dev Each kind of node is hashed under a prefix byte of its own, so that no leaf
     can pass for an inner node, nor a node of one tree for one of the other
     (RFC 6962, section 2.1).
"""


struct SumNode:
    hash: bytes32
    total: uint256


# Deepest tree: 2 ** 12 = 4096 leaves, the largest cohort.
MAX_DEPTH: constant(uint256) = 12


_CONTRIBUTION_LEAF: constant(bytes1) = 0x00
_INDEX_NODE: constant(bytes1) = 0x01
_SUM_LEAF: constant(bytes1) = 0x02
_SUM_NODE: constant(bytes1) = 0x03


@internal
@pure
def _contribution_leaf(
    account: address, block_index: uint16, roster_digest: bytes32, contribution_digest: bytes32
) -> bytes32:
    """
    @dev Hashes one contribution. Its position is not hashed: the proof's path
         fixes it.
    @param account The account that the contribution pays.
    @param block_index The block of owners that it was aggregated in.
    @param roster_digest The digest of the frozen roster.
    @param contribution_digest The digest of the encrypted batch.
    @return bytes32 The leaf.
    """
    return keccak256(
        concat(
            _CONTRIBUTION_LEAF,
            abi_encode(account, block_index, roster_digest, contribution_digest),
        )
    )


@internal
@pure
def _is_at(
    root: bytes32,
    count: uint256,
    position: uint256,
    leaf: bytes32,
    proof: DynArray[bytes32, MAX_DEPTH],
) -> bool:
    """
    @dev Says whether `leaf` stands at `position` of the tree of `count` leaves.
         The depth follows from `count` and the path from `position`, so that
         no position has two leaves, and positions that only pad the tree to a
         power of two prove nothing.
    @param root The tree's root.
    @param count The number of leaves, without padding.
    @param position The leaf's position, from zero.
    @param leaf The leaf's hash.
    @param proof The siblings, from the leaf up.
    @return bool True if the proof holds.
    """
    if position >= count:
        return False
    # ceil(log2(count)) is the one depth whose width holds count leaves while
    # half of that width does not.
    depth: uint256 = len(proof)
    if count > 1 << depth or (depth != 0 and count <= 1 << (depth - 1)):
        return False

    node: bytes32 = leaf
    path: uint256 = position
    for sibling: bytes32 in proof:
        if path & 1 == 0:
            node = keccak256(concat(_INDEX_NODE, node, sibling))
        else:
            node = keccak256(concat(_INDEX_NODE, sibling, node))
        path >>= 1
    return node == root


@internal
@pure
def _sum_root(
    position: uint256, account: address, amount: uint256, proof: DynArray[SumNode, MAX_DEPTH]
) -> SumNode:
    """
    @dev Climbs from one account's merit to the root of the sum tree. A node's
         hash covers both children's hashes and sums, so that a root's total is
         the sum of what its leaves can prove; additions are checked, so that
         no child can be hidden by an overflow.
    @param position The leaf's position, from zero.
    @param account The account that the merit pays.
    @param amount The merit, in the token's smallest unit.
    @param proof The siblings, from the leaf up.
    @return SumNode The root that the proof leads to.
    """
    assert position >> len(proof) == 0, "trees: position is past the tree"
    node: SumNode = SumNode(
        hash=keccak256(concat(_SUM_LEAF, abi_encode(position, account, amount))), total=amount
    )
    path: uint256 = position
    for sibling: SumNode in proof:
        total: uint256 = node.total + sibling.total
        if path & 1 == 0:
            node.hash = keccak256(
                concat(_SUM_NODE, abi_encode(node.hash, node.total, sibling.hash, sibling.total))
            )
        else:
            node.hash = keccak256(
                concat(_SUM_NODE, abi_encode(sibling.hash, sibling.total, node.hash, node.total))
            )
        node.total = total
        path >>= 1
    return node
