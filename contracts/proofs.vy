# pragma version 0.4.3
"""
@title Proofs against a job's roots
@custom:contract-name proofs
@license Apache-2.0
@author The authors of assay
@notice Reads what a call proves: contributions under the rounds' roots, and
        merit under the root that `finish` brought.
@dev Proofs are read where they lie in the call's data, so that no call lays out
     memory for the longest of them.
"""


from . import ledger
from . import trees
from . import refusals


uses: ledger


struct Merit:
    position: uint16
    # Zero claims no merit.
    amount: uint256
    proof: DynArray[trees.SumNode, trees.MAX_DEPTH]


# A payment without its proof: round (1), position (2), block (2), roster
# digest (32), contribution digest (32).
LEAF_BYTES: constant(uint256) = 69
MAX_PAYMENT_BYTES: constant(uint256) = LEAF_BYTES + trees.MAX_DEPTH * trees.NODE_BYTES


@internal
@view
def _payment(job: bytes32, account: address, known: uint256, at: uint256) -> (uint256, uint256):
    """
    @dev Reads one payment, and reverts unless it proves. A round whose bit is
         set is skipped, its proof unread.
    @param job The job's id.
    @param account The account that the leaf pays.
    @param known The rounds that need no proof, as bits.
    @param at Where the payment begins in msg.data.
    @return (uint256, uint256) The bits with this round's, and where the next
            payment begins.
    """
    fields: uint256 = trees._word(at)
    round: uint256 = fields >> 248
    committed: uint256 = ledger.committed[job][round]
    # Rounds end at 254, so that no payment can reach the merit's bit.
    if committed == 0:
        refusals._refuse("bounty: round is not committed")
    count: uint256 = committed & ledger.BITS_16
    depth: uint256 = trees._depth(count)
    # Unchecked: `slice` read there, so that `at` is small.
    proof: uint256 = unsafe_add(at, LEAF_BYTES)
    end: uint256 = unsafe_add(proof, unsafe_mul(depth, trees.NODE_BYTES))
    bit: uint256 = 1 << round
    if known & bit != 0:
        return known, end
    position: uint256 = (fields >> 232) & ledger.BITS_16
    leaf: bytes32 = trees._contribution_leaf(
        account,
        convert((fields >> 216) & ledger.BITS_16, uint16),
        convert(slice(msg.data, at + 5, 32), bytes32),
        convert(slice(msg.data, at + 37, 32), bytes32),
    )
    root: uint256 = convert(trees._index_root(position, depth, leaf, proof), uint256)
    if not (position < count and root >> 16 == committed >> 16):
        refusals._refuse("bounty: contribution is not under the round's root")
    return known | bit, end


@internal
@view
def _check_merit(job: bytes32, account: address, merit: Merit) -> uint256:
    """
    @dev Reverts unless the merit is under the root that `finish` brought.
    @param job The job's id.
    @param account The account that the leaf pays.
    @param merit The merit and its proof.
    @return uint256 The job's pot, as it is stored.
    """
    root: trees.SumNode = trees._sum_root(
        convert(merit.position, uint256), account, merit.amount, merit.proof
    )
    pot: uint256 = ledger.words[job].pot
    if root.hash != ledger.words[job].merit_root:
        refusals._refuse("bounty: merit not under the root")
    if root.total != pot & ledger.BITS_128:
        refusals._refuse("bounty: merit does not add up to the pot")
    return pot
