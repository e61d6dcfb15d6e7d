"""What all of arith/ computes with: randomness from outside, fixed point, vectors, a batch's shape.

Nothing here knows a key or a model. It imports protocol's `errors` and `params`, and no other room:
every room of arith/ stands on it.
"""
