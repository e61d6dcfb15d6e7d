"""job check: what a job would cost and do, before anything is posted.

A daemon is asked for one thing, where one runs: how many known cards meet the spec.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from node.cli import check_views
from node.cli.commands import check_sealed
from node.cli.money_views import HOLDOUT_IDLE
from node.cli.options import File, Here, NoNoise, Spec, holdout_file, read_spec
from node.console.client import NoDaemon
from node.console.failure import Failure
from node.console.standing import SEALED_NO_NOISE
from node.control.codes import Exit

if TYPE_CHECKING:
    from node.console.session import Session
    from protocol.cost.estimate import Estimate
    from protocol.spec.job import Terms
    from protocol.spec.toml import Draft

#: The slowest pace that is believed, seconds between blocks.
_MAX_BLOCK_SECONDS: Final = 3600.0


def job_check(
    spec: Spec,
    *,
    session: Here,
    holdout: Annotated[
        str | None,
        Parameter(
            help="As for `job post`. A sealed job's dry run measures on it, if it is a file."
        ),
    ] = None,
    dry_run: Annotated[
        File | None,
        Parameter(help="Sealed jobs: rows of yours to simulate owners with; default: --holdout's."),
    ] = None,
    rows_per_owner: Annotated[
        int | None,
        Parameter(help="Rows of each simulated owner; default: what there is, shared out."),
    ] = None,
    no_noise: NoNoise = False,
    block_seconds: Annotated[float, Parameter(help="Seconds between chain blocks.")] = 12.0,
) -> int:
    """Check a spec and say what the job would cost and do; nothing is sent, no daemon is needed.
    Where one runs, it says how many known cards of datasets meet the spec and its price.

    Names every problem with its field, and then ends with exit code 2. Sizes and money are exact
    for the largest cohort, seconds are rough: of one core at 2.5 GHz.

    Of a sealed job seconds are measured here and now. With rows to try it on (CSV, Parquet, .npz),
    all of its rounds are run in the clear, with the noise and the rounding that owners will have:
    that says what accuracy to expect, and what noise costs of it.
    """
    if not (math.isfinite(block_seconds) and 0 < block_seconds <= _MAX_BLOCK_SECONDS):
        text = f"is {block_seconds:g}; allowed is above 0, up to {_MAX_BLOCK_SECONDS:g}"
        raise Failure(Exit.USAGE, f"block_seconds: {text}", field="block_seconds")
    text, held_out = read_spec(spec), holdout_file(holdout)
    from protocol.cost.estimate import estimate
    from protocol.spec.read import SpecError
    from protocol.spec.toml import parse_toml
    from protocol.tokens import NO_TOKENS

    try:
        tokens = session.tokens or NO_TOKENS
        draft = parse_toml(text, no_noise, tokens)
        wanted = check_sealed.asked(draft.terms.privacy.sealed, held_out, dry_run, rows_per_owner)
        packages, closed = session.home.blobs, draft.terms.privacy.sealed
        sealed = check_sealed.facts(draft, wanted, packages) if closed else None
    except SpecError as error:
        return _problems(session, [dataclasses.asdict(problem) for problem in error.problems])
    found = _result(draft, estimate(draft.terms, block_seconds), block_seconds, sealed)
    if holdout is not None and (held_out is None or not held_out.is_file()):
        found["warnings"].append(
            f"--holdout {holdout!r} is no file here; as a data set's name the daemon reads it"
        )
    found["warnings"] += _holdout(draft.terms, holdout)
    found["cards"] = _ask(session, "offers.match", text, no_noise)
    found["quote"] = _quote(session, text, no_noise)
    session.emit(found, check_views.estimate(found, tokens))
    return Exit.OK


def _holdout(terms: Terms, holdout: str | None) -> list[str]:
    """What a hold-out set is for in this job, where a requester might expect something else."""
    payment = terms.payment
    if payment.measures and holdout is None:
        return [f"merit_by is {payment.merit_by}: job post needs --holdout, to measure worth on it"]
    if payment.merit and not payment.measures and holdout is not None:
        return [f"--holdout {HOLDOUT_IDLE}"]
    return []


def _ask(session: Session, method: str, text: str, no_noise: bool) -> dict[str, Any] | None:
    """What a daemon says of the spec; None where none runs."""
    try:
        said: dict[str, Any] = session.call(method, {"spec": text, "no_noise": no_noise})
    except NoDaemon:
        return None
    return said


def _quote(session: Session, text: str, no_noise: bool) -> dict[str, Any] | None:
    """What posting takes now; None without a daemon, or where its chain does not answer."""
    try:
        return _ask(session, "job.quote", text, no_noise)
    except Failure as failure:
        if failure.end is not Exit.CHAIN:
            raise
        return None


def _problems(session: Session, problems: list[dict[str, Any]]) -> int:
    session.emit({"ok": False, "problems": problems}, check_views.problems(problems))
    return Exit.USAGE


def _result(
    draft: Draft, found: Estimate, block_seconds: float, sealed: dict[str, Any] | None
) -> dict[str, Any]:
    """Everything as JSON; amounts are decimal strings, as on the control socket."""
    from protocol.cost.gas import job_gas
    from protocol.tokens import currency

    terms, gas = draft.terms, job_gas(draft.terms)
    payment, cohort, privacy = terms.payment, terms.cohort, terms.privacy
    numbers = dataclasses.asdict(found)
    numbers |= {"owner_earns": str(found.owner_earns), "escrow": str(found.escrow)}
    return {
        "ok": True,
        "problems": [],
        "warnings": list(_warnings(draft, found, block_seconds, sealed)),
        "title": terms.title,
        "purpose": terms.purpose,
        "family": terms.model.family.value,
        "sealed": privacy.sealed,
        "noisy": privacy.noisy,
        "epsilon": privacy.epsilon,
        "delta": privacy.delta,
        "noise_multiplier": _multiplier(draft, sealed),
        "dropouts": privacy.dropouts,
        "corrupt": privacy.corrupt,
        "shuffle": cohort.shuffle,
        "envelope": terms.encryption.envelope.kind,
        "proof": terms.encryption.envelope.proof,
        "rounds": terms.training.rounds,
        "min_owners": cohort.min_owners,
        "max_owners": cohort.max_owners,
        "block_size": cohort.block_size,
        "key_bits": terms.encryption.key_bits,
        "value_bits": terms.encryption.value_bits,
        "token": currency(payment.token),
        "rate": str(payment.rate),
        "merit": str(payment.merit),
        "merit_by": payment.merit_by.value,
        "block_seconds": block_seconds,
        "lifetime_seconds": draft.lifetime_seconds,
        "gaps": _gaps(terms),
        "estimate": numbers,
        "gas": {"all": gas.all, **dataclasses.asdict(gas)},
        "sealed_model": sealed,
    }


def _gaps(terms: Terms) -> list[dict[str, Any]]:
    """What becomes of gaps, rule by rule, each with the columns that have it."""
    from protocol.spec.encoder import column_rules
    from protocol.spec.gaps import GapRule, Missing

    columns: dict[GapRule, list[str]] = {}
    for name, rule in column_rules(terms.features, terms.target):
        columns.setdefault(rule, []).append(name)
    return [
        {
            "columns": names,
            "words": list(rule.words),
            "missing": rule.fill if rule.missing is Missing.FILL else rule.missing.value,
            "filled": rule.missing is Missing.FILL,
            "indicator": rule.indicator,
        }
        for rule, names in columns.items()
    ]


def _multiplier(draft: Draft, sealed: dict[str, Any] | None) -> float | None:
    """The noise multiplier that suffices whatever data set trains; None without noise. A sealed
    job's is the same for all: no row is sampled."""
    from protocol.layout.noise import multiplier_bound

    privacy = draft.terms.privacy
    if privacy.epsilon is None:
        return None
    if sealed is not None:
        multiplier: float = sealed["privacy"]["multiplier"]
        return multiplier
    return multiplier_bound(privacy.epsilon, privacy.delta, draft.terms.training.rounds)


