"""How numbers lie in bytes: lanes and words, a sealed model's ciphertexts, noise's scale.

Whole numbers only, computed from a spec's terms: both sides of a job must come to the same ones.
It imports `errors` and `params` alone; specs, costs and arith/ stand on it.
"""
