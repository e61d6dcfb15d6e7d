"""The demo's story, in order: from a data set that lies in parts to accounts that are paid.

The requester, the owners and the bystander are driven as their users would drive them; nothing here
reaches into a daemon.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.console.amounts import money
from node.console.failure import Failure
from node.control.codes import Exit
from node.demo import secrecy
from node.demo.notice import wait_out
from node.demo.outcome.picture import Curve
from node.demo.outcome.report import Figures, Outsider, OwnerFigures, RequesterMoney, Sums
from node.demo.recipes.columns import TABLES, DataName
from node.demo.recipes.job import (
    ACCEPTING,
    ENROL_SECONDS,
    FLOOR,
    HIGH_FLOOR,
    RECIPES,
    ModelName,
    Recipe,
    spec,
)
from node.demo.recipes.sealed import Asked
from node.demo.recipes.sealed import recipe as sealed_recipe
from node.demo.screen import Screen
from node.demo.selling import sell
from node.demo.stages import Clock
from node.demo.swarm.ledger import by_kind
from node.demo.swarm.processes import DRAIN_SECONDS, Child, Children
from node.demo.swarm.user import User
from node.demo.swarm.world import FUND, World, build
from protocol.spec.toml import parse_toml

#: The name of the data set in every owner's home.
DATASET: Final = "records"

_HELPER_SECONDS: Final = 120.0

#: The whole job is a minute or two; a machine that is much slower may still show it.
_JOB_SECONDS: Final = 1200.0
_POLL_SECONDS: Final = 0.5

_ENDS: Final = frozenset({"finished", "cancelled", "expired", "failed"})


@dataclass(frozen=True)
class Plan:
    """What was asked for: `rounds` is None for the recipe's, `sealed` for an open job, whose
    model `model` is; `proof`: contributions prove their norm; `sale`: labels of the model are sold
    once it is there. `out` exists."""

    data: DataName
    model: ModelName
    seed: int
    rounds: int | None
    out: Path
    sealed: Asked | None = None
    proof: bool = False
    sale: bool = False

    @property
    def recipe(self) -> Recipe:
        if self.sealed is not None:
            return sealed_recipe(self.data, self.sealed).with_rounds(self.rounds)
        recipe = RECIPES[self.data, self.model].with_rounds(self.rounds)
        return dataclasses.replace(recipe, proof=self.proof)

    @property
    def title(self) -> str:
        """The model in words."""
        if self.sealed is None:
            return self.recipe.family
        noise = "no noise" if self.sealed.epsilon is None else f"epsilon {self.sealed.epsilon:g}"
        return f"sealed {self.recipe.family}, {self.sealed.features} features, {noise}"


def play(plan: Plan, folder: Path, children: Children, screen: Screen) -> Figures:
    """Run the whole story; homes and logs go into `folder`.

    Raises Failure where it cannot go on. A job that ends badly is no failure: the figures say so.
    """
    clock = Clock()
    helper = _start_helper(plan, folder, children)
    with clock.stage("start"):
        world = build(folder, children, screen, sale=plan.sale)
    balances = {user.name: world.ledger.balance(user.account) for user in world.owners}
    with clock.stage("data"):
        rows = _bring_data(plan, helper, world, folder, screen)
    job = _post(plan, world, folder, screen)
    pooled = float(helper.line(_HELPER_SECONDS)["accuracy"])
    with clock.stage("enrolment"):
        _enrol(job, world, children, screen)
    twin = _twin(plan, job, world, folder, children)
    with clock.stage("training and pay"):
        shown = follow(job, world, children, screen, _beside(pooled, twin), plan.proof)
    with clock.stage("notice"):
        shown = wait_out(job, shown, world, screen)
    with clock.stage("checks"):
        figures = _collect(plan, job, shown, pooled, rows, balances, world, screen)
        figures = _keep(plan, folder, figures, twin, world, children)
        figures = _unsealed(plan, figures, twin, world)
    if plan.sale:
        with clock.stage("sale"):
            figures = _sold(plan, figures, world, folder, screen)
    screen.stage("the daemons end")
    with clock.stage("end"):
        unclean = end(world, children)
    return dataclasses.replace(figures, unclean=unclean, seconds=clock.total())


def _start_helper(plan: Plan, folder: Path, children: Children) -> Child:
    arguments = [plan.data, plan.model, str(plan.seed), str(folder)]
    command = [sys.executable, "-m", "node.demo.clear.yardstick", *arguments]
    return children.start("yardstick", command, folder / "yardstick.log", helper=True)


def _twin(
    plan: Plan, job: str, world: World, folder: Path, children: Children
) -> secrecy.Twin | None:
    """A sealed job's twin in the clear; its first round has opened, so that its model is there."""
    if plan.sealed is None:
        return None
    place = plan.data, plan.sealed, plan.seed, plan.recipe.rounds
    return secrecy.Twin(*place, job, world.requester, folder, children)


