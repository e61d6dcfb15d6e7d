# pragma version 0.4.3
"""
@title Index tree and sum tree
@custom:contract-name trees
@license Apache-2.0
@author The authors of assay
@notice Proofs that a contribution stands at one position of a round, and that
        an account's merit is part of a pot. docs/spec/trees.md states both
        trees; `protocol/trees.py` builds them.
@dev Each kind of node is hashed under a prefix byte of its own, but inner nodes
     of the index tree, which alone are hashes of 64 bytes: so no leaf can pass
     for an inner node, nor a node of one tree for one of the other (RFC 6962,
     section 2.1).
"""


from . import refusals


struct SumNode:
    hash: bytes32
    total: uint256


# Deepest tree: 2 ** 12 = 4096 leaves, the largest cohort.
MAX_DEPTH: constant(uint256) = 12
# What a parent hashes of each child in an index tree, and what a proof carries.
NODE_BYTES: constant(uint256) = 24
# Most leaves that are read at once, of a settlement; and each of them.
MAX_RANGE: constant(uint256) = 256
RANGE_LEAF_BYTES: constant(uint256) = 68
_NODE_MASK: constant(uint256) = (2**192 - 1) * 2**64


_CONTRIBUTION_LEAF: constant(bytes1) = 0x00
_SUM_LEAF: constant(bytes1) = 0x02
_SUM_NODE: constant(bytes1) = 0x03


@internal
@view
def _word(at: uint256) -> uint256:
    """
    @dev Reads a word of the call's data; past its end it reverts.
    @param at Where the word begins in msg.data.
    @return uint256 The word.
    """
    return convert(slice(msg.data, at, 32), uint256)


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
    at: uint256 = start - 8
    for _: uint256 in range(depth, bound=MAX_DEPTH):
        node = node & _NODE_MASK
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
@view
def _range_root(at: uint256, count: uint256) -> uint256:
    """
    @dev Builds the index tree over leaves that lie in the call's data, back to
         back. A leaf is hashed as its bytes stand: nothing else that is hashed
         has so many.
    @param at Where the first leaf begins in msg.data.
    @param count The number of leaves, 1 to 256.
    @return uint256 The root.
    """
    nodes: uint256[MAX_RANGE] = empty(uint256[MAX_RANGE])
    leaf: uint256 = at
    for i: uint256 in range(count, bound=MAX_RANGE):
        nodes[i] = convert(keccak256(slice(msg.data, leaf, RANGE_LEAF_BYTES)), uint256)
        # Unchecked: `slice` reverts before `leaf` could come near 2 ** 256.
        leaf = unsafe_add(leaf, RANGE_LEAF_BYTES)
    # What pads the list is zero, as in every index tree.
    width: uint256 = 1 << self._depth(count)
    for _: uint256 in range(8):
        if width == 1:
            break
        width >>= 1
        for i: uint256 in range(width, bound=128):
            left: uint256 = nodes[2 * i] & _NODE_MASK
            right: uint256 = nodes[2 * i + 1] & _NODE_MASK
            nodes[i] = convert(keccak256(abi_encode(left, right)), uint256)
    return nodes[0]


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
    if position >> len(proof) != 0:
        refusals._refuse("trees: position is past the tree")
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
