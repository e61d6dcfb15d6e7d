"""Contributions that prove their norm: shares of a vector, and a fully linear proof on them.

`prove` deals a vector to a block, `verify` checks what was dealt and decides, `sums` adds and
opens. docs/spec/proofs.md states all of it, docs/spec/round.md how rounds use it. It imports
numbers/, and no other room of arith/.
"""