def _beside(pooled: float, twin: secrecy.Twin | None) -> Callable[[int], str]:
    """What a round's accuracy, counted from 1, is shown beside."""
    if twin is None:
        return lambda number: f"pooled, in the clear: {100 * pooled:.2f} %"
    return lambda number: f"in the clear, without noise: {100 * twin.accuracies[number - 1]:.2f} %"


def _bring_data(
    plan: Plan, helper: Child, world: World, folder: Path, screen: Screen
) -> dict[str, int]:
    """Each owner adds its part and says what it may be used for; the rows of each."""
    screen.stage("each owner adds its data, and says what they may be used for")
    facts = helper.line(_HELPER_SECONDS)
    terms: dict[str, Any] = {"no_noise": True}
    if plan.sealed is not None:
        terms = secrecy.changes(plan.sealed, world.requester)
        screen.note(secrecy.says(plan.sealed))
    if plan.proof:
        terms |= {"corrupt_least": 0}
        screen.note("each contribution proves its norm; a block of five bears no liar beside that")
    rows = {}
    for number, (owner, balance) in enumerate(zip(world.owners, facts["parts"], strict=True)):
        file = folder / f"owner-{number + 1}.csv"
        owner.ask("data.add", name=DATASET, path=str(file))
        floor = FLOOR if number < ACCEPTING else HIGH_FLOOR
        changes = {"accept": "auto", "price_floor": str(floor)} | terms
        owner.ask("policy.set", dataset=DATASET, changes=changes)
        rows[owner.name] = sum(balance)
        classes = " ".join(f"{n:>3}" for n in balance)
        screen.note(
            f"{owner.name}: {sum(balance):>4} rows, by class {classes}; at least {money(floor)}"
        )
    return rows


def _post(plan: Plan, world: World, folder: Path, screen: Screen) -> str:
    screen.stage("the requester posts its job")
    file = plan.out / "job.toml"
    file.write_text(spec(TABLES[plan.data], plan.recipe), encoding="utf-8")
    holdout = str(folder / "holdout.csv")
    posted = world.requester.command("job", "post", str(file), "--holdout", holdout, "--yes")
    screen.note(f"job {posted['job']}, {money(posted['escrowed'])} escrowed")
    return str(posted["job"])


def _enrol(job: str, world: World, children: Children, screen: Screen) -> None:
    """Watch the requester's daemon until the first round opens, or the job ends without one."""
    screen.stage("owners enrol")
    enrolled = 0
    for shown in watch(job, world, children):
        if shown["summary"]["enrolled"] != enrolled:
            enrolled = shown["summary"]["enrolled"]
            screen.note(f"{enrolled} {'owner is' if enrolled == 1 else 'owners are'} enrolled")
            if enrolled == ACCEPTING:
                screen.note(
                    f"enough to begin; a place is left, so that enrolment stays open for "
                    f"{ENROL_SECONDS} s in all"
                )
        if shown["rounds"]:
            return


