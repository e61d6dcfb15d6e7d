"""job check: what a job would cost and do, before anything is posted. No daemon is asked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from node.cli import check_views
from node.cli.failure import Failure
from node.cli.options import Here, Spec, read_spec
from node.control.codes import Exit

if TYPE_CHECKING:
    from protocol.estimate import Estimate
    from protocol.spec_toml import Draft

#: The slowest pace that is believed, seconds between blocks.
_MAX_BLOCK_SECONDS: Final = 3600.0


def job_check(
    spec: Spec,
    *,
    session: Here,
    holdout: Annotated[
        str | None, Parameter(help="As for `job post`; nothing here depends on it.")
    ] = None,
    block_seconds: Annotated[float, Parameter(help="Seconds between the chain's blocks.")] = 12.0,
) -> int:
    """Check a spec and say what the job would cost and do; nothing is sent, no daemon is needed.

    Names every problem with its field, and then ends with exit code 2. Sizes and money are exact
    for the largest cohort, seconds are rough: of one core at 2.5 GHz.
    """
    if not (math.isfinite(block_seconds) and 0 < block_seconds <= _MAX_BLOCK_SECONDS):
        text = f"is {block_seconds:g}; allowed is above 0, up to {_MAX_BLOCK_SECONDS:g}"
        raise Failure(Exit.USAGE, f"block_seconds: {text}", field="block_seconds")
    text = read_spec(spec)
    from protocol.estimate import estimate
    from protocol.spec_read import SpecError
    from protocol.spec_toml import parse_toml

    try:
        draft = parse_toml(text)
    except SpecError as error:
        problems = [dataclasses.asdict(problem) for problem in error.problems]
        session.emit({"ok": False, "problems": problems}, check_views.problems(problems))
        return Exit.USAGE
    found = _result(draft, estimate(draft.terms, block_seconds), block_seconds)
    session.emit(found, check_views.estimate(found))
    return Exit.OK


def _result(draft: Draft, found: Estimate, block_seconds: float) -> dict[str, Any]:
    """Everything as JSON; amounts are decimal strings, as on the control socket."""
    from protocol.addresses import to_checksum
    from protocol.spec import ETHER

    terms = draft.terms
    payment, cohort, privacy = terms.payment, terms.cohort, terms.privacy
    numbers = dataclasses.asdict(found)
    numbers |= {"owner_earns": str(found.owner_earns), "escrow": str(found.escrow)}
    return {
        "ok": True,
        "problems": [],
        "warnings": list(_warnings(draft, found, block_seconds)),
        "title": terms.title,
        "purpose": terms.purpose,
        "family": terms.model.family.value,
        "sealed": privacy.sealed,
        "noisy": privacy.noisy,
        "epsilon": privacy.epsilon,
        "delta": privacy.delta,
        "noise_multiplier": _multiplier(draft),
        "dropouts": privacy.dropouts,
        "corrupt": privacy.corrupt,
        "shuffle": cohort.shuffle,
        "envelope": terms.encryption.envelope.value,
        "rounds": terms.training.rounds,
        "min_owners": cohort.min_owners,
        "max_owners": cohort.max_owners,
        "block_size": cohort.block_size,
        "key_bits": terms.encryption.key_bits,
        "value_bits": terms.encryption.value_bits,
        "token": None if payment.token == ETHER else to_checksum(payment.token),
        "rate": str(payment.rate),
        "merit": str(payment.merit),
        "block_seconds": block_seconds,
        "lifetime_seconds": draft.lifetime_seconds,
        "estimate": numbers,
    }


def _multiplier(draft: Draft) -> float | None:
    """The noise multiplier that suffices whatever data set trains; None without noise."""
    from protocol.noise_scale import multiplier_bound

    privacy, rounds = draft.terms.privacy, draft.terms.charged_rounds
    if privacy.epsilon is None:
        return None
    return multiplier_bound(privacy.epsilon, privacy.delta, rounds)


def _warnings(draft: Draft, found: Estimate, block_seconds: float) -> Iterator[str]:
    terms = draft.terms
    timing = terms.timing
    if not terms.privacy.noisy:
        # The rule of DESIGN section 2: whoever sees such a job is told.
        yield (
            "no noise: masks hide each contribution within a round; over rounds nothing protects "
            "owners' gradients"
        )
    if not terms.privacy.sealed:
        yield "open model: owners can read the weights"
    if found.contribute_seconds > timing.contribute_seconds:
        yield (
            f"timing.contribute_seconds is {timing.contribute_seconds}; an owner's computing alone "
            f"takes about {found.contribute_seconds:.0f} s"
        )
    if timing.commit_seconds < block_seconds:
        yield (
            f"timing.commit_seconds is {timing.commit_seconds}, less than a block of the chain "
            f"takes ({block_seconds:g} s): commitments will be late"
        )
    if found.shortest_seconds > draft.lifetime_seconds:
        yield (
            f"the job expires after {draft.lifetime_seconds} s; with the chain's finality its "
            f"rounds take {found.shortest_seconds:.0f} s at least"
        )
