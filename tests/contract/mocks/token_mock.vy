# pragma version 0.4.3
"""
@title A token that can be told to misbehave
@notice Takes a fee, returns false, or calls somebody back in the middle of a
        transfer.
"""


balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])

fee: public(uint256)
refuses: public(bool)
target: public(address)
data: public(Bytes[4096])
calls: public(uint256)
worked: public(bool)


@external
def mint(to: address, amount: uint256):
    self.balanceOf[to] += amount


@external
def approve(spender: address, amount: uint256) -> bool:
    self.allowance[msg.sender][spender] = amount
    return True


@external
def take_fee(fee: uint256):
    self.fee = fee


@external
def refuse(refuses: bool):
    self.refuses = refuses


@external
def call_back(target: address, data: Bytes[4096]):
    self.target = target
    self.data = data


@external
def transfer(to: address, amount: uint256) -> bool:
    return self._move(msg.sender, to, amount)


@external
def transferFrom(sender: address, to: address, amount: uint256) -> bool:
    self.allowance[sender][msg.sender] -= amount
    return self._move(sender, to, amount)


@internal
def _move(sender: address, to: address, amount: uint256) -> bool:
    if self.target != empty(address):
        self.calls += 1
        self.worked = raw_call(self.target, self.data, revert_on_failure=False)
    if self.refuses:
        return False
    self.balanceOf[sender] -= amount
    self.balanceOf[to] += amount - self.fee
    return True
