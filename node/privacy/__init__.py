"""What noisy jobs cost a data set: plans, reservations, charges, draws kept to be repeated.

Nothing leaves before it is charged, and what holds rows of the same people is one data set. It
imports data/'s tables, store/, engine/, home/, control/'s results, and protocol's policies;
arith/noise's accountant and sketches of rows run in workers/. Jobs and performers ask it before
they draw.
"""
