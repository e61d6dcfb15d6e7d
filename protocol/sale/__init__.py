"""The sale of a model's use: offers, vouchers, and what buyer and seller do about one query.

Pure, as machines are: a state is stored, and what has to be done follows from it. Answers are
computed by arith/queries, which workers run. It imports books/, layout/ and wire/.
"""
