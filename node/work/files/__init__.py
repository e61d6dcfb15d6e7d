"""What commands ask a worker of their own for: people's files read, and what is made of them.

A command imports `asked`, which loads neither numpy nor polars; a worker runs it. The room imports
data/, protocol/, and of work/ what makes a spec into a model. It knows no daemon and no store.
"""
