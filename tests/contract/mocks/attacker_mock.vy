# pragma version 0.4.3
"""
@title A contract account that calls back when it is paid, or refuses to be paid
"""


target: public(address)
data: public(Bytes[8192])
calls: public(uint256)
worked: public(bool)
refuses: public(bool)
burns: public(bool)


@external
@payable
def __default__():
    assert not self.refuses, "attacker: no thanks"
    if self.burns:
        for i: uint256 in range(1000000):
            self.calls += 1
    if self.target != empty(address):
        self.calls += 1
        self.worked = raw_call(self.target, self.data, revert_on_failure=False)


@external
def call_back(target: address, data: Bytes[8192]):
    self.target = target
    self.data = data


@external
def refuse(refuses: bool):
    self.refuses = refuses


@external
def burn(burns: bool):
    self.burns = burns


@external
@payable
def act(target: address, data: Bytes[8192]):
    raw_call(target, data, value=msg.value)
