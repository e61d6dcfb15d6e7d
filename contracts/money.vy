# pragma version 0.4.3
"""
@title Money in and out
@custom:contract-name money
@license Apache-2.0
@author The authors of assay
@notice Moves ether and ERC-20 tokens, those included that return nothing.
"""


from ethereum.ercs import IERC20

from . import refusals


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
        if msg.value != amount:
            refusals._refuse("bounty: value is not the escrow")
        return
    if msg.value != 0:
        refusals._refuse("bounty: ether for a token's job")
    before: uint256 = staticcall IERC20(token).balanceOf(self)
    # The default covers tokens that return nothing; false is a failure.
    self._require_moved(
        extcall IERC20(token).transferFrom(msg.sender, self, amount, default_return_value=True)
    )
    received: uint256 = staticcall IERC20(token).balanceOf(self) - before
    if received != amount:
        refusals._refuse("bounty: token kept some of it")


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
    self._require_moved(extcall IERC20(token).transfer(to, amount, default_return_value=True))


@internal
def _try_push(
    token: address, to: address, amount: uint256, ether_gas: uint256, token_gas: uint256
) -> bool:
    """
    @dev Pays one of many, with bounded gas, and says whether that went well.
         The caller books a refusal back. A call that got less gas than it was
         given here, because the sender gave too little, is a refusal too.
    @param token The token; zero for ether.
    @param to Who is paid.
    @param amount The amount; nothing is called for zero.
    @param ether_gas What a payee of ether may use, beside the 2300 that come
           with it.
    @param token_gas What the token may use.
    @return bool Whether it was paid.
    """
    if amount == 0:
        return True
    if token == empty(address):
        return raw_call(to, b"", value=amount, gas=ether_gas, revert_on_failure=False)
    if not token.is_contract:
        refusals._refuse("bounty: token is gone")
    worked: bool = False
    answer: Bytes[32] = b""
    worked, answer = raw_call(
        token,
        abi_encode(to, amount, method_id=method_id("transfer(address,uint256)")),
        max_outsize=32,
        gas=token_gas,
        revert_on_failure=False,
    )
    # No answer is what tokens give that return nothing; false is a failure.
    return worked and (len(answer) == 0 or convert(answer, uint256) != 0)


@internal
@pure
def _require_moved(moved: bool):
    """
    @dev Reverts where a token says that it did not transfer.
    @param moved What it said.
    """
    if not moved:
        refusals._refuse("bounty: token refused transfer")
