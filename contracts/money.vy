# pragma version 0.4.3
"""
@title Money in and out
@custom:contract-name money
@license Apache-2.0
@author The authors of assay
@notice Moves ether and ERC-20 tokens, those included that return nothing.
"""


from ethereum.ercs import IERC20


# An EIP-2612 signature.
struct Permit:
    v: uint8
    r: bytes32
    s: bytes32


@internal
def _permit(token: address, amount: uint256, deadline: uint256, permit: Permit):
    """
    @dev Brings the sender's permit to the token, and looks at nothing that comes
         of it: `_pull` finds the allowance, or fails. The call's owner is the
         sender and its spender this contract, whatever stands at the address.
    @param token The token.
    @param amount What the sender lets this contract take.
    @param deadline The permit's deadline, in seconds.
    @param permit The sender's signature.
    """
    # Whether it worked is not asked.
    _: bool = raw_call(
        token,
        abi_encode(
            msg.sender,
            self,
            amount,
            deadline,
            permit.v,
            permit.r,
            permit.s,
            method_id=method_id(
                "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)"
            ),
        ),
        revert_on_failure=False,
    )


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


# What a payee may use when somebody else pays it: a wallet that is a contract
# needs some 10,000. Who needs more sends the claim itself.
PAYEE_GAS: public(constant(uint256)) = 100_000
# What a token may use for one of many transfers.
TOKEN_GAS: constant(uint256) = 250_000
# What must be left before one of many payments, so that nobody is left out
# because the sender gave too little: the payee's gas and a 63rd of it
# (EIP-150), the call, a new account.
_ENOUGH: constant(uint256) = 160_000
_ENOUGH_TOKEN: constant(uint256) = 300_000


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
        # exceeds. The lock is held, storage is final, and no returned bytes
        # are copied. Who reverts here harms itself alone.
        if to == msg.sender:
            raw_call(to, b"", value=amount)
        else:
            # A payee cannot burn more of somebody else's gas.
            raw_call(to, b"", value=amount, gas=PAYEE_GAS)
        return
    # The default covers tokens that return nothing; false is a failure.
    assert extcall IERC20(token).transfer(
        to, amount, default_return_value=True
    ), "bounty: token refused the transfer"


@internal
def _require_token(token: address):
    """
    @dev Reverts for a token without code, whose transfers would seem to work.
    @param token The token; zero for ether.
    """
    assert token == empty(address) or token.is_contract, "bounty: token has no code"


@internal
def _try_push(token: address, to: address, amount: uint256) -> bool:
    """
    @dev Pays one of many, and says whether that worked: who refuses, or burns
         its gas, fails nobody else. The caller holds the lock and has storage
         final for the case that it works.
    @param token The token, which has code; zero for ether.
    @param to Who is paid.
    @param amount The amount.
    @return bool Whether the payee has it.
    """
    if token == empty(address):
        assert msg.gas >= _ENOUGH, "bounty: too little gas to pay everybody"
        return raw_call(to, b"", value=amount, gas=PAYEE_GAS, revert_on_failure=False)
    assert msg.gas >= _ENOUGH_TOKEN, "bounty: too little gas to pay everybody"
    worked: bool = False
    said: Bytes[32] = b""
    worked, said = raw_call(
        token,
        abi_encode(to, amount, method_id=method_id("transfer(address,uint256)")),
        max_outsize=32,
        gas=TOKEN_GAS,
        revert_on_failure=False,
    )
    # Tokens that return nothing are covered; anything but true is a failure.
    if not worked or len(said) == 0:
        return worked
    return len(said) == 32 and convert(said, uint256) == 1
