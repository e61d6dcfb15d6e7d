"""Private queries: a buyer's features under its own key, a seller's weights in the clear.

`plain` rounds both, `ask` is the buyer's side and `answer` the seller's, where scores are sold;
`label` is both sides where the class alone is (`circuit`, `garbling`, `transfer`). It imports
sealed/'s product, numbers/, paillier/ and protocol's layout. Nothing imports it yet but tests,
benchmarks and attacks.
"""
