# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Payment channels for answers
@custom:contract-name channel
@license Apache-2.0
@author The authors of assay
@notice A buyer deposits for one seller and signs vouchers whose amounts grow.
        The seller redeems the last one whenever it likes. The buyer takes the
        rest back after the expiry, or at once with the seller's release.
        docs/spec/channel.md states the rules.
@dev Nobody owns this contract; there is no upgrade and no fee.

     A channel's id covers all of its terms, so that one word of storage is
     enough: what was deposited, what was redeemed, whether it is closed. A
     closed channel keeps its word: the same id never opens twice, and no
     voucher finds a second deposit.

     Solvency. Money enters for a channel in `open` alone, measured, and leaves
     in `redeem` and `close` alone: `redeem` pays what the redeemed amount grew
     by, up to the deposit, and `close` the rest, once. So a channel never
     spends another's money. Channels in one token share that token's balance:
     a token that shrinks balances on its own can fail all channels in it, and
     no others.

     No path locks money. The seller's part needs the buyer's signature and
     nobody's consent. The rest needs the buyer and the expiry, which is a year
     away at most, and no act of the seller. A seller that refuses to be paid
     stops its own payment; a buyer that refuses, its own.

     Reentrancy. Every function that moves money updates storage first, calls
     out last, and holds the lock; `open` is the exception, whose pull of
     tokens must be measured on both sides of the call.
