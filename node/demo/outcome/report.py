"""The results of a run of the demo: its figures, as JSON and for a person."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from node.console.amounts import money, short, size
from node.console.show import Pairs, Part, Table
from node.demo.outcome.sale import SaleFigures
from node.demo.outcome.sale import as_parts as sale_parts
from node.demo.recipes.sealed import Point
from node.demo.swarm.ledger import Gas


@dataclass(frozen=True)
class OwnerFigures:
    """One owner. Amounts in wei; `claimed` is what the contract says that it paid.

    `batches` are the bytes of its encrypted gradients, `sent` all that its daemon put on the
    network: batches, messages, and what it passed on for others.
    """

    name: str
    account: str
    rows: int
    contributions: int
    rate: int
    merit: int
    claimed: int
    balance_before: int
    balance_after: int
    batches: int
    sent: int


@dataclass(frozen=True)
class Outsider:
    """The owner that wants more: how the job stands on its home, and why."""

    name: str
    state: str
    reason: str
    balance: int


@dataclass(frozen=True)
class RequesterMoney:
    """The requester's account: what it had, what it has, what its transactions' gas cost."""

    before: int
    after: int
    fees: int


@dataclass(frozen=True)
class Sums:
    """What was opened: `opened` sums of blocks, `closed` ones that stayed shut, and by how many
    words of owners, each of which gives up a share of every member of its block; `threshold` of
    them are needed for a sum, while at most `corrupt` of a block may work for the requester."""

    opened: int
    closed: int
    releases: int
    shares: int
    threshold: int
    corrupt: int


@dataclass(frozen=True)
class Refusal:
    """What `assay model get` said to an owner: its exit code, its words, whether a file came."""

    name: str
    code: int
    reason: str
    file: bool


@dataclass(frozen=True)
class SealedFigures:
    """What a sealed job adds. `twin`: accuracies after each round of the same training in the
    clear, without noise; `documented`: what this epsilon is known to give; `downloaded`: accuracy
    of the requester's model file, computed in the clear (None: there is none); `spent`: each
    owner's epsilon for the whole job, None without noise."""

    features: str
    epsilon: float | None
    delta: float
    twin: tuple[float, ...]
    documented: Point
    downloaded: float | None
    refusal: Refusal
    spent: tuple[float | None, ...]


@dataclass(frozen=True)
class Figures:
    """Everything that a run is judged by and shows. Accuracies in [0, 1], amounts in wei."""

    data: str
    model: str
    seed: int
    job: str
    state: str
    reason: str
    rounds_planned: int
    sums: Sums
    accuracies: tuple[float, ...]
    pooled_accuracy: float
    owners: tuple[OwnerFigures, ...]
    outsider: Outsider
    escrowed: int
    returned: int
    held: int
    requester: RequesterMoney
    gas: Mapping[str, Gas]
    failed_transactions: int
    audit: Mapping[str, Any]
    memory: Mapping[str, int]
    seconds: Mapping[str, float]
    round_seconds: Mapping[str, float]
    unclean: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    sealed: SealedFigures | None = None
    sale: SaleFigures | None = None

    @property
    def accuracy(self) -> float | None:
        """After the last round."""
        return self.accuracies[-1] if self.accuracies else None

    @property
    def paid(self) -> dict[str, int]:
        """Account to what the contract paid it."""
        return {owner.account: owner.claimed for owner in self.owners}


def as_json(figures: Figures, faults: list[str]) -> dict[str, Any]:
    """The one object that `--json` prints. Amounts are integers of wei."""
    sealed = {} if figures.sealed is None else {"sealed": dataclasses.asdict(figures.sealed)}
    sale = {} if figures.sale is None else {"sale": dataclasses.asdict(figures.sale)}
    return (
        {
            "accuracy": figures.accuracy,
            "pooled_accuracy": figures.pooled_accuracy,
            "rounds": len(figures.accuracies),
            "accuracy_by_round": list(figures.accuracies),
            "sums": dataclasses.asdict(figures.sums),
            "paid": figures.paid,
            "escrowed": figures.escrowed,
            "returned": figures.returned,
            "gas": {kind: dataclasses.asdict(gas) for kind, gas in figures.gas.items()},
            "bytes_per_owner": {owner.account: owner.sent for owner in figures.owners},
            "batch_bytes_per_owner": {owner.account: owner.batches for owner in figures.owners},
            "seconds": dict(figures.seconds) | {"rounds": dict(figures.round_seconds)},
            "audit": dict(figures.audit),
            "stayed_out": dataclasses.asdict(figures.outsider),
            "resident_bytes": dict(figures.memory),
            "data": figures.data,
            "model": figures.model,
            "seed": figures.seed,
            "job": figures.job,
            "files": dict(figures.files),
            "ok": not faults,
            "faults": faults,
        }
        | sealed
        | sale
    )


