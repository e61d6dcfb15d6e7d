"""Whether a run of the demo kept what assay promises. Each finding stands on its own figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from node.cli.amounts import money
from node.cli.show import Table
from node.demo.report import Figures

#: How far accuracy may stay behind pooled training, as a share of the hold-out set.
TOLERANCE: Final = 0.02

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
    first = [_finished(figures), _accuracy(figures), _sums(figures)]
    return [*first, *_money(figures), *_others(figures)]


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
