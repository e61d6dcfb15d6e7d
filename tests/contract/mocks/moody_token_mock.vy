# pragma version 0.4.3
"""
@title A token that can be told to misbehave in each way that a test knows
@notice Its mood: 0 honest, 1 says false, 2 lies that it moved something, 3
        burns all gas, 4 calls back in the middle, 5 takes a fee, 6 reverts.
        `rebase` takes from a balance.
"""


balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])

mood: public(uint256)
target: public(address)
data: public(Bytes[512])
calls: public(uint256)
worked: public(uint256)


@external
def mint(to: address, amount: uint256):
    self.balanceOf[to] += amount


@external
def rebase(of: address, amount: uint256):
    self.balanceOf[of] -= amount


@external
def set_mood(mood: uint256, target: address, data: Bytes[512]):
    self.mood = mood
    self.target = target
    self.data = data


@external
def approve(spender: address, amount: uint256) -> bool:
    self.allowance[msg.sender][spender] = amount
    return True


@external
def transfer(to: address, amount: uint256) -> bool:
    return self._move(msg.sender, to, amount)


@external
def transferFrom(sender: address, to: address, amount: uint256) -> bool:
    self.allowance[sender][msg.sender] -= amount
    return self._move(sender, to, amount)


@internal
def _move(sender: address, to: address, amount: uint256) -> bool:
    if self.mood == 1:
        return False
    if self.mood == 2:
        return True
    if self.mood == 3:
        for i: uint256 in range(100000000):
            self.calls += 1
    if self.mood == 4:
        self.calls += 1
        if raw_call(self.target, self.data, revert_on_failure=False):
            self.worked += 1
    assert self.mood != 6, "token: no"
    self.balanceOf[sender] -= amount
    fee: uint256 = 0
    if self.mood == 5:
        fee = min(amount, 1)
    self.balanceOf[to] += amount - fee
    return True