def follow(
    job: str,
    world: World,
    children: Children,
    screen: Screen,
    beside: Callable[[int], str],
    proof: bool,
) -> dict[str, Any]:
    """Watch the requester's daemon until the job is over; what it then shows."""
    screen.stage("training, round by round")
    told = 0
    shown: dict[str, Any] = {}
    for shown in watch(job, world, children):
        done = [each for each in shown["rounds"] if each["phase"] == "done"]
        for each in done[told:]:
            number, rounds = each["number"] + 1, shown["summary"]["rounds"]
            screen.round(number, rounds, each["accuracy"], beside(number))
            if number == rounds:
                screen.note(_shares(shown, proof))
                screen.stage("finish, and everybody is paid, by the requester's daemon")
        told = len(done)
    return shown


def _sums(shown: dict[str, Any], table: str) -> Sums:
    """What the requester could open, by what its daemon shows."""
    rounds = [each for each in shown["rounds"] if each["phase"] == "done"]
    blocks, closed = sum(r["blocks"] for r in rounds), sum(r["closed"] for r in rounds)
    # The job has one block: each word of an owner holds a share of every member.
    members = len(shown["members"])
    releases = shown["releases"]
    terms = parse_toml(table).terms
    threshold, corrupt = terms.threshold(members), terms.privacy.corrupt
    shares = releases if terms.proves else releases * members
    return Sums(blocks - closed, closed, releases, shares, threshold, corrupt)


def _shares(shown: dict[str, Any], proof: bool) -> str:
    """What it took to read the gradients' sums, and what was never read."""
    members, batches = len(shown["members"]), sum(m["contributions"] for m in shown["members"])
    if proof:
        return (
            f"{batches} contributions proved their norm; sums alone can be opened: "
            f"{shown['releases']} sums of shares released by {members} owners"
        )
    return (
        f"{batches} batches came under masks; sums alone can be opened: "
        f"{shown['releases'] * members} shares released by {members} owners"
    )


def watch(job: str, world: World, children: Children) -> Iterator[dict[str, Any]]:
    """What the requester's daemon shows of the job, again and again until the job is over."""
    deadline = time.monotonic() + _JOB_SECONDS
    while True:
        children.check()
        world.look()
        shown: dict[str, Any] = world.requester.ask("job.show", job=job)
        yield shown
        if shown["summary"]["state"] in _ENDS:
            return
        if time.monotonic() > deadline:
            text = f"the job is still {shown['summary']['state']} after {_JOB_SECONDS:g} s"
            raise Failure(Exit.FAULT, text)
        time.sleep(_POLL_SECONDS)


def _collect(
    plan: Plan,
    job: str,
    shown: dict[str, Any],
    pooled: float,
    rows: dict[str, int],
    before: dict[str, int],
    world: World,
    screen: Screen,
) -> Figures:
    """Ask everybody, and the chain, what it came to."""
    screen.stage("the books, checked against the chain")
    ledger, requester = world.ledger, world.requester
    audited = audit(job, requester)
    sent = ledger.sent(world.contract, world.channels)
    members = {member["account"].lower(): member for member in shown["members"]}
    owners = tuple(
        _owner(owner, members[owner.account.lower()], rows, before, world)
        for owner in world.owners
        if owner.account.lower() in members
    )
    fees = sum(tx.fee for tx in sent if tx.sender == requester.account.lower())
    return Figures(
        data=plan.data,
        model=plan.recipe.family,
        seed=plan.seed,
        job=job,
        state=shown["summary"]["state"],
        reason=shown["summary"]["reason"],
        rounds_planned=plan.recipe.rounds,
        sums=_sums(shown, spec(TABLES[plan.data], plan.recipe)),
        accuracies=tuple(r["accuracy"] for r in shown["rounds"] if r["accuracy"] is not None),
        pooled_accuracy=pooled,
        owners=owners,
        outsider=_outsider(world.owners[-1], job, world),
        escrowed=int(shown["money"]["escrowed"]),
        returned=int(shown["money"]["returned"]),
        held=ledger.balance(world.contract),
        requester=RequesterMoney(FUND, ledger.balance(requester.account), fees),
        gas=by_kind(sent),
        failed_transactions=sum(not tx.succeeded for tx in sent),
        audit=audited,
        memory=world.memory,
        seconds={},
        round_seconds=shown["seconds"],
    )


