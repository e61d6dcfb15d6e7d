"""The audit: a job's books against the chain. Anybody with the evidence can make it.

Every finding is one line that says what was expected and what was found; no finding means that the
chain's roots, counts, digests and money are exactly what the evidence and its lists give.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from protocol.enrolment import Cohort, draw_blocks, spec_domain
from protocol.envelope import Context, Envelope
from protocol.errors import Malformed
from protocol.evidence import Evidence, merit_tree, payouts
from protocol.lists import examine_contributions
from protocol.requester_state import RoundRecord
from protocol.spec import JobSpec


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
) -> tuple[str, ...]:
    """All findings, empty if the books are in order.

    `lists` maps a round to its contribution list as (blob, verified envelopes).
    """
    findings: list[str] = []

    def compare(what: str, found: object, expected: object) -> None:
        if found != expected:
            findings.append(f"{what}: {_show(found)} found, {_show(expected)} expected")

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
        findings += _audit_list(spec, job, cohort, blocks, record, lists, on_chain)
    if model is not None:
        compare("final model in the evidence", evidence.final_model, model)

    findings += _audit_money(spec, cohort, evidence, lists, books)
    return tuple(findings)


def _audit_list(
    spec: JobSpec,
    job: bytes,
    cohort: Cohort,
    blocks: tuple[int, ...],
    record: RoundRecord,
    lists: Mapping[int, tuple[bytes, tuple[Envelope, ...]]],
    on_chain: ChainRound,
) -> list[str]:
    """A round's list must be sound and rebuild to the chain's root."""
    where = f"round {record.number}"
    if record.number not in lists:
        return [f"{where}: its contribution list is missing"]
    domain = spec_domain(spec)
    context = Context(domain.chain_id, domain.contract, job, record.number, record.attempt)
    data, _ = lists[record.number]
    try:
        listed = examine_contributions(cohort, blocks, context, record.frozen_digest, data)
    except Malformed as e:
        return [f"{where}: {e}"]
    findings = []
    if listed.root != on_chain.root:
        findings.append(f"{where}: the list's root is not the chain's")
    if len(listed.members) != on_chain.count:
        findings.append(f"{where}: {len(listed.members)} are listed, {on_chain.count} committed")
    return findings


def _audit_money(
    spec: JobSpec,
    cohort: Cohort,
    evidence: Evidence,
    lists: Mapping[int, tuple[bytes, tuple[Envelope, ...]]],
    books: ChainBooks,
) -> list[str]:
    """Money in is money out, and no account has more or less than its contributions earned."""
    findings = []
    out = sum(books.claimed.values()) + books.withdrawn + books.held
    if out != books.escrowed:
        findings.append(f"money: {books.escrowed} went in, {out} came out or is held")
    contributions = [envelopes for _, envelopes in lists.values()]
    merit = {share.account: share.amount for share in evidence.merit}
    if books.rounds and sum(merit.values()) != spec.payment.merit:
        findings.append(f"merit: {sum(merit.values())} is shared, the pot is {spec.payment.merit}")
    for account in payouts(cohort, contributions):
        rounds = sum(
            cohort.members[cohort.index_of(e.sender) or 0].payout == account
            for envelopes in contributions
            for e in envelopes
        )
        due = rounds * spec.payment.rate + merit.get(account, 0)
        paid = books.claimed.get(account, 0)
        if paid > due:
            findings.append(f"account 0x{account.hex()}: paid {paid}, earned {due}")
    return findings


def _show(value: object) -> str:
    return f"0x{value.hex()[:16]}…" if isinstance(value, bytes) and value else repr(value)
