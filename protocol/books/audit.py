"""The audit: a job's books against the chain. Anybody with the evidence can make it.

Every check says what was found and, if it fails, what was expected. If all hold, the chain's roots,
counts, digests and money are exactly what the evidence and its lists give.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from protocol.addresses import to_checksum
from protocol.books.enrolment import Cohort, draw_blocks
from protocol.books.evidence import Evidence, RoundRecord, merit_entries, merit_tree
from protocol.books.lists import Leaf, examine_contributions
from protocol.books.merit import merit_shares
from protocol.books.remeasured import NOT_MEASURED, Remeasured, agree, wronged
from protocol.errors import FatalError, Malformed
from protocol.spec.job import JobSpec
from protocol.tokens import NO_TOKENS, Tokens

#: Members that a check names; of more it says how many they are.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Check:
    """One check and its outcome."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class ChainRound:
    """What the contract holds of a round."""

    root: bytes
    count: int
    model_digest: bytes


@dataclass(frozen=True, slots=True)
class ChainBooks:
    """A job as the chain shows it. Amounts in the token's smallest unit; claims by account.

    `final_model`, `evidence_digest` and `merit_root` are empty where the job was not finished: then
    merit is shared equally over all committed contributions, once it is closed.
    """

    spec_digest: bytes
    enrol_roots: tuple[bytes, ...]
    seeds: tuple[bytes, ...]  # for each root: the hash of the chain block that drew its blocks
    rounds: Mapping[int, ChainRound]
    final_model: bytes
    evidence_digest: bytes
    merit_root: bytes
    escrowed: int
    claimed: Mapping[bytes, int]
    withdrawn: int
    held: int

    @property
    def finished(self) -> bool:
        """Whether `finish` is on the chain."""
        return bool(self.evidence_digest)


def audit(
    spec: JobSpec,
    spec_digest: bytes,
    job: bytes,
    cohort: Cohort,
    evidence: Evidence,
    evidence_digest: bytes,
    lists: Mapping[int, tuple[bytes, tuple[Leaf, ...]]],
    books: ChainBooks,
    tokens: Tokens = NO_TOKENS,
    remeasured: Remeasured = NOT_MEASURED,
) -> tuple[Check, ...]:
    """All checks, in order; the books are in order if every one is ok. Details show amounts by the
    names of `tokens`. `remeasured` are the weights as the auditor measured them.

    `lists` maps a round to its contribution list as (blob, its leaves).
    """
    checks: list[Check] = []

    def compare(what: str, found: object, expected: object) -> None:
        checks.append(_compare(what, found, expected))

    compare("spec digest in the evidence", evidence.spec_digest, books.spec_digest)
    compare("spec digest held here", spec_digest, books.spec_digest)
    compare("job in the evidence", evidence.job, job)
    compare("enrolment roots", cohort.roots, books.enrol_roots[: len(cohort.roots)])
    compare("seeds of the blocks", evidence.seeds, books.seeds[: len(cohort.roots)])
    if books.finished:
        compare("evidence digest", evidence_digest, books.evidence_digest)
        compare("final model", evidence.final_model, books.final_model)
        checks.append(_audit_merit(spec, cohort, evidence, lists, books))
        if books.rounds:
            counts = _by_member(cohort, lists)
            checks += _audit_worth(spec, cohort, evidence, counts, remeasured, tokens)
    compare("rounds on the chain", sorted(books.rounds), [r.number for r in evidence.rounds])

    model: bytes | None = None
    for record in evidence.rounds:
        on_chain = books.rounds.get(record.number)
        if on_chain is None:
            continue
        where = f"round {record.number}"
        if model is not None:
            compare(f"{where}: model", record.model_digest, model)
        model = record.next_model
        compare(f"{where}: model on the chain", on_chain.model_digest, record.model_digest)
        compare(f"{where}: count", on_chain.count, record.count)
        blocks = draw_blocks(cohort, spec.cohort, evidence.seeds, record.number)
        checks += _audit_list(spec, cohort, blocks, record, lists, on_chain)
    if model is not None:
        compare("final model in the evidence", evidence.final_model, model)

    checks += _audit_money(spec, cohort, evidence, lists, books, tokens)
    return tuple(checks)


def _compare(what: str, found: object, expected: object) -> Check:
    if found == expected:
        return Check(what, True, _show(found))
    return Check(what, False, f"{_show(found)} found, {_show(expected)} expected")


def _audit_list(
    spec: JobSpec,
    cohort: Cohort,
    blocks: tuple[int, ...],
    record: RoundRecord,
    lists: Mapping[int, tuple[bytes, tuple[Leaf, ...]]],
    on_chain: ChainRound,
) -> list[Check]:
    """A round's list must be sound and rebuild to the chain's root."""
    where = f"round {record.number}"
    if record.number not in lists:
        return [Check(f"{where}: list", False, "its contribution list is missing")]
    data, found = lists[record.number]
    try:
        _, root = examine_contributions(spec, cohort, blocks, data)
    except Malformed as e:
        return [Check(f"{where}: list", False, str(e))]
    return [
        _compare(f"{where}: root of its list", root, on_chain.root),
        _compare(f"{where}: contributions listed", len(found), on_chain.count),
    ]


