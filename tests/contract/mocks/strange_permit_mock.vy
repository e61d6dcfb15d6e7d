# pragma version 0.4.3
"""
@title A token whose permits are not what EIP-2612 says, in a way that can be chosen
@notice 1: it names another token's domain. 2: it asks for other words. 3: it tells
        another type.
"""


name: public(constant(String[32])) = "Test Dollar"
symbol: public(constant(String[32])) = "TUSD"
decimals: public(constant(uint8)) = 6
version: public(constant(String[8])) = "1"

balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])
nonces: public(HashMap[address, uint256])
approvals: public(uint256)
strange: public(uint256)

_DOMAIN: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_PERMIT: constant(bytes32) = keccak256(
    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
)


@external
@view
def DOMAIN_SEPARATOR() -> bytes32:
    return self._separator()


@external
def be_strange(how: uint256):
    self.strange = how


@external
@view
def PERMIT_TYPEHASH() -> bytes32:
    if self.strange == 3:
        return keccak256("Permit(address holder,address spender,uint256 nonce,uint256 expiry,bool allowed)")
    return _PERMIT


@internal
@view
def _separator() -> bytes32:
    where: address = self
    if self.strange == 1:
        where = 0x1111111111111111111111111111111111111111
    return keccak256(
        abi_encode(_DOMAIN, keccak256(name), keccak256(version), chain.id, where)
    )


@external
def mint(to: address, amount: uint256):
    self.balanceOf[to] += amount


@external
def approve(spender: address, amount: uint256) -> bool:
    self.approvals += 1
    self.allowance[msg.sender][spender] = amount
    return True


@external
def permit(
    owner: address,
    spender: address,
    amount: uint256,
    deadline: uint256,
    v: uint8,
    r: bytes32,
    s: bytes32,
):
    assert block.timestamp <= deadline, "token: permit is late"
    assert self.strange != 2, "token: other words"
    nonce: uint256 = self.nonces[owner]
    digest: bytes32 = keccak256(
        concat(
            x"1901",
            self._separator(),
            keccak256(abi_encode(_PERMIT, owner, spender, amount, nonce, deadline)),
        )
    )
    signer: address = ecrecover(digest, v, r, s)
    assert signer == owner and owner != empty(address), "token: another signature"
    self.nonces[owner] = nonce + 1
    self.allowance[owner][spender] = amount


@external
def transfer(to: address, amount: uint256) -> bool:
    self.balanceOf[msg.sender] -= amount
    self.balanceOf[to] += amount
    return True


@external
def transferFrom(sender: address, to: address, amount: uint256) -> bool:
    self.allowance[sender][msg.sender] -= amount
    self.balanceOf[sender] -= amount
    self.balanceOf[to] += amount
    return True