def _owner(
    owner: User,
    member: dict[str, Any],
    rows: dict[str, int],
    before: dict[str, int],
    world: World,
) -> OwnerFigures:
    return OwnerFigures(
        name=owner.name,
        account=owner.account,
        rows=rows[owner.name],
        contributions=member["contributions"],
        rate=int(member["rate"]),
        merit=int(member["merit"]),
        claimed=int(member["claimed"]),
        balance_before=before[owner.name],
        balance_after=world.ledger.balance(owner.account),
        batches=member["bytes"],
        sent=owner.ask("status")["bytes_out"],
    )


def _outsider(owner: User, job: str, world: World) -> Outsider:
    """What the owner that stays out sees when it asks for its jobs."""
    balance = world.ledger.balance(owner.account)
    for row in owner.command("jobs"):
        if row["job"] == job:
            return Outsider(owner.name, row["state"], row["reason"], balance)
    return Outsider(owner.name, "unknown", "", balance)


def audit(job: str, requester: User) -> dict[str, Any]:
    """`assay audit`: a fault is a result; a job that cannot be audited yet is one, too."""
    code, output, errors = requester.attempt("audit", job)
    if code in (Exit.OK, Exit.FAULT) and output:
        found: dict[str, Any] = json.loads(output)
        return {"ok": found["ok"], "checks": found["checks"]}
    return {"ok": False, "checks": [{"name": "audit", "ok": False, "detail": errors.strip()}]}


def _keep(
    plan: Plan,
    folder: Path,
    figures: Figures,
    twin: secrecy.Twin | None,
    world: World,
    children: Children,
) -> Figures:
    """The learning curve as a picture, and the model: what the requester takes away."""
    files = {}
    if figures.accuracies:
        curve = Curve(
            f"{plan.data}, {plan.title}: {len(figures.owners)} owners, seed {plan.seed}",
            list(figures.accuracies),
            figures.pooled_accuracy,
            [] if twin is None else twin.accuracies,
        )
        points, picture = folder / "curve.json", plan.out / "learning-curve.png"
        points.write_text(json.dumps(dataclasses.asdict(curve)))
        command = [sys.executable, "-m", "node.demo.outcome.picture", str(points), str(picture)]
        painter = children.start("picture", command, folder / "picture.log", helper=True)
        model = plan.out / "model.npz"
        world.requester.command("model", "get", figures.job, "--out", str(model), "--force")
        if painter.end(_HELPER_SECONDS) != 0:
            raise painter.failed("was not drawn")
        files = {"curve": str(picture), "model": str(model)}
    return dataclasses.replace(figures, files=files)


def _unsealed(plan: Plan, figures: Figures, twin: secrecy.Twin | None, world: World) -> Figures:
    """With what a sealed job adds: who could read the model, and what it cost in privacy."""
    if plan.sealed is None or twin is None:
        return figures
    names = {owner.name for owner in figures.owners}
    owners = [user for user in world.owners if user.name in names]
    model = figures.files.get("model")
    path = None if model is None else Path(model)
    found = secrecy.look(plan.data, plan.sealed, figures.job, twin, owners, path)
    return dataclasses.replace(figures, sealed=found)


def _sold(plan: Plan, figures: Figures, world: World, folder: Path, screen: Screen) -> Figures:
    """With what the sale of the model came to."""
    model = figures.files.get("model")
    if model is None or figures.state != "finished":
        return figures  # the verdict says why there is nothing to sell
    job, requester = figures.job, world.requester

    def sound() -> bool:
        return audit(job, requester)["ok"] is True

    answer = TABLES[plan.data].target
    found = sell(answer, job, Path(model), world, folder, screen, sound)
    return dataclasses.replace(figures, sale=found)


def end(world: World, children: Children) -> tuple[str, ...]:
    """Ask every daemon to end, as `assay down` does; returns those that did not end well."""
    for user in world.users:
        user.ask("stop")
    deadline = time.monotonic() + DRAIN_SECONDS
    codes = {name: child.end(deadline - time.monotonic()) for name, child in world.daemons.items()}
    codes |= children.end_all()
    return tuple(f"{name} ended with {code}" for name, code in codes.items() if code)
