"""The ground floor: numpy and gmpy2 kernels that worker processes run. Pure, like all of protocol/.

`kernels` is the entrance; docs/spec/arithmetic.md says what the bytes mean.
"""
