# pragma version 0.4.3
"""
@title The trees' and the ledger's internal functions, for comparison with Python
"""


from contracts import ledger
from contracts import signing
from contracts import trees


@external
@view
def contribution_leaf(account: address, detail: bytes24) -> bytes32:
    return trees._contribution_leaf(
        convert(account, uint256) << 96, convert(convert(detail, bytes32), uint256)
    )


@external
@view
def is_at(
    root: bytes32,
    count: uint256,
    position: uint256,
    leaf: bytes32,
    proof: Bytes[(trees.MAX_DEPTH + 1) * trees.NODE_BYTES],
) -> bool:
    # As `claim` has it: the count fixes how many siblings are read, and no
    # byte is left over.
    if position >= count:
        return False
    depth: uint256 = trees._depth(count)
    if len(proof) != depth * trees.NODE_BYTES:
        return False
    # Behind the selector, five words of head, and the length.
    return trees._index_root(position, depth, leaf, 4 + 6 * 32) == root


@external
@view
def depth(count: uint256) -> uint256:
    return trees._depth(count)


@external
@view
def sum_root(
    position: uint256,
    account: address,
    amount: uint256,
    proof: DynArray[trees.SumNode, trees.MAX_DEPTH],
) -> trees.SumNode:
    return trees._sum_root(position, account, amount, proof)


@external
@view
def signer(digest: bytes32, signature: Bytes[65]) -> address:
    return signing._signer(digest, signature)


@external
@view
def ones(word: uint256) -> uint256:
    return ledger._ones(word)