def as_parts(figures: Figures) -> list[Part]:
    """The same for a person."""
    owners = Table(
        ("owner", "account", "rows", "rounds", "rate", "merit", "paid", "batches", "sent"),
        [
            (
                owner.name,
                short(owner.account),
                str(owner.rows),
                str(owner.contributions),
                money(owner.rate),
                money(owner.merit),
                money(owner.claimed),
                size(owner.batches),
                size(owner.sent),
            )
            for owner in figures.owners
        ],
        title="pay and bytes of each owner, all of whom started without ether",
        right=frozenset({"rows", "rounds", "batches", "sent"}),
    )
    gas = Table(
        ("transaction", "count", "gas each", "gas"),
        [
            (kind, str(used.transactions), f"{used.each:,}", f"{used.gas:,}")
            for kind, used in figures.gas.items()
        ],
        title="gas, all of it paid by the requester",
        right=frozenset({"count", "gas each", "gas"}),
    )
    largest = max(figures.memory, key=lambda name: figures.memory[name], default="")
    rows = [
        *(_accuracy(figures) if figures.sealed is None else _sealed(figures, figures.sealed)),
        ("opened", _opened(figures)),
        ("rests on", rests_on(figures.sums, len(figures.owners))),
        ("privacy", _privacy(figures.sealed)),
        ("stayed out", f"{figures.outsider.name}: {figures.outsider.reason}"),
        ("escrowed", money(figures.escrowed)),
        ("paid", money(sum(figures.paid.values()))),
        ("returned", money(figures.returned)),
        ("rounds", _seconds(figures.round_seconds)),
        ("seconds", _seconds(figures.seconds)),
        ("memory", f"{size(figures.memory.get(largest, 0))} at most in a daemon ({largest})"),
        *figures.files.items(),
    ]
    sale = [] if figures.sale is None else ["", *sale_parts(figures.sale)]
    return [owners, gas, "", Pairs(rows), *sale]


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.2f} %"


def _accuracy(figures: Figures) -> list[tuple[str, str]]:
    rounds = len(figures.accuracies)
    return [
        ("accuracy", f"{_percent(figures.accuracy)} after {rounds} rounds"),
        ("pooled", f"{_percent(figures.pooled_accuracy)}, in the clear, to convergence"),
    ]


def _sealed(figures: Figures, sealed: SealedFigures) -> list[tuple[str, str]]:
    """The sealed result and what it would be without noise, side by side; who can read it."""
    noise = "without noise" if sealed.epsilon is None else f"at epsilon {sealed.epsilon:g}"
    twin = sealed.twin[-1] if sealed.twin else None
    point, refusal = sealed.documented, sealed.refusal
    return [
        ("accuracy", f"{_percent(figures.accuracy)}, sealed, {noise}"),
        ("clear", f"{_percent(twin)}, the same training in the clear, without noise"),
        (
            "documented",
            f"{_percent(point.mean)} {noise}, +-{100 * point.deviation:.1f} from split to split; "
            f"held to {_percent(point.floor)} at least",
        ),
        ("pooled", f"{_percent(figures.pooled_accuracy)}, open softmax in the clear"),
        (
            "downloaded",
            f"{_percent(sealed.downloaded)}, as the requester downloads it, applied in the clear",
        ),
        ("elsewhere", f"assay model get at {refusal.name}: {refusal.reason}"),
    ]


def _privacy(sealed: SealedFigures | None) -> str:
    if sealed is None:
        return "no noise: masks hide each batch within a round, nothing protects over rounds"
    if sealed.epsilon is None:
        return (
            "no noise, and the spy defence is off: weights crafted by the requester could read "
            "every row; these owners' policies trust it in so many words"
        )
    known = [epsilon for epsilon in sealed.spent if epsilon is not None]
    return (
        f"epsilon {max(known, default=0.0):.4g} at delta {sealed.delta:g} for each owner's rows, "
        "charged once: whatever weights the requester sends, all rounds tell no more"
    )


def rests_on(sums: Sums, owners: int) -> str:
    """What must hold for nobody to read one owner's gradient; the demo's owners are one block."""
    work = "works" if sums.corrupt == 1 else "work"
    return (
        f"nobody reads one owner's gradient while at most {sums.corrupt} of a block's {owners} "
        f"owners {work} for the requester: {sums.threshold} of {owners} must release their shares, "
        "and they do so only once pay is final on the chain"
    )


def _opened(figures: Figures) -> str:
    """Only sums can be opened: by shares that owners release, once they are sure of their pay."""
    sums = figures.sums
    batches = sum(owner.contributions for owner in figures.owners)
    return (
        f"sums alone: {sums.opened} of them, of {batches} contributions; "
        f"{sums.shares} shares released"
    )


def _seconds(spans: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in spans.items())
