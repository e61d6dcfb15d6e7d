"""data, policy and privacy: an owner's data sets, their use, and what was told of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from node.cli import policy_views, views
from node.cli.commands.datasets import read_map
from node.cli.commands.statements import PasswordFile, Sql, Url, statement
from node.cli.options import (
    Dataset,
    DecimalMark,
    Encoding,
    Header,
    Here,
    Images,
    Job,
    Names,
    Separator,
    reading_options,
)
from node.console.failure import Failure
from node.control.codes import Exit


def data_add(
    name: Annotated[str, Parameter(help="What to call it here: a-z, 0-9, dot, dash, underscore.")],
    file: Annotated[
        Path | None, Parameter(help="CSV, TSV (.gz, .zst), Excel, Parquet, Arrow or .npz.")
    ] = None,
    *,
    separator: Separator = None,
    decimal: DecimalMark = None,
    encoding: Encoding = None,
    header: Header = None,
    names: Names = None,
    images: Images = None,
    other_people: Annotated[
        list[str] | None,
        Parameter(help="A dataset of other people, however alike the rows are; may stand often."),
    ] = None,
    map_: Annotated[
        Path | None, Parameter(name="--map", help="Its column map; see `assay data map`.")
    ] = None,
    holdout: Annotated[
        bool,
        Parameter(negative="", help="A hold-out: it measures your jobs, and none trains on it."),
    ] = False,
    sql: Sql = None,
    url: Url = None,
    password_file: PasswordFile = None,
    session: Here,
) -> int:
    """Register a file, or the rows that a database gives now, as a dataset.

    Nothing leaves the machine; without a policy it takes no job.
    Rows that another dataset has or had make both share one privacy budget.
    How a file of text is written is seen at its header, and shown; options declare it by hand.
    A statement is run once, to read alone; its password is not kept.
    """
    written = reading_options(separator, decimal, encoding, header, names, images)
    others = None if other_people is None else list(other_people)
    more = {
        "other_people": others,
        "columns": None if map_ is None else read_map(map_),
        "holdout": holdout or None,
    }
    given: dict[str, object] = {k: value for k, value in more.items() if value is not None}
    of_file = file is not None or bool(written)
    query = statement("data add", sql, url, password_file, of_file)
    if query is not None:
        method, asked = "data.add_sql", {"name": name} | query | given
    elif file is None:
        text = "give a file, or --sql and --url"
        raise Failure(Exit.USAGE, text, next_="assay data add NAME FILE", field="file")
    else:
        method, asked = "data.add", {"name": name, "path": str(file.absolute())} | written | given
    added = session.call_watched(method, asked, "data.reading")
    session.emit(added, views.dataset(added))
    return Exit.OK


def data_list(*, session: Here) -> int:
    """Datasets of this home, with what was spent of their privacy."""
    found = session.call("data.list")
    session.emit(found, views.datasets(found))
    return Exit.OK


def policy_show(dataset: Dataset, *, session: Here) -> int:
    """What a dataset may be used for, term by term, with what each term allows."""
    found = session.call("policy.show", {"dataset": dataset})
    session.emit(found, policy_views.policy(found, session.tokens))
    return Exit.OK


def policy_set(
    dataset: Dataset,
    *terms: Annotated[str, Parameter(help="TERM=VALUE; `assay policy show` lists them.")],
    session: Here,
) -> int:
    """Change terms of a dataset's policy, all or none.

    A value is a number, true, false, null, a list (["a", "b"]), or text.
    Jobs that wait are looked at again at once. Jobs that run keep known, known_least and max_unpaid
    as they were taken with; a budget below what a job may come to ends its rounds here.
    """
    changes = dict(_term(text) for text in terms)
    if len(changes) != len(terms):
        raise Failure(Exit.USAGE, "a term stands twice", field="terms")
    if not changes:
        next_ = f"assay policy show {dataset}"
        raise Failure(Exit.USAGE, "give at least one TERM=VALUE", next_=next_, field="terms")
    found = session.call("policy.set", {"dataset": dataset, "changes": changes})
    session.emit(
        found, [*policy_views.policy(found, session.tokens), *policy_views.running_jobs(found)]
    )
    return Exit.OK


def policy_explain(
    job: Job,
    *,
    session: Here,
    data: Annotated[
        str | None, Parameter(name="--data", help="One dataset; without it, all.")
    ] = None,
) -> int:
    """Every rule of your policies against a job: whether it passes, or why not.

    Looks at the data as well: how many rows the job could use, and why not the others. Nothing of
    it leaves this machine.
    """
    found = session.call("policy.explain", {"job": job, "dataset": data})
    session.emit(found, policy_views.explained(found, session.tokens))
    return Exit.OK


def privacy(
    dataset: Annotated[str | None, Parameter(help="One dataset; without it, all.")] = None,
    *,
    session: Here,
) -> int:
    """Privacy budgets of datasets: spent, reserved, left, and what each job told.

    `policy set NAME epsilon=E delta=D` sets a budget. A job without noise has no bound.
    """
    found = session.call("privacy", {"dataset": dataset})
    session.emit(found, views.privacy(found))
    return Exit.OK


def _term(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Failure(Exit.USAGE, f"{text!r} is not of the form TERM=VALUE", field="terms")
    try:
        return name.replace("-", "_"), json.loads(value)
    except ValueError:
        return name.replace("-", "_"), value