def _warnings(
    draft: Draft, found: Estimate, block_seconds: float, sealed: dict[str, Any] | None
) -> Iterator[str]:
    from protocol.cost.weakness import weak

    terms = draft.terms
    timing = terms.timing
    computing = found.contribute_seconds
    if sealed is not None:
        computing = sealed["seconds"]["owner"]["pool_empty"]
    if not terms.privacy.noisy and sealed is not None:
        yield SEALED_NO_NOISE
    elif not terms.privacy.noisy:
        # docs/design.md, section 2: every command that shows such a job says so.
        yield (
            "no noise: masks hide each contribution within a round; over rounds nothing protects "
            "owners' gradients"
        )
    yield from weak(terms)
    if not terms.privacy.sealed:
        yield "open model: owners can read the weights"
    if sealed is not None and (run := sealed["dry_run"]) is not None:
        yield from check_sealed.warnings(run)
    if computing > timing.contribute_seconds:
        yield (
            f"timing.contribute_seconds is {timing.contribute_seconds}; an owner's computing alone "
            f"takes about {computing:.0f} s"
        )
    if timing.commit_seconds < block_seconds:
        yield (
            f"timing.commit_seconds is {timing.commit_seconds}, less than a chain block "
            f"takes ({block_seconds:g} s): commitments will be late"
        )
    if found.shortest_seconds > draft.lifetime_seconds:
        yield (
            f"the job expires after {draft.lifetime_seconds} s; with the chain's finality its "
            f"rounds take {found.shortest_seconds:.0f} s at least"
        )
