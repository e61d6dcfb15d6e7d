"""How numbers lie in bytes: lanes and words of a batch, a sealed model's ciphertexts, noise's scale.

Whole numbers only, computed from a spec's terms: both sides of a job must come to the same ones.
It imports `errors` and `params` alone; specs, costs and arith/ stand on it.
"""
