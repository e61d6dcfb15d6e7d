# pragma version 0.4.3
"""
@title A token whose `permit` is hostile, in a way that can be chosen
@notice 0: takes any signature. 1: does nothing, and says that it went well. 2:
        calls back. 3: burns all gas. 4: empties the
        spender's balance. 5: takes any signature, and a fee of each transfer.
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
def set_mood(mood: uint256, target: address, data: Bytes[512]):
    self.mood = mood
    self.target = target
    self.data = data


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
    self.calls += 1
    if self.mood == 1:
        return
    if self.mood == 2:
        if raw_call(self.target, self.data, revert_on_failure=False):
            self.worked += 1
    if self.mood == 3:
        for i: uint256 in range(100000000):
            self.calls += 1
    if self.mood == 4:
        self.balanceOf[spender] = 0
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
    fee: uint256 = 0
    if self.mood == 5:
        fee = 1
    self.balanceOf[to] += amount - fee
    return True
