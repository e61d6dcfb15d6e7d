"""Where a job stands, and what it does not protect, in the words that every view of it uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import TypeAlias

    from node.control import shapes

    Noisy: TypeAlias = shapes.JobSummary | shapes.Posted | shapes.Consent

#: docs/design.md, section 2: masks protect within a round; over rounds, an owner's own noise does.
NO_NOISE: Final = "no noise: masks hide each batch within a round, nothing protects over rounds"

#: Without noise an owner's matrix is its data, and crafted weights read it (docs/design.md, 6).
SEALED_NO_NOISE: Final = (
    "no noise, the spy defence is off: weights made for it read owners' rows out of the sums; only "
    "owners whose policy names this requester in `trusted` take the job"
)


def state(job: shapes.JobSummary) -> str:
    """Where a job stands; one that ended before its last round is never just `finished`."""
    if not job["early"]:
        return str(job["state"])
    return "ended early" if job["state"] == "finished" else f"{job['state']}, ended early"


def noise_warning(job: Noisy) -> list[str]:
    """docs/design.md, section 2: every command that shows a job without noise says so."""
    text = no_noise(job)
    return [f"warning: {text}"] if text else []


def no_noise(job: Noisy) -> str:
    """What a job without noise does not protect; empty for others."""
    if job["noisy"]:
        return ""
    return SEALED_NO_NOISE if job["sealed"] else NO_NOISE


def fit_of_rows(fits: Sequence[shapes.RowsFit]) -> list[str]:
    """How many rows a job can use, for its owner: only what is not plain."""
    return [
        f"{f['dataset']}: {f['why']}" if f["usable"] else _none(f)
        for f in fits
        if f["usable"] < f["rows"] or not f["rows"]
    ]


def _none(f: shapes.RowsFit) -> str:
    return f"{f['dataset']}: no row can be used: {f['why']}"
