"""Whether a run of the demo kept what assay promises. Each finding stands on its own figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from node.console.amounts import money
from node.console.show import Table
from node.demo.outcome.report import Figures, SealedFigures
from node.demo.outcome.sale import findings_of

#: How far accuracy may stay behind pooled training, as a share of the hold-out set.
TOLERANCE: Final = 0.02

#: How far a sealed job may be from the same numbers in the clear: what fixed point could cost.
CLOSE: Final = 0.005

#: Accuracies are quotients of small numbers: two equal shortfalls must not differ by rounding.
_ROUNDING: Final = 1e-9


@dataclass(frozen=True)
class Finding:
    """One promise: whether it held, and by which figures."""

    name: str
    ok: bool
    detail: str


def judge(figures: Figures) -> list[Finding]:
    """All findings, in the order in which they matter."""
    sealed = figures.sealed
    results = [_accuracy(figures)] if sealed is None else _sealed(figures, sealed)
    first = [_finished(figures), *results, _sums(figures)]
    return [*first, *_money(figures), *_others(figures), *_sale(figures)]


def _sale(f: Figures) -> list[Finding]:
    if f.sale is None:
        return []
    found = findings_of(f.sale, len(f.owners), len(f.accuracies))
    return [Finding(name, ok, detail) for name, ok, detail in found]


def _finished(f: Figures) -> Finding:
    done = len(f.accuracies)
    detail = f"{done} of {f.rounds_planned} rounds, {f.state}"
    ok = f.state == "finished" and done == f.rounds_planned
    return Finding("the job finished", ok, detail + (f": {f.reason}" if f.reason else ""))


def _accuracy(f: Figures) -> Finding:
    name = f"accuracy is within {100 * TOLERANCE:g} points of pooled training"
    if f.accuracy is None:
        return Finding(name, False, "no round was measured")
    gap = f.accuracy - f.pooled_accuracy
    detail = f"{100 * f.accuracy:.2f} % against {100 * f.pooled_accuracy:.2f} %"
    return Finding(name, gap >= -TOLERANCE - _ROUNDING, f"{detail}, {100 * gap:+.2f} points")


def _sealed(f: Figures, sealed: SealedFigures) -> list[Finding]:
    """Accuracy on the documented curve, a file that is the model, nobody else who can read it."""
    findings = [_on_curve(f, sealed)]
    if sealed.epsilon is None:
        twin = sealed.twin[-1] if sealed.twin else None
        name = f"accuracy is within {100 * CLOSE:g} points of the same training in the clear"
        findings.append(_near(name, f.accuracy, twin))
    refusal = sealed.refusal
    shut = refusal.code != 0 and not refusal.file and "sealed" in refusal.reason
    return [
        *findings,
        _near("the requester's file is the model that was measured", sealed.downloaded, f.accuracy),
        Finding(
            "the model downloads only at the requester",
            shut and sealed.downloaded is not None,
            f"{refusal.name} gets code {refusal.code}",
        ),
        _charged(f, sealed),
    ]


def _on_curve(f: Figures, sealed: SealedFigures) -> Finding:
    point = sealed.documented
    noise = "without noise" if point.epsilon is None else f"at epsilon {point.epsilon:g}"
    name = f"accuracy {noise} is on the documented curve"
    if f.accuracy is None:
        return Finding(name, False, "no round was measured")
    detail = (
        f"{100 * f.accuracy:.2f} %; documented {100 * point.mean:.2f} %, "
        f"held to at least {100 * point.floor:.2f} %"
    )
    return Finding(name, f.accuracy >= point.floor - _ROUNDING, detail)


def _near(name: str, found: float | None, wanted: float | None) -> Finding:
    if found is None or wanted is None:
        return Finding(name, False, "one of them is missing")
    detail = f"{100 * found:.2f} % and {100 * wanted:.2f} %"
    return Finding(name, abs(found - wanted) <= CLOSE + _ROUNDING, detail)


def _charged(f: Figures, sealed: SealedFigures) -> Finding:
    """Each owner's own ledger: one charge, for however many rounds."""
    limit = sealed.epsilon
    if limit is None:
        ok = all(epsilon is None for epsilon in sealed.spent)
        return Finding(
            "owners' ledgers know that no noise protects them", ok, "no epsilon bounds it"
        )
    known = [epsilon for epsilon in sealed.spent if epsilon is not None]
    ok = len(known) == len(f.owners) > 0 and all(0.0 < epsilon <= limit for epsilon in known)
    detail = f"{max(known, default=0.0):.4g} of {limit:g} after {len(f.accuracies)} rounds"
    return Finding("no owner's ledger was charged more than epsilon", ok, detail)