def _audit_merit(
    spec: JobSpec,
    cohort: Cohort,
    evidence: Evidence,
    lists: Mapping[int, tuple[bytes, tuple[Leaf, ...]]],
    books: ChainBooks,
) -> Check:
    """The merit tree is the chain's, and shows exactly the pot."""
    try:
        root = merit_tree(evidence).root
    except ValueError as error:
        # Evidence is its requester's word: no tree can be built of this.
        return Check("merit root", False, str(error))
    pot = spec.payment.merit if books.rounds else 0
    if root.total != pot:
        return Check("merit root", False, f"shares of {root.total}, the pot is {pot}")
    try:
        due = merit_shares(
            pot, _by_member(cohort, lists), evidence.weights or None, evidence.withheld
        )
    except FatalError as error:
        return Check("merit shares", False, str(error))
    if evidence.merit != merit_entries(cohort, due):
        return Check("merit shares", False, "they are not what the evidence's weights give")
    return _compare("merit root", root.hash, books.merit_root)


def _by_member(cohort: Cohort, lists: Mapping[int, tuple[bytes, tuple[Leaf, ...]]]) -> list[int]:
    """Listed contributions of each member, by index."""
    found = [0] * len(cohort.members)
    for _, listed in lists.values():
        for leaf in listed:
            if leaf.member < len(found):
                found[leaf.member] += 1
    return found


def _audit_worth(
    spec: JobSpec,
    cohort: Cohort,
    evidence: Evidence,
    counts: list[int],
    remeasured: Remeasured,
    tokens: Tokens,
) -> list[Check]:
    """The weights are those that the spec's way of sharing the pot gives."""
    payment = spec.payment
    if not payment.merit:
        return []
    if not payment.measures:
        return [_compare("merit weights: equal shares", evidence.weights, ())]
    if not payment.publishes:
        text = "at the requester's discretion: measured on rows that stay closed"
        return [Check("merit weights", True, text)]
    checks = [_compare("hold-out in the evidence", evidence.holdout_digest, spec.holdout)]
    if remeasured.fault:
        return [*checks, Check("merit weights: measured again", False, remeasured.fault)]
    wrong = wronged(payment.merit, counts, evidence.weights, remeasured.weights, evidence.withheld)
    if not agree(evidence.weights, remeasured.weights):
        told = [
            f"0x{cohort.members[each.member].payout.hex()} is wronged by "
            f"{tokens.shown(each.due - each.given, payment.token)}"
            for each in wrong[:_NAMED]
        ]
        if len(wrong) > _NAMED:
            told.append(f"{len(wrong) - _NAMED} more are wronged")
        who = ", ".join(told) or "no share differs by it"
        detail = f"they are not what the sums and the hold-out give: {who}"
        return [*checks, Check("merit weights: measured again", False, detail)]
    known = f"{len(remeasured.weights)} members" if remeasured.weights else "nothing tells"
    return [*checks, Check("merit weights: measured again", True, known)]


def _audit_money(
    spec: JobSpec,
    cohort: Cohort,
    evidence: Evidence,
    lists: Mapping[int, tuple[bytes, tuple[Leaf, ...]]],
    books: ChainBooks,
    tokens: Tokens,
) -> list[Check]:
    """Money in is money out, and no account has what its contributions did not earn."""
    out = sum(books.claimed.values()) + books.withdrawn + books.held
    token = spec.payment.token
    found, expected = tokens.shown(out, token), tokens.shown(books.escrowed, token)
    even, odd = out == books.escrowed, f"{found} found, {expected} expected"
    checks = [Check("money: claimed, returned and held", even, found if even else odd)]
    counts: Counter[bytes] = Counter()
    contributions = 0
    for _, leaves in lists.values():
        known = [leaf.member for leaf in leaves if leaf.member < len(cohort.members)]
        contributions += len(known)
        # A round pays an account once, however many members name it.
        counts.update({cohort.members[member].payout for member in known})
    rate, pot = spec.payment.rate, spec.payment.merit
    merit = {share.account: share.amount for share in evidence.merit} if books.finished else {}
    share = pot // contributions if counts and not books.finished else 0
    for account in sorted({*counts, *merit, *books.claimed}):
        paid, count, extra = books.claimed.get(account, 0), counts[account], merit.get(account, 0)
        due = count * (rate + share) + extra
        if books.finished:
            ok = _is_part(paid, count, rate, 0) or _is_part(paid - extra, count, rate, 0)
        else:
            ok = _is_part(paid, count, rate, share)
        detail = f"{tokens.shown(paid, token)} paid, {tokens.shown(due, token)} earned"
        checks.append(Check(f"account {to_checksum(account)}", ok, detail))
    return checks


def _is_part(paid: int, count: int, rate: int, share: int) -> bool:
    """Whether `paid` is pay for some of `count` rounds, with equal merit for some of those.

    Anybody may claim at any time, and unclaimed pay waits in the contract; so part of the pay is no
    fault.
    """
    for rounds in range(count + 1):
        rest = paid - rounds * rate
        if rest == 0 or (share and rest > 0 and rest % share == 0 and rest // share <= rounds):
            return True
    return False


def _show(value: object) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(_show(each) for each in value)})"
    return f"0x{value.hex()[:16]}…" if isinstance(value, bytes) and value else repr(value)
