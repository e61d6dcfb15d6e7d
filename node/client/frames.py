"""Results as polars frames: a row each, columns by the names that the control socket has.

Amounts are whole numbers of the currency's smallest unit (Int128: wei pass what 64 bits hold;
UInt128 where one passes that, too, as anybody's job in anybody's token may), times are datetimes in
UTC, the year 9999 at most, ids and digests text. Columns are there when rows are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

if TYPE_CHECKING:
    import polars as pl

    from node.control import shapes

#: What a column holds.
_Kind: TypeAlias = Literal["text", "texts", "flag", "whole", "real", "amount", "time"]
_Schema: TypeAlias = Mapping[str, _Kind]

#: The last second of a Python datetime, Unix seconds: a job may expire much later.
_LAST: Final = 253_402_300_799

_JOBS: Final[_Schema] = {
    "job": "text",
    "title": "text",
    "role": "text",
    "state": "text",
    "reason": "text",
    "early": "flag",
    "requester": "text",
    "sealed": "flag",
    "noisy": "flag",
    "round": "whole",
    "rounds": "whole",
    "enrolled": "whole",
    "token": "text",
    "rate": "amount",
    "merit": "amount",
    "expires_at": "time",
    "dataset": "text",
}

_ROUNDS: Final[_Schema] = {
    "number": "whole",
    "attempt": "whole",
    "phase": "text",
    "contributors": "whole",
    "blocks": "whole",
    "closed": "whole",
    "model": "text",
    "accuracy": "real",
    "loss": "real",
    "auc": "real",
    "r_squared": "real",
    "rmse": "real",
    "transaction": "text",
    "gas": "whole",
    "bytes": "whole",
    "seconds": "real",
}

_MEMBERS: Final[_Schema] = {
    "account": "text",
    "peer_id": "text",
    "block": "whole",
    "part": "text",
    "refusal": "text",
    "withheld": "flag",
    "owes": "whole",
    "cheated": "whole",
    "contributions": "whole",
    "bytes": "whole",
    "rate": "amount",
    "merit": "amount",
    "claimed": "amount",
}

_EARNINGS: Final[_Schema] = {
    "job": "text",
    "title": "text",
    "requester": "text",
    "round": "whole",
    "block": "whole",
    "batch": "text",
    "bytes": "whole",
    "epsilon": "real",
    "account": "text",
    "token": "text",
    "due": "amount",
    "paid": "amount",
    "transaction": "text",
}

_DATASETS: Final[_Schema] = {
    "name": "text",
    "path": "text",
    "rows": "whole",
    "column_count": "whole",
    "columns": "texts",
    "bytes": "whole",
    "digest": "text",
    "added_at": "time",
    "decided": "flag",
    "jobs": "whole",
    "epsilon_spent": "real",
    "same": "texts",
    "holdout": "flag",
}

_PRIVACY: Final[_Schema] = {
    "dataset": "text",
    "epsilon": "real",
    "delta": "real",
    "spent": "real",
    "reserved": "real",
    "left": "real",
    "bounded": "flag",
    "no_noise_joined": "whole",
    "no_noise_jobs": "whole",
}


def jobs(found: Sequence[shapes.JobSummary]) -> pl.DataFrame:
    """A row for each job, newest first."""
    return _frame(found, _JOBS)


def rounds(found: Sequence[shapes.Round]) -> pl.DataFrame:
    """A row for each round. `seconds` is of all its phases."""
    rows = [{**each, "seconds": sum(each["seconds"].values())} for each in found]
    return _frame(rows, _ROUNDS)


def members(found: Sequence[shapes.Member]) -> pl.DataFrame:
    """A row for each enrolled owner."""
    return _frame(found, _MEMBERS)


def earnings(found: shapes.Earnings) -> pl.DataFrame:
    """A row for each paid round and each job's merit."""
    return _frame(found["lines"], _EARNINGS)


def datasets(found: Sequence[shapes.Dataset]) -> pl.DataFrame:
    """A row for each data set."""
    return _frame(found, _DATASETS)


def privacy(found: Sequence[shapes.Privacy]) -> pl.DataFrame:
    """A row for each data set's budget."""
    return _frame(found, _PRIVACY)


def _frame(found: Sequence[Mapping[str, Any]], schema: _Schema) -> pl.DataFrame:
    # Late: a program that asks for no table waits for no polars, and starts none of its threads.
    import polars as pl

    kinds = {
        "text": pl.String(),
        "texts": pl.List(pl.String),
        "flag": pl.Boolean(),
        "whole": pl.Int64(),
        "real": pl.Float64(),
        "amount": pl.Int128(),
        "time": pl.Datetime("ms", "UTC"),
    }
    columns = {}
    for name, kind in schema.items():
        values = [row[name] for row in found]
        if kind == "amount":
            values = [None if value is None else int(value) for value in values]
            wide = any(value is not None and value >> 127 for value in values)
            columns[name] = pl.Series(name, values, dtype=pl.UInt128() if wide else kinds[kind])
            continue
        if kind == "time":
            values = [
                None if value is None else round(min(value, _LAST) * 1000) for value in values
            ]
        columns[name] = pl.Series(name, values, dtype=kinds[kind])
    return pl.DataFrame(columns)
