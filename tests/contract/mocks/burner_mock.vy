# pragma version 0.4.3
"""
@title A contract account that uses much gas when it is paid
"""


burnt: uint256


@external
@payable
def __default__():
    for i: uint256 in range(200):
        self.burnt = convert(keccak256(convert(self.burnt, bytes32)), uint256)
