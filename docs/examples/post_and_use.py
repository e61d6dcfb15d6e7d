"""Post a job, wait until it is over, and use its model on rows of one's own.

    python docs/examples/post_and_use.py SPEC.toml HOLDOUT.csv

A daemon must run (`assay up`); its home is $ASSAY_HOME, or the user's. Posting spends the bounty
that the spec names. The spec's features must be numbers, and its model softmax.
"""

import sys
from pathlib import Path

import numpy as np
import polars as pl

from node.client import connect

spec, holdout = Path(sys.argv[1]), Path(sys.argv[2])
node = connect()

quote = node.quote(spec)
if quote["problem"]:
    sys.exit(f"it cannot be posted: {quote['problem']}")
job = node.post(spec, holdout=holdout)
print(job.wait())
print(job.rounds().select("number", "contributors", "accuracy", "gas"))

model, rows = job.model(), pl.read_csv(holdout)
inputs = np.stack(
    [
        np.clip((rows[str(column)].to_numpy() - low) / (high - low), 0, 1)
        for column, low, high in zip(model["columns"], model["low"], model["high"], strict=True)
    ],
    axis=1,
)
scores = inputs @ model["layer0_weights"] + model["layer0_bias"]
predicted = np.array(model.classes)[scores.argmax(axis=1)]
print("the first rows are predicted as", *predicted[:10])
