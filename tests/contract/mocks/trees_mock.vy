# pragma version 0.4.3
"""
@title The trees' and the ledger's internal functions, for comparison with Python
"""


from contracts import ledger
from contracts import signing
from contracts import trees


@external
@view
def contribution_leaf(
    account: address, block_index: uint16, roster_digest: bytes32, contribution_digest: bytes32
) -> bytes32:
    return trees._contribution_leaf(account, block_index, roster_digest, contribution_digest)


@external
@view
def is_at(
    root: bytes32,
    count: uint256,
    position: uint256,
    leaf: bytes32,
    proof: DynArray[bytes32, trees.MAX_DEPTH],
) -> bool:
    return trees._is_at(root, count, position, leaf, proof)


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
