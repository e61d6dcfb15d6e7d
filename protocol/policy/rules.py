"""How a job is held against a policy: a table of rules, each with what its breach leads to.

`judge` is pure: accept (taken without asking), wait (a person may take it by hand), refuse (it
cannot work, or the owner ruled it out in so many words). `examine` says of every rule whether the
job keeps to it: what the owner sees (`assay policy explain`), and nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from protocol.addresses import to_checksum
from protocol.policy.policy import Accept, Policy
from protocol.spec.job import ETHER, JobSpec
from protocol.tokens import NO_TOKENS, Tokens


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What a dataset must show to be judged: its columns' names, and how many rows it has."""

    columns: tuple[str, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What this owner already knows.

    `account`: it would enrol with this one (empty if none is set up). `unpaid`: attempts that the
    job's requester has left unpaid, over all of its jobs. `joined`: other jobs without noise that
    the dataset has joined. `tokens`: those that it calls by name.
    """

    account: bytes = b""
    unpaid: int = 0
    joined: int = 0
    tokens: Tokens = NO_TOKENS


class Verdict(StrEnum):
    """What becomes of a job here."""

    ACCEPT = "accept"
    WAIT = "wait"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict, and every reason for it; an accepted job has none."""

    verdict: Verdict
    reasons: tuple[str, ...]


class Breach(StrEnum):
    """What a broken rule leads to: no policy could take the job; the owner's word rules it out; a
    person has to take it."""

    IMPOSSIBLE = "impossible"
    RULED_OUT = "ruled out"
    WAITS = "waits"


@dataclass(frozen=True, slots=True)
class Case:
    """A job before a dataset: all that a rule may look at."""

    policy: Policy
    spec: JobSpec
    dataset: DatasetFacts
    standing: Standing


@dataclass(frozen=True, slots=True)
class Rule:
    """`name` is the policy's term, or what of the dataset the rule is about. `breach` is what a
    broken one leads to; `broken` gives the reason, or nothing where the job keeps to it."""

    name: str
    breach: Breach
    broken: Callable[[Case], str | None]


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule held against a job; `reason` is empty where the job keeps to it."""

    rule: str
    breach: Breach
    reason: str


def judge(
    policy: Policy,
    spec: JobSpec,
    dataset: DatasetFacts,
    standing: Standing = Standing(),
) -> Decision:
    """Hold a job against a policy. A refusal gives the reasons that it rests on and no others."""
    case = Case(policy, spec, dataset, standing)
    never = _reasons(case, Breach.IMPOSSIBLE)
    if never:
        return Decision(Verdict.REFUSE, never)
    ruled_out = _reasons(case, Breach.RULED_OUT)
    if not policy.decided:
        return Decision(Verdict.WAIT, (UNDECIDED, *ruled_out))
    if ruled_out:
        return Decision(Verdict.REFUSE, ruled_out)
    doubts = _reasons(case, Breach.WAITS)
    return Decision(Verdict.WAIT, doubts) if doubts else Decision(Verdict.ACCEPT, ())


#: Why every job waits for a dataset whose policy nobody has set.
UNDECIDED: Final = "its dataset's owner has set no policy yet"


def obstacles(
    policy: Policy,
    spec: JobSpec,
    dataset: DatasetFacts,
    standing: Standing = Standing(),
) -> tuple[str, ...]:
    """Why not even a person's word takes this job: the policy or the dataset must change first.

    No noise is such a reason until the policy allows it, decided or not.
    """
    case = Case(policy, spec, dataset, standing)
    return (*_reasons(case, Breach.IMPOSSIBLE), *_reasons(case, Breach.RULED_OUT))


def impossible(
    spec: JobSpec, dataset: DatasetFacts, standing: Standing = Standing()
) -> tuple[str, ...]:
    """Why no policy could make this dataset serve the job."""
    return _reasons(Case(Policy.closed(), spec, dataset, standing), Breach.IMPOSSIBLE)


def without_noise(policy: Policy, spec: JobSpec) -> Iterator[str]:
    """Why a job that adds no noise may not see the data; nothing where it may, or adds some.

    A running job is held to this before every contribution, because an owner can take its word
    back.
    """
    case = Case(policy, spec, DatasetFacts((), 0), Standing())
    for broken in (_no_noise, _trusted, _published_sums):
        if reason := broken(case):
            yield reason


def examine(
    policy: Policy,
    spec: JobSpec,
    dataset: DatasetFacts,
    standing: Standing = Standing(),
) -> tuple[Finding, ...]:
    """Every rule, whether the job keeps to it, in the table's order."""
    case = Case(policy, spec, dataset, standing)
    return tuple(Finding(rule.name, rule.breach, rule.broken(case) or "") for rule in RULES)


def _reasons(case: Case, breach: Breach) -> tuple[str, ...]:
    found = (rule.broken(case) for rule in RULES if rule.breach is breach)
    return tuple(reason for reason in found if reason)


# --- what no policy could help


def _columns(case: Case) -> str | None:
    present = set(case.dataset.columns)
    missing = [name for name in case.spec.columns if name not in present]
    if not missing:
        return None
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    return f"the dataset has no column {', '.join(map(repr, missing[:3]))}{more}"


def _rows(case: Case) -> str | None:
    return "the dataset has no rows" if case.dataset.rows == 0 else None


def _admission(case: Case) -> str | None:
    admission = case.spec.cohort.admission
    if not admission or case.standing.account in admission:
        return None
    return f"it admits {len(admission)} accounts only, and this owner's is not one of them"


# --- what the owner's word rules out


def _never(case: Case) -> str | None:
    never = case.policy.accept is Accept.NEVER
    return "the policy takes no job (accept=never)" if never else None


def _blocked(case: Case) -> str | None:
    account = case.spec.requester.account
    blocked = account in case.policy.blocked
    return f"its requester {to_checksum(account)} is blocked" if blocked else None


def _no_noise(case: Case) -> str | None:
    if case.spec.privacy.noisy or case.policy.no_noise:
        return None
    # Masks protect within a round, noise over rounds. Only the owner can decide to go without
    # noise.
    return "it adds no noise, which the policy does not allow (no_noise=true would)"


def _trusted(case: Case) -> str | None:
    privacy, account = case.spec.privacy, case.spec.requester.account
    if privacy.noisy or not privacy.sealed or account in case.policy.trusted:
        return None
    return (
        "its model is sealed without noise: weights crafted to spy could read every row "
        f"(trusted={to_checksum(account)} would allow it)"
    )


def _published_sums(case: Case) -> str | None:
    spec = case.spec
    if spec.privacy.noisy or not spec.payment.publishes or case.policy.published_sums:
        return None
    return (
        "it adds no noise, and publishes the sums of blocks when it ends: members that put their "
        "gradients together would know the rest of their block's (published_sums=true would "
        "allow it)"
    )


def _no_noise_jobs(case: Case) -> str | None:
    joined, most = case.standing.joined, case.policy.no_noise_jobs
    if case.spec.privacy.noisy or not case.policy.no_noise or joined < most:
        return None
    if not most:
        return "it adds no noise, and the policy joins no such job (no_noise_jobs=1 would)"
    return (
        f"it adds no noise, and the dataset has joined {joined} of {most} such jobs that the "
        "policy allows in its life: sums of two could be subtracted "
        f"(no_noise_jobs={joined + 1} would allow it)"
    )


def _epsilon(case: Case) -> str | None:
    epsilon = case.spec.privacy.epsilon
    if epsilon is None or epsilon <= case.policy.epsilon:
        return None
    # The ledger knows what is left of the budget; no ledger can have this much.
    return f"it costs epsilon {epsilon:g}; the policy allows {case.policy.epsilon:g} over all jobs"


def _encoders(case: Case) -> str | None:
    encoder = case.spec.encoder
    if encoder is None or encoder.digest in case.policy.encoders:
        return None
    # A network is somebody else's program: it is not even fetched before its owner's word.
    return (
        "its features are made by an encoder that the policy does not name "
        f"(encoders={encoder.digest.hex()} would allow it)"
    )


# --- what waits for a person


def _token(case: Case) -> str | None:
    pays, asks = case.spec.payment.token, case.policy.token
    return (
        None
        if pays == asks
        else f"it pays in {_unit(case, pays)}; the policy asks for {_unit(case, asks)}"
    )


def _price(case: Case) -> str | None:
    payment, policy = case.spec.payment, case.policy
    if payment.token != policy.token or payment.rate >= policy.price_floor:
        return None
    return (
        f"it pays {case.standing.tokens.shown(payment.rate, payment.token)} a contribution; "
        f"the price floor is {case.standing.tokens.shown(policy.price_floor, policy.token)}"
    )


def _purpose(case: Case) -> str | None:
    allowed, purpose = case.policy.purposes, case.spec.purpose
    if not allowed or purpose in allowed:
        return None
    return f"its purpose is {purpose}; the policy allows {', '.join(allowed)}"


def _requester(case: Case) -> str | None:
    allowed, account = case.policy.requesters, case.spec.requester.account
    if not allowed or account in allowed:
        return None
    return f"its requester {to_checksum(account)} is not on the policy's list"


def _sealed(case: Case) -> str | None:
    if not case.spec.privacy.sealed or case.policy.sealed_models:
        return None
    return "its model is sealed; the policy asks its owner (sealed_models=true would not)"


def _open(case: Case) -> str | None:
    if case.spec.privacy.sealed or case.policy.open_models:
        return None
    return "its model is open; the policy asks its owner (open_models=true would not)"


def _min_block(case: Case) -> str | None:
    size, least = case.spec.cohort.block_size, case.policy.min_block
    return f"its blocks have {size} members; the policy asks for {least}" if size < least else None


def _known(case: Case) -> str | None:
    others, least = case.spec.cohort.largest_block - 1, case.policy.known_least
    if least <= others:
        return None
    return f"its blocks have at most {others} other members; the policy asks for {least} known ones"


def _corrupt(case: Case) -> str | None:
    bears, least = case.spec.privacy.corrupt, case.policy.corrupt_least
    if bears >= least:
        return None
    return (
        f"its blocks bear {bears} members that work for its requester (privacy.corrupt); "
        f"the policy asks for {least}"
    )


def _finality(case: Case) -> str | None:
    blocks, least = case.spec.timing.finality_blocks, case.policy.finality_least
    if blocks >= least:
        return None
    return (
        f"its commitments count under {blocks} further chain blocks (timing.finality_blocks); "
        f"the policy asks for {least}"
    )


def _rounds(case: Case) -> str | None:
    rounds, most = case.spec.training.rounds, case.policy.max_rounds
    return f"it runs {rounds} rounds; the policy allows {most}" if rounds > most else None


def _seconds(case: Case) -> str | None:
    left, least = case.spec.timing.contribute_seconds, case.policy.min_contribute_seconds
    if left >= least:
        return None
    return f"it leaves {left} s for a contribution; the policy asks for {least} s"


def _unpaid(case: Case) -> str | None:
    unpaid, most = case.standing.unpaid, case.policy.max_unpaid
    if unpaid <= most:
        return None
    return f"its requester left {unpaid} attempts unpaid; the policy allows {most}"


def _ask(case: Case) -> str | None:
    if case.policy.accept is not Accept.ASK:
        return None
    return "the policy leaves every job to its owner (accept=auto would not)"


def _unit(case: Case, token: bytes) -> str:
    known = case.standing.tokens.at(token)
    if known is not None:
        return known.name
    return "ether" if token == ETHER else f"token {to_checksum(token)}"


#: Every rule; reasons are told in this order.
RULES: Final = (
    Rule("columns", Breach.IMPOSSIBLE, _columns),
    Rule("rows", Breach.IMPOSSIBLE, _rows),
    Rule("admission", Breach.IMPOSSIBLE, _admission),
    Rule("accept", Breach.RULED_OUT, _never),
    Rule("blocked", Breach.RULED_OUT, _blocked),
    Rule("no_noise", Breach.RULED_OUT, _no_noise),
    Rule("trusted", Breach.RULED_OUT, _trusted),
    Rule("published_sums", Breach.RULED_OUT, _published_sums),
    Rule("no_noise_jobs", Breach.RULED_OUT, _no_noise_jobs),
    Rule("epsilon", Breach.RULED_OUT, _epsilon),
    Rule("encoders", Breach.RULED_OUT, _encoders),
    Rule("token", Breach.WAITS, _token),
    Rule("price_floor", Breach.WAITS, _price),
    Rule("purposes", Breach.WAITS, _purpose),
    Rule("requesters", Breach.WAITS, _requester),
    Rule("sealed_models", Breach.WAITS, _sealed),
    Rule("open_models", Breach.WAITS, _open),
    Rule("min_block", Breach.WAITS, _min_block),
    Rule("known_least", Breach.WAITS, _known),
    Rule("corrupt_least", Breach.WAITS, _corrupt),
    Rule("finality_least", Breach.WAITS, _finality),
    Rule("max_rounds", Breach.WAITS, _rounds),
    Rule("min_contribute_seconds", Breach.WAITS, _seconds),
    Rule("max_unpaid", Breach.WAITS, _unpaid),
    Rule("accept", Breach.WAITS, _ask),
)
