"""What this home's data earned and what it told, by job, as tables.

python docs/examples/what_it_earned.py
"""

import polars as pl

from node.client import connect

node = connect()

earned = node.earnings()
print(
    earned.group_by("job", "title", "token").agg(
        pl.col("round").count().alias("rounds"),
        pl.col("due").sum(),
        pl.col("paid").sum(),
        pl.col("epsilon").last(),
    )
)
print(node.privacy().select("dataset", "spent", "reserved", "left", "epsilon", "bounded"))
