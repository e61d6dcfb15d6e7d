# pragma version 0.4.3
"""
@title Refusals
@custom:contract-name refusals
@license Apache-2.0
@author The authors of assay
@notice Reverts with a reason.
@dev The compiler writes out all that `assert` needs for a reason wherever one
     stands; so many of them would not fit in a contract (EIP-170).
"""


@internal
@pure
def _refuse(reason: String[64]):
    """
    @dev Reverts.
    @param reason What the caller is told: `module: cause`.
    """
    # Always so. Venom cannot compile a function that never returns.
    assert len(reason) == 0, reason