"""


from . import money
from . import signing


_VOUCHER_TYPE_HASH: constant(bytes32) = keccak256("Voucher(bytes32 channel,uint256 amount)")
_RELEASE_TYPE_HASH: constant(bytes32) = keccak256("Release(bytes32 channel,uint256 redeemed)")

# No expiry is further away: a mistyped one locks no money for ever.
MAX_SECONDS: public(constant(uint256)) = 366 * 86400
# Two amounts and a bit share a word.
MAX_DEPOSIT: public(constant(uint256)) = (1 << 127) - 1
_BITS_127: constant(uint256) = (1 << 127) - 1
_REDEEMED: constant(uint256) = 127
_CLOSED: constant(uint256) = 1 << 254


event Opened:
    channel: indexed(bytes32)
    buyer: indexed(address)
    seller: indexed(address)
    token: address
    deposit: uint256
    expiry: uint64
    salt: bytes32


event Redeemed:
    channel: indexed(bytes32)
    redeemed: uint256
    paid: uint256


event Closed:
    channel: indexed(bytes32)
    returned: uint256


# The deposit, what was redeemed (from bit 127), whether it is closed (bit 254).
words: HashMap[bytes32, uint256]


@deploy
def __init__():
    """
    @dev There is nothing to set: no owner, no parameters.
    """
    pass


@external
@payable
@nonreentrant
def open(seller: address, token: address, deposit: uint256, expiry: uint64, salt: bytes32) -> bytes32:
    """
    @notice Opens a channel from the sender to a seller, and takes the deposit.
    @param seller Who is paid by vouchers.
    @param token The ERC-20 token that pays; zero for ether.
    @param deposit The exact deposit, at least 1.
    @param expiry The moment, in seconds, from which the buyer may close alone.
    @param salt The buyer's choice, which tells its channels on equal terms apart.
    @return bytes32 The channel's id.
    """
    channel: bytes32 = self._id(msg.sender, seller, token, expiry, salt)
    assert self.words[channel] == 0, "channel: opened already"
    assert seller != empty(address), "channel: seller is zero"
    assert deposit != 0 and deposit <= MAX_DEPOSIT, "channel: deposit not in 1 to 2 ** 127 - 1"
    until: uint256 = convert(expiry, uint256)
    assert until > block.timestamp, "channel: expiry is past"
    assert until <= block.timestamp + MAX_SECONDS, "channel: expiry is too far"
    self.words[channel] = deposit
    log Opened(
        channel=channel,
        buyer=msg.sender,
        seller=seller,
        token=token,
        deposit=deposit,
        expiry=expiry,
        salt=salt,
    )
    money._pull(token, deposit)
    return channel


@external
@nonreentrant
def redeem(
    buyer: address,
    seller: address,
    token: address,
    expiry: uint64,
    salt: bytes32,
    amount: uint256,
    signature: Bytes[65],
):
    """
    @notice Pays the seller what a voucher's amount exceeds the redeemed one by.
            Anybody may submit it, as long as the channel is not closed.
    @param buyer Who opened the channel.
    @param seller Who is paid.
    @param token The channel's token.
    @param expiry The channel's expiry.
    @param salt The channel's salt.
    @param amount All that the voucher grants, since the channel opened.
    @param signature The buyer's EIP-712 signature, r, s, v.
    """
    channel: bytes32 = self._id(buyer, seller, token, expiry, salt)
    word: uint256 = self._opened(channel)
    assert amount <= word & _BITS_127, "channel: voucher is beyond the deposit"
    redeemed: uint256 = (word >> _REDEEMED) & _BITS_127
    assert amount > redeemed, "channel: nothing to redeem"
    digest: bytes32 = self._digest(_VOUCHER_TYPE_HASH, channel, amount)
    assert signing._signer(digest, signature) == buyer, "channel: not signed by the buyer"
    self.words[channel] = (word & _BITS_127) | (amount << _REDEEMED)
    # Above: amount > redeemed.
    paid: uint256 = unsafe_sub(amount, redeemed)
    log Redeemed(channel=channel, redeemed=amount, paid=paid)
    money._push(token, seller, paid)


@external
@nonreentrant
def close(
    buyer: address,
    seller: address,
    token: address,
    expiry: uint64,
    salt: bytes32,
    redeemed: uint256,
    signature: Bytes[65],
):
    """
    @notice Returns to the buyer what was not redeemed, and ends the channel. The
            buyer may from the expiry on; the seller may at any time; anybody
            may with the seller's release, once as much is redeemed as it says.
    @param buyer Who opened the channel, and is paid.
    @param seller The channel's seller.
    @param token The channel's token.
    @param expiry The channel's expiry.
    @param salt The channel's salt.
    @param redeemed What the release says; nothing is read without one.
    @param signature The seller's EIP-712 signature under it; empty for none.
    """
    channel: bytes32 = self._id(buyer, seller, token, expiry, salt)
    word: uint256 = self._opened(channel)
    done: uint256 = (word >> _REDEEMED) & _BITS_127
    if len(signature) != 0:
        assert done >= redeemed, "channel: the release's amount is not redeemed yet"
        digest: bytes32 = self._digest(_RELEASE_TYPE_HASH, channel, redeemed)
        assert signing._signer(digest, signature) == seller, "channel: not released by the seller"
    elif msg.sender != seller:
        assert msg.sender == buyer, "channel: neither buyer nor seller"
        assert block.timestamp >= convert(expiry, uint256), "channel: not expired"
    # `redeem` keeps the redeemed amount within the deposit.
    rest: uint256 = unsafe_sub(word & _BITS_127, done)
    self.words[channel] = word | _CLOSED
    log Closed(channel=channel, returned=rest)
    money._push(token, buyer, rest)


@external
@view
def channels(channel: bytes32) -> (uint256, uint256, bool):
    """
    @notice What a channel holds.
    @param channel The channel's id.
    @return uint256 The deposit; zero for a channel that was never opened.
    @return uint256 What was redeemed.
    @return bool Whether it is closed.
    """
    word: uint256 = self.words[channel]
    return word & _BITS_127, (word >> _REDEEMED) & _BITS_127, word & _CLOSED != 0


@external
@view
def channel_id(buyer: address, seller: address, token: address, expiry: uint64, salt: bytes32) -> bytes32:
    """
    @notice The id of a channel on these terms.
    @param buyer Who opens it.
    @param seller Who is paid.
    @param token The token; zero for ether.
    @param expiry The expiry, in seconds.
    @param salt The buyer's choice.
    @return bytes32 The id.
    """
    return self._id(buyer, seller, token, expiry, salt)


@internal
@pure
def _id(buyer: address, seller: address, token: address, expiry: uint64, salt: bytes32) -> bytes32:
    """
    @dev Computes a channel's id from all of its terms.
    @param buyer Who opens it.
    @param seller Who is paid.
    @param token The token; zero for ether.
    @param expiry The expiry, in seconds.
    @param salt The buyer's choice.
    @return bytes32 The id.
    """
    return keccak256(abi_encode(buyer, seller, token, expiry, salt))


@internal
@view
def _opened(channel: bytes32) -> uint256:
    """
    @dev Requires that a channel is open.
    @param channel The channel's id.
    @return uint256 Its word.
    """
    word: uint256 = self.words[channel]
    assert word != 0, "channel: no such channel"
    assert word & _CLOSED == 0, "channel: closed"
    return word


@internal
@view
def _digest(kind: bytes32, channel: bytes32, amount: uint256) -> bytes32:
    """
    @dev Computes what is signed: the domain is this contract's on this chain.
    @param kind The type's hash.
    @param channel The channel's id.
    @param amount The amount that the statement is about.
    @return bytes32 The EIP-712 digest.
    """
    message: bytes32 = keccak256(abi_encode(kind, channel, amount))
    return keccak256(concat(x"1901", signing._domain_separator(), message))