def _sums(f: Figures) -> Finding:
    """Every round's sum was opened, and by no fewer owners' shares than the threshold asks for."""
    sums, rounds = f.sums, len(f.accuracies)
    ok = sums.opened == rounds and not sums.closed and sums.releases >= sums.threshold * rounds
    detail = (
        f"{sums.opened} of {rounds} sums, each by shares of at least {sums.threshold} of "
        f"{len(f.owners)} owners"
    )
    if not ok:
        detail += f"; {sums.closed} stayed closed, {sums.releases} releases came"
    return Finding("sums alone were opened, by owners' shares", ok and rounds > 0, detail)


def _money(f: Figures) -> list[Finding]:
    paid = sum(f.paid.values())
    got = {owner.name: owner.balance_after - owner.balance_before for owner in f.owners}
    wrong = [owner.name for owner in f.owners if got[owner.name] != owner.claimed]
    spent = f.requester.before - f.requester.after
    due = f.escrowed - f.returned + f.requester.fees
    rich = [owner.name for owner in f.owners if owner.balance_before]
    return [
        Finding(
            "money in equals money out",
            f.escrowed == paid + f.returned,
            f"{money(f.escrowed)} = {money(paid)} paid + {money(f.returned)} returned",
        ),
        Finding("the contract is empty", f.held == 0, f"it holds {money(f.held)}"),
        Finding(
            "every owner of the job was paid, on the chain",
            bool(f.owners) and not wrong and all(f.paid.values()),
            ", ".join(wrong) or f"{len(f.owners)} balances are what the contract says it paid",
        ),
        Finding(
            "the requester paid that and the gas, no more",
            spent == due,
            f"{_ether(spent)} gone, {_ether(due)} due, {_ether(f.requester.fees)} of it for gas",
        ),
        Finding(
            "owners needed no ether", not rich, ", ".join(rich) or "all of them started with none"
        ),
    ]


def _others(f: Figures) -> list[Finding]:
    faults = [c["name"] for c in f.audit.get("checks", ()) if not c["ok"]]
    checks = len(f.audit.get("checks", ()))
    out = f.outsider
    return [
        Finding(
            "the audit finds no fault",
            f.audit.get("ok") is True and checks > 0,
            ", ".join(faults) or f"{checks} checks",
        ),
        Finding(
            f"{out.name} stayed out, and says why",
            out.state not in ("enrolling", "running", "settling", "finished")
            and bool(out.reason)
            and out.balance == 0,
            f"{out.state}: {out.reason}",
        ),
        Finding(
            "no transaction failed",
            f.failed_transactions == 0,
            f"{f.failed_transactions} of {sum(g.transactions for g in f.gas.values())}",
        ),
        Finding(
            "every process ended when asked",
            not f.unclean,
            ", ".join(f.unclean) or "with exit code 0",
        ),
    ]


def _ether(wei: int) -> str:
    """Rounded, for amounts with gas in them, which are never short."""
    return f"{wei / 10**18:.6f} ether"


def as_table(findings: list[Finding]) -> Table:
    """For a person."""
    rows = [("ok" if f.ok else "FAULT", f.name, f.detail) for f in findings]
    return Table(("", "promise", "found"), rows, title="verdict")
