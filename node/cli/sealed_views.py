"""`assay job check` for people: the additional tables of a sealed job.

They show the JSON that the command made (node.cli.commands.check_sealed).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from node.console.amounts import brief, size
from node.console.show import Part, Table

#: What the command made: no control method answers it, so that it has no declared type.
Result: TypeAlias = Mapping[str, Any]

_HEADINGS = ("what", "value", "how")


def parts(c: Result) -> list[Part]:
    """The tables of a sealed job: seconds, precision and privacy, accuracy to expect."""
    return [_seconds(c), _exactness(c), *_accuracy(c)]


def model_row(s: Result) -> tuple[str, str, str]:
    """What owners fetch instead of weights."""
    layout = s["layout"]
    held = f"{layout['outputs_per_ciphertext']} of {layout['outputs']} outputs in each"
    return (
        "sealed model",
        size(layout["model_bytes"]),
        f"{_count(layout['model_ciphertexts'])}, {held}; every owner fetches it each round",
    )


def _count(ciphertexts: int) -> str:
    return "1 ciphertext" if ciphertexts == 1 else f"{ciphertexts} ciphertexts"


def _seconds(c: Result) -> Table:
    s = c["sealed_model"]["seconds"]
    layout = c["sealed_model"]["layout"]
    owner, requester, replies = s["owner"], s["requester"], layout["reply_ciphertexts"]
    columns = f"{layout['features']} x {layout['features']}"
    rows = [
        ("an owner, pool full", brief(owner["pool_full"]), "a round, blinders made ahead"),
        ("an owner, pool empty", brief(owner["pool_empty"]), "a round, nothing made ahead"),
        (
            "  the product",
            brief(owner["product"]),
            f"{columns} numbers times {_count(layout['model_ciphertexts'])}, packed again",
        ),
        (
            "  blinders",
            brief(owner["blinders"]),
            f"{replies} of full range: a pool makes them while a node waits",
        ),
        (
            "  all else",
            brief(owner["check"] + owner["masks"] + owner["close"]),
            "ciphertexts checked, masks, secrets",
        ),
        (
            "its statistics",
            brief(s["statistics"]),
            f"once a job, about: of {s['statistics_rows']} rows",
        ),
        ("the requester", brief(requester["total"]), "a round"),
        (
            "  encrypts",
            brief(requester["encrypt"]),
            f"the model, {_count(layout['model_ciphertexts'])}",
        ),
        ("  decrypts", brief(requester["decrypt"]), f"{_count(replies)} a block"),
        ("  all else", brief(requester["add"] + requester["unmask"]), "adds, unmasks"),
    ]
    title = f"seconds on one core of this machine, measured now (it took {brief(s['measuring'])})"
    return Table(_HEADINGS, rows, title=title)


def _exactness(c: Result) -> Table:
    """How exact replies are, and what they cost in privacy."""
    precision, privacy = c["sealed_model"]["precision"], c["sealed_model"]["privacy"]
    run, rounds = c["sealed_model"]["dry_run"], c["rounds"]
    rows = [
        (
            "weights",
            f"steps of {precision['weight_step']:.2g}",
            f"from -{precision['weight_limit']:g} to {precision['weight_limit']:g}",
        ),
        (
            "a move's error",
            f"below {precision['move_error']:.2g}",
            "of one weight in a round, even if all weights stood at the limit",
        ),
        (
            "a score's error",
            f"below {precision['score_error']:.2g}",
            "that a round adds, even then",
        ),
    ]
    if run is not None:
        bound = run["score_bound"]
        rows.append(
            (
                "  in the dry run",
                f"{run['score_error']:.2g}",
                f"the most that was seen, after all {rounds} rounds"
                + ("" if bound is None else f"; the bound for its weights is {bound:.2g}"),
            )
        )
    if privacy is None:
        rows.append(("privacy charge", "none", "no noise: no bound on what sums tell of one row"))
    else:
        charge = f"epsilon {privacy['epsilon']:g}, delta {privacy['delta']:g}"
        covers = f"once a data set, for all {rounds} rounds together, whatever the weights"
        rows.append(("privacy charge", charge, covers))
    return Table(_HEADINGS, rows, title="precision and privacy")


def _accuracy(c: Result) -> list[Part]:
    run = c["sealed_model"]["dry_run"]
    if run is None:
        return [
            "",
            "accuracy: cannot be told without data. With rows of yours, of the spec's columns, it "
            "can: assay job check SPEC --dry-run FILE",
        ]
    with_noise = f"with epsilon {c['epsilon']:g}" if c["noisy"] else ""
    rows = [
        (label, f"{found['median']:.3f}", f"{found['low']:.3f} to {found['high']:.3f}")
        for label, found in ((with_noise, run["noisy"]), ("without noise", run["exact"]))
        if found is not None
    ]
    source = "drawn more than once, " if run["repeated"] else ""
    title = (
        f"{run['measure']} to expect: {run['owners']} owners of {run['rows_per_owner']} rows each, "
        f"{source}{run['held_out']} rows held out, all {c['rounds']} rounds, "
        f"{run['repetitions']} times in {brief(run['seconds'])}"
    )
    return [Table(("", "median", "lowest to highest"), rows, title=title)]
