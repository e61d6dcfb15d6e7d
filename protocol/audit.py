"""The audit: a job's books against the chain. Anybody with the evidence can make it.

Every check says what was found, and where it fails, what was expected. Where all hold, the chain's
roots, counts, digests and money are exactly what the evidence and its lists give.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from protocol.enrolment import Cohort, draw_blocks, spec_domain
from protocol.envelope import Context, Envelope
from protocol.errors import Malformed
from protocol.evidence import Evidence, merit_tree
from protocol.lists import examine_contributions
from protocol.requester_state import RoundRecord
from protocol.spec import JobSpec


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
    """What the chain shows of a job. Amounts in the token's smallest unit; claims by account."""

    spec_digest: bytes
    enrol_root: bytes
    enrol_block_hash: bytes  # of the block that blocks are drawn from
    rounds: Mapping[int, ChainRound]
    final_model: bytes
    evidence_digest: bytes
    merit_root: bytes
    escrowed: int
    claimed: Mapping[bytes, int]
    withdrawn: int
    held: int


def audit(
    spec: JobSpec,
    spec_digest: bytes,
    job: bytes,
    cohort: Cohort,
    evidence: Evidence,
    evidence_digest: bytes,
    lists: Mapping[int, tuple[bytes, tuple[Envelope, ...]]],
    books: ChainBooks,
) -> tuple[Check, ...]:
    """All checks, in order; the books are in order if every one is ok.

    `lists` maps a round to its contribution list as (blob, verified envelopes).
    """
    checks: list[Check] = []

    def compare(what: str, found: object, expected: object) -> None:
        checks.append(_compare(what, found, expected))

    compare("spec digest in the evidence", evidence.spec_digest, books.spec_digest)
    compare("spec digest held here", spec_digest, books.spec_digest)
    compare("job in the evidence", evidence.job, job)
    compare("enrolment root", cohort.root, books.enrol_root)
    compare("seed of the blocks", evidence.seed, books.enrol_block_hash)
    compare("evidence digest", evidence_digest, books.evidence_digest)
    compare("final model", evidence.final_model, books.final_model)
    compare("merit root", merit_tree(evidence).root.hash, books.merit_root)
    compare("rounds on the chain", sorted(books.rounds), [r.number for r in evidence.rounds])

    blocks = draw_blocks(cohort, spec.cohort, evidence.seed)
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
        checks += _audit_list(spec, job, cohort, blocks, record, lists, on_chain)
    if model is not None:
        compare("final model in the evidence", evidence.final_model, model)

    checks += _audit_money(spec, cohort, evidence, lists, books)
    return tuple(checks)


def _compare(what: str, found: object, expected: object) -> Check:
    if found == expected:
        return Check(what, True, _show(found))
    return Check(what, False, f"{_show(found)} found, {_show(expected)} expected")


def _audit_list(
    spec: JobSpec,
    job: bytes,
    cohort: Cohort,
    blocks: tuple[int, ...],
    record: RoundRecord,
    lists: Mapping[int, tuple[bytes, tuple[Envelope, ...]]],
    on_chain: ChainRound,
) -> list[Check]:
    """A round's list must be sound and rebuild to the chain's root."""
    where = f"round {record.number}"
    if record.number not in lists:
        return [Check(f"{where}: list", False, "its contribution list is missing")]
    domain = spec_domain(spec)
    context = Context(domain.chain_id, domain.contract, job, record.number, record.attempt)
    data, _ = lists[record.number]
    try:
        listed = examine_contributions(cohort, blocks, context, record.frozen_digest, data)
    except Malformed as e:
        return [Check(f"{where}: list", False, str(e))]
    return [
        _compare(f"{where}: root of its list", listed.root, on_chain.root),
        _compare(f"{where}: contributions listed", len(listed.members), on_chain.count),
    ]


def _audit_money(
    spec: JobSpec,
    cohort: Cohort,
    evidence: Evidence,
    lists: Mapping[int, tuple[bytes, tuple[Envelope, ...]]],
    books: ChainBooks,
) -> list[Check]:
    """Money in is money out, and every account has exactly what its contributions earned."""
    out = sum(books.claimed.values()) + books.withdrawn + books.held
    merit = {share.account: share.amount for share in evidence.merit}
    pot = spec.payment.merit if books.rounds else 0
    checks = [
        _compare("money: claimed, returned and held", out, books.escrowed),
        _compare("merit: sum of its shares", sum(merit.values()), pot),
    ]
    earned: Counter[bytes] = Counter()
    for _, envelopes in lists.values():
        for envelope in envelopes:
            index = cohort.index_of(envelope.sender)
            if index is not None:
                earned[cohort.members[index].payout] += spec.payment.rate
    earned.update(merit)
    for account in sorted({*earned, *books.claimed}):
        paid, due = books.claimed.get(account, 0), earned[account]
        name = f"account 0x{account.hex()}"
        # Unclaimed pay is no fault: it waits in the contract for as long as it takes.
        detail = f"{paid} paid, {due} earned"
        checks.append(Check(name, paid in (0, due), detail))
    return checks


def _show(value: object) -> str:
    return f"0x{value.hex()[:16]}…" if isinstance(value, bytes) and value else repr(value)
