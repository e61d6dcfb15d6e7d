"""The ground floor: numpy and gmpy2 kernels that worker processes run. Pure, like all of protocol/.

`kernels` is the entrance; docs/spec/arithmetic.md says what the bytes mean. Beside its own rooms it
imports protocol's `errors`, `params` and layout/ alone, so that it knows no spec and no machine.
"""
