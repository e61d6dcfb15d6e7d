"""How a job's values travel: in lanes of plaintexts or in words, under which key, in which shape.

`envelope` answers for a spec; `lanes` fills plaintexts, `sealed` those of sealed models. It imports
numbers/, paillier/, secagg/ and learning/'s models. `kernels` and sealed/ stand on it.
"""
