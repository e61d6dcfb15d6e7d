"""Sealed models: owners train weights that they cannot read.

Noised statistics become one affine map (`statistics`, `affine`), which multiplies ciphertexts
(`matvec`, `ciphertexts`). It imports every other room of arith/, and none of them
imports it.
"""
