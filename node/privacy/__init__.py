"""What noisy jobs cost a data set: plans, reservations, charges, draws kept to be repeated.

Nothing leaves before it is charged. It imports store/, engine/, home/, control/'s results, and
protocol's policies; arith/noise's accountant runs in workers/. Jobs and performers ask it before
they draw.
"""
