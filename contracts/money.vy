# pragma version 0.4.3
"""
@title Money in and out
@custom:contract-name money
@license Apache-2.0
@author The authors of assay
@notice Moves ether and ERC-20 tokens, those included that return nothing.
"""


from ethereum.ercs import IERC20


@internal
@payable
def _pull(token: address, amount: uint256):
    """
    @dev Takes the escrow from the sender. A token that delivers less than was
         sent, because it takes a fee, is refused.
    @param token The token; zero for ether.
    @param amount The exact amount.
    """
    if token == empty(address):
        assert msg.value == amount, "bounty: value is not the escrow"
        return
    assert msg.value == 0, "bounty: ether for a job that pays in a token"
    before: uint256 = staticcall IERC20(token).balanceOf(self)
    # The default covers tokens that return nothing; false is a failure.
    assert extcall IERC20(token).transferFrom(
        msg.sender, self, amount, default_return_value=True
    ), "bounty: token refused the transfer"
    received: uint256 = staticcall IERC20(token).balanceOf(self) - before
    assert received == amount, "bounty: token delivered another amount"


@internal
def _push(token: address, to: address, amount: uint256):
    """
    @dev Pays. Comes last in every function that calls it.
    @param token The token; zero for ether.
    @param to Who is paid.
    @param amount The amount; nothing is called for zero.
    """
    if amount == 0:
        return
    if token == empty(address):
        # Raw, because `send` stops at 2300 gas, which a contract's wallet
        # exceeds. Safe with all gas: the lock is held, storage is final, and
        # no returned bytes are copied. Who reverts here harms itself alone.
        raw_call(to, b"", value=amount)
        return
    # The default covers tokens that return nothing; false is a failure.
    assert extcall IERC20(token).transfer(
        to, amount, default_return_value=True
    ), "bounty: token refused the transfer"
