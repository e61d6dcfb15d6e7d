"""A statement's rows as a table. Runs in workers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import numpy as np

from node.data.frames import frame_table
from node.data.limits import check_names, check_size
from node.data.sql import postgres, sqlite
from node.data.sql.query import RESULT, Query
from node.data.table import Table
from protocol import params
from protocol.errors import InputError


def read_query(query: Query, password: str, tell: Callable[[int], None] = lambda _: None) -> Table:
    """The table that `query` gives. Limits hold batch by batch; `tell` gets the rows so far.

    Raises `InputError`: what is wrong with the database or the statement; no rows, more than are
    allowed; columns without a name or of one name.
    """
    import polars as pl

    source = sqlite.batches(query) if query.file else postgres.batches(query, password)
    frames: list[pl.DataFrame] = []
    names: list[str] = []
    rows = size = 0
    with closing(source):
        for names, frame in source:
            if not frames:
                check_names(RESULT, names)
            rows, size = rows + frame.height, size + int(frame.estimated_size())
            check_size(RESULT, rows, len(names))
            if size > params.MAX_DATASET_FILE_BYTES:
                raise InputError(
                    f"{RESULT} has more than the {params.MAX_DATASET_FILE_BYTES} bytes that are "
                    "allowed; select fewer columns or rows",
                    "sql",
                )
            frames.append(frame)
            tell(rows)
    if not rows:
        raise InputError(f"{RESULT} has no rows", "sql")
    whole = pl.concat([frame for frame in frames if frame.height], rechunk=True)
    whole.columns = names
    return frame_table(RESULT, "row", whole, np.arange(1, rows + 1, dtype=np.int64))
