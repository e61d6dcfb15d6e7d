"""The job of a sealed head on an encoder: one round of five owners, as quick as noise allows."""

from __future__ import annotations

_SPEC = """
title = "{title}"
purpose = "research"

[target]
name = "{target}"
classes = ["no", "yes"]

[model]
family = "logistic"
bias = 0.3

[training]
rounds = 1
batch_rows = {batch}

[privacy]
sealed = true
epsilon = 8.0

[encryption]
key_bits = 2048

[cohort]
min_owners = 5
max_owners = 5
block_size = 5

[payment]
rate = "0.001 ether"

[timing]
enrol_seconds = 120
finality_blocks = 1

"""


def head_job(title: str, target: str, batch: int, encoder: str) -> str:
    """A job's file as text: whether `target` is yes; `encoder` is its part on that."""
    return _SPEC.format(title=title, target=target, batch=batch) + encoder
