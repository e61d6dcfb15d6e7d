"""What noisy jobs cost a data set: plans, reservations, charges, draws kept to be repeated.

Nothing leaves before it is charged. It imports store/ and protocol/, and asks workers/ for
computations; jobs and performers ask it before anything is drawn.
"""
