"""What noisy jobs cost a data set: plans, reservations, charges, draws kept to be repeated.

Nothing leaves before it is charged. It imports store/, engine/'s services, protocol's policies and
arith/noise's accountant, which runs in workers/. Jobs and performers ask it before they draw.
"""
