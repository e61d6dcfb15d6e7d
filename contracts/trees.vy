# pragma version 0.4.3
"""
@title Index tree and sum tree
@custom:contract-name trees
@license Apache-2.0
@author The authors of assay
@notice Proofs that a contribution stands at one position of a round, and that
        an account's merit is part of a pot. docs/spec/trees.md states both
        trees; `protocol/trees.py` builds them.
@dev Each kind of node is hashed under a prefix byte of its own, but those of the
     index tree, which alone are hashes of 64 bytes: the 32nd is 1 in a leaf and
     0 in an inner node. So no leaf can pass for an inner node, nor a node of
     one tree for one of the other (RFC 6962, section 2.1).
"""


struct SumNode:
    hash: bytes32
    total: uint256


# Deepest tree: 2 ** 12 = 4096 leaves, the largest cohort.
MAX_DEPTH: constant(uint256) = 12
# What a parent hashes of each child in an index tree, and what a proof carries.
NODE_BYTES: constant(uint256) = 24
NODE_MASK: constant(uint256) = (2**192 - 1) * 2**64


# In the last byte of a leaf's first word, where an inner node has a zero.
LEAF_MARK: constant(uint256) = 1
_SUM_LEAF: constant(bytes1) = 0x02
_SUM_NODE: constant(bytes1) = 0x03


@internal
@pure
def _contribution_leaf(account: uint256, detail: uint256) -> bytes32:
    """
    @dev Hashes one contribution. Its position is not hashed: the proof's path
         fixes it.
    @param account The account that the contribution pays, in the first 20
           bytes of a word.
    @param detail What the contribution is, in the first 24 bytes of a word:
           the hash of its block, roster and batch, which no money depends on.
    @return bytes32 The leaf.
    """
    return keccak256(abi_encode(account | LEAF_MARK, detail))


@internal
@pure
def _depth(count: uint256) -> uint256:
    """
    @dev Computes the depth of an index tree, ceil(log2(count)), by halves.
    @param count The number of leaves, 1 to 65536.
    @return uint256 The depth, which is the number of a proof's siblings.
    """
    # The number of bits of count - 1. A count of zero reverts.
    bits: uint256 = count - 1
    depth: uint256 = 0
    if bits > 255:
        bits >>= 8
        depth = 8
    if bits > 15:
        bits >>= 4
        depth = unsafe_add(depth, 4)
    if bits > 3:
        bits >>= 2
        depth = unsafe_add(depth, 2)
    if bits > 1:
        bits >>= 1
        depth = unsafe_add(depth, 1)
    return unsafe_add(depth, bits)


@internal
@pure
def _joined(left: uint256, right: uint256) -> uint256:
    """
    @dev Hashes an inner node of an index tree: the first 24 bytes of each child
         as words with 8 zero bytes behind.
    @param left The left child.
    @param right The right child.
    @return uint256 The node.
    """
    return convert(keccak256(abi_encode(left & NODE_MASK, right & NODE_MASK)), uint256)


@internal
@view
def _index_root(position: uint256, depth: uint256, leaf: bytes32, start: uint256) -> bytes32:
    """
    @dev Climbs from a leaf to the root of an index tree, with siblings that lie
         in the call's data, from the leaf up, NODE_BYTES each. Reading past the
         end of the data reverts.
    @param position The leaf's position, from zero.
    @param depth The tree's depth, which its count fixes (`_depth`).
    @param leaf The leaf's hash.
    @param start Where the first sibling begins in msg.data; at least 8.
    @return bytes32 The root that the proof leads to.
    """
    node: uint256 = convert(leaf, uint256)
    path: uint256 = position
    # A parent hashes the first 24 bytes of each child as words with 8 zero
    # bytes behind. The shift drops what precedes a sibling in the data.
    # Unchecked: it is at least 8.
    at: uint256 = unsafe_sub(start, 8)
    for _: uint256 in range(depth, bound=MAX_DEPTH):
        node = node & NODE_MASK
        sibling: uint256 = convert(slice(msg.data, at, 32), uint256) << 64
        if path & 1 == 0:
            node = convert(keccak256(abi_encode(node, sibling)), uint256)
        else:
            node = convert(keccak256(abi_encode(sibling, node)), uint256)
        path >>= 1
        # Unchecked: `slice` reverts before `at` could come near 2 ** 256.
        at = unsafe_add(at, NODE_BYTES)
    return convert(node, bytes32)


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
    node: SumNode = self._sum_leaf(position, account, amount)
    path: uint256 = position
    for sibling: SumNode in proof:
        if path & 1 == 0:
            node = self._sum_joined(node, sibling)
        else:
            node = self._sum_joined(sibling, node)
        path >>= 1
    return node


@internal
@pure
def _sum_leaf(position: uint256, account: address, amount: uint256) -> SumNode:
    """
    @dev Hashes one account's merit.
    @param position The leaf's position, from zero.
    @param account The account.
    @param amount The merit.
    @return SumNode The leaf.
    """
    return SumNode(
        hash=keccak256(concat(_SUM_LEAF, abi_encode(position, account, amount))), total=amount
    )


@internal
@pure
def _sum_joined(left: SumNode, right: SumNode) -> SumNode:
    """
    @dev Hashes an inner node of a sum tree. The addition is checked.
    @param left The left child.
    @param right The right child.
    @return SumNode The node.
    """
    return SumNode(
        hash=keccak256(
            concat(_SUM_NODE, abi_encode(left.hash, left.total, right.hash, right.total))
        ),
        total=left.total + right.total,
    )
