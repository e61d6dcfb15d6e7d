"""Secure aggregation inside a block (Bonawitz et al., CCS 2017): masks, and the shares behind them.

Masks cancel in a block's sum alone. It imports numbers/, and no other room of
arith/.
"""
