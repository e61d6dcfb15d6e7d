"""What every machine shares: its inputs, its effects, the tables of rounds and jobs, the turn.

`step(context, state, input) -> (state, effects)`; the tables alone move a phase. It imports wire/,
spec/ and the cohort's list of books/; owner/ and requester/ stand on it.
"""
