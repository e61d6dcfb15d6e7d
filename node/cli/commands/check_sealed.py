"""job check of a sealed spec: seconds here, cost in privacy, accuracy to expect."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from node.console.failure import Failure
from node.control.codes import Exit

if TYPE_CHECKING:
    from node.work.dry_run import DryRun
    from protocol.spec.toml import Draft


@dataclass(frozen=True, slots=True)
class Asked:
    """What a dry run is to use: rows to train on (None: no dry run), rows to measure on (None: some
    of these), and rows of an owner (None: as many as there are)."""

    rows: Path | None
    held_out: Path | None
    rows_per_owner: int | None


def asked(
    sealed: bool, holdout: Path | None, dry_run: Path | None, rows_per_owner: int | None
) -> Asked:
    """The options, checked together. Raises Failure if they ask for what cannot be done."""
    if not sealed and (dry_run is not None or rows_per_owner is not None):
        field = "dry_run" if dry_run is not None else "rows_per_owner"
        raise Failure(Exit.USAGE, "the job is open; dry runs are of sealed jobs", field=field)
    rows, held_out = (holdout, None) if dry_run is None else (dry_run, holdout)
    if sealed and rows is None and rows_per_owner is not None:
        text = "rows_per_owner: there are no rows to share out; give some with --dry-run FILE"
        raise Failure(Exit.USAGE, text, field="rows_per_owner")
    return Asked(rows, held_out, rows_per_owner)


def facts(draft: Draft, given: Asked, packages: Path) -> dict[str, Any]:
    """All of it as JSON; `packages`: this home's blobs, where the job's encoder is if it has one.
    Raises SpecError (epsilon), InputError (a file that does not fit)."""
    from node.workers.worker import THREAD_VARIABLES

    # numpy reads these when it is first imported. Its threads get into each other's way, and into
    # that of the owners' daemons that may share the machine.
    for name in THREAD_VARIABLES:
        os.environ.setdefault(name, "1")
    terms, privacy = draft.terms, draft.terms.privacy
    noise = _multiplier(draft)
    found = None if given.rows is None else _dry_run(draft, given.rows, given, noise, packages)
    return {
        "layout": _layout(draft),
        "seconds": _seconds(draft),
        "precision": _precision(draft),
        "privacy": None
        if noise is None
        else {
            "epsilon": privacy.epsilon,
            "delta": privacy.delta,
            "multiplier": noise,
            "charges": terms.charged_rounds,
        },
        "dry_run": None if found is None else dataclasses.asdict(found),
    }


def warnings(dry_run: dict[str, Any]) -> Iterator[str]:
    """Warnings about a dry run, beside its numbers."""
    if count := dry_run["clipped_weights"]:
        yield (
            f"{count} weights did not fit model.weight_limit in the dry run, and were cut to it; a "
            "larger one makes steps between weights larger"
        )
    if count := dry_run["clipped_offsets"]:
        yield (
            f"{count} numbers of an owner's step did not fit the range that model.weight_limit "
            "leaves in the dry run, and were cut to it; raise model.weight_limit"
        )
    if dry_run["repeated"]:
        yield (
            "the dry run drew rows more than once, to give every owner "
            f"{dry_run['rows_per_owner']}: other rows would teach more"
        )


def _multiplier(draft: Draft) -> float | None:
    """The multiplier of every owner's noise. Raises SpecError for an epsilon too small to show."""
    from protocol.arith.noise.accountant import multiplier
    from protocol.errors import InputError
    from protocol.spec.read import Problem, SpecError

    privacy = draft.terms.privacy
    if privacy.epsilon is None:
        return None
    try:
        return multiplier(privacy.epsilon, privacy.delta, 1.0, draft.terms.charged_rounds)
    except InputError as error:
        field = "privacy.epsilon"
        raise SpecError((Problem(field, str(error).removeprefix(f"{field}: ")),)) from error


def _dry_run(draft: Draft, path: Path, given: Asked, noise: float | None, packages: Path) -> DryRun:
    from node.work.dry_run import dry_run, read_rows
    from node.work.embedding import Encoders

    terms, encoders = draft.terms, Encoders(packages)
    rows = read_rows(path, terms, encoders)
    held_out = None if given.held_out is None else read_rows(given.held_out, terms, encoders)
    return dry_run(
        draft,
        rows,
        multiplier=noise,
        held_out=held_out,
        rows_per_owner=given.rows_per_owner,
    )


def _layout(draft: Draft) -> dict[str, Any]:
    from protocol.cost.sealed import layout_of

    layout, model = layout_of(draft.terms), draft.terms.model
    return {
        "map": model.map.value,
        "features": layout.features,
        "outputs": layout.outputs,
        "model_ciphertexts": layout.model_ciphertexts,
        "model_bytes": layout.model_bytes,
        "outputs_per_ciphertext": layout.per_group,
        "reply_ciphertexts": layout.reply_ciphertexts,
        "rows_per_ciphertext": layout.rows_per_reply,
    }


def _seconds(draft: Draft) -> dict[str, Any]:
    """Measured here and now; of statistics and secrets, which are small, by the estimate."""
    from node.workers.pace import measure_pace
    from protocol.cost.estimate import rebuilding_seconds, secrets_seconds
    from protocol.cost.sealed import layout_of, owner_seconds, requester_seconds, statistics_seconds

    terms = draft.terms
    started = time.monotonic()
    pace = measure_pace(terms.encryption.key_bits, layout_of(terms).model_ciphertexts)
    measured = time.monotonic() - started
    owner, requester = owner_seconds(terms, pace), requester_seconds(terms, pace)
    owner = dataclasses.replace(owner, masks=owner.masks + secrets_seconds(terms))
    requester = dataclasses.replace(requester, unmask=requester.unmask + rebuilding_seconds(terms))
    rows = terms.training.batch_rows
    return {
        "measuring": measured,
        "pace": dataclasses.asdict(pace),
        "owner": dataclasses.asdict(owner)
        | {"pool_empty": owner.pool_empty, "pool_full": owner.pool_full},
        "requester": dataclasses.asdict(requester) | {"total": requester.total},
        "statistics": statistics_seconds(terms, rows),
        "statistics_rows": rows,
    }


def _precision(draft: Draft) -> dict[str, float]:
    """The derived bounds for whatever weights: a step between two weights, the most that one number
    of the owners' mean move is off, and that a round adds to what a score is off."""
    from protocol.arith.sealed.affine import error_bound
    from protocol.cost.sealed import layout_of

    layout, limit = layout_of(draft.terms), draft.terms.model.weight_limit
    bound = error_bound(layout, limit)
    return {
        "weight_limit": limit,
        "weight_step": limit / layout.weight_max,
        "move_error": bound.move,
        "score_error": bound.weights,
    }
