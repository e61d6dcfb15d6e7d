"""scripts/demo --sale: owners with sentences, a sealed head on an encoder, its sale.

Each of five owners runs a public sentence encoder on its own 500 sentences, in the clear and on its
own machine, and trains a head on the features that it cannot read. The requester then sells the
head's labels to a stranger. Everything by commands, between real processes; exit code 0 only if
every finding holds, 7 if not.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from node.console.amounts import money
from node.console.failure import Failure
from node.console.session import Session
from node.control.codes import Exit
from node.demo import story
from node.demo.main import OUT, ended_like_ctrl_c
from node.demo.notice import wait_out
from node.demo.outcome import sale as of_sale
from node.demo.outcome.sale import SaleFigures
from node.demo.outcome.verdict import Finding, as_table
from node.demo.recipes.job import ACCEPTING, FLOOR, HIGH_FLOOR, RATE
from node.demo.screen import Screen, open_screen
from node.demo.selling import sell
from node.demo.stages import Clock
from node.demo.swarm.processes import Children
from node.demo.swarm.world import World, build
from protocol.amounts import format_amount
from scripts.demos import texts

#: Sentences of an owner that takes part, of the one that stays out, and of the hold-out set.
ROWS, OUTSIDE, HELD = 500, 40, 300
EPSILON, DELTA = 8.0, 1e-5
#: What the head has to reach on the hold-out set: half is what guessing has.
LEAST: Final = 0.65

SPEC: Final = """\
title = "Moods of short messages"
purpose = "research"

{encoder}
[target]
name = "{target}"
classes = ["negative", "positive"]

[model]
family = "logistic"
bias = 0.3

[training]
rounds = 2
local_steps = 100
batch_rows = {rows}
clip_norm = 1.0

[privacy]
sealed = true
epsilon = {epsilon}
delta = {delta}

[encryption]
key_bits = 2048

[cohort]
min_owners = {owners}
max_owners = {owners}
block_size = {owners}

[payment]
rate = "{rate}"

[timing]
enrol_seconds = 600
ready_seconds = 60
contribute_seconds = 180
commit_seconds = 300
unmask_seconds = 60
apply_seconds = 120
finality_blocks = 1
lifetime_days = 1
"""


def job_of(encoder: str, epsilon: float) -> str:
    """The job's file; `encoder` is the network's part of it."""
    return SPEC.format(
        encoder=encoder,
        target=texts.TARGET,
        rows=ROWS,
        epsilon=float(epsilon),
        delta=DELTA,
        owners=ACCEPTING,
        rate=format_amount(RATE),
    )


class _Play:
    """One run: its world, and what it came to."""

    def __init__(self, wanted: argparse.Namespace, out: Path, folder: Path, screen: Screen) -> None:
        self._wanted, self._out, self._folder, self._screen = wanted, out, folder, screen
        self.seconds = Clock()
        self.findings: list[Finding] = []
        self.accuracy = math.nan
        self.sale: SaleFigures | None = None

    def play(self, children: Children) -> None:
        """The whole story. Raises Failure where it cannot go on."""
        kept = texts.place()
        with self.seconds.stage("fetch"):
            if not kept.whole:
                self._screen.stage("a sentence encoder and sentences, fetched once: 90 MB")
                texts.fetch(kept)
        with self.seconds.stage("start"):
            world = build(self._folder, children, self._screen, sale=True)
        with self.seconds.stage("data"):
            self._bring(world, kept)
        job = self._post(world)
        with self.seconds.stage("enrolment"):
            self._enrol(job, world, children)
        with self.seconds.stage("training and pay"):
            said = "by the requester, on its hold-out set"
            shown = story.follow(job, world, children, self._screen, lambda _: said, False)
            shown = wait_out(job, shown, world, self._screen)
        self._judge_job(job, shown, world)
        if shown["summary"]["state"] != "finished":
            return
        with self.seconds.stage("sale"):
            self._sell(job, shown, world, kept)
        self._screen.stage("the daemons end")
        with self.seconds.stage("end"):
            unclean = story.end(world, children)
        told = ", ".join(unclean) or "with exit code 0"
        self.findings.append(Finding("every process ended when asked", not unclean, told))

    def _bring(self, world: World, kept: texts.Texts) -> None:
        self._screen.stage("each owner adds its sentences, and names the encoder that may run")
        holdout = self._folder / "holdout.csv"
        files = [self._folder / f"{owner.name}.csv" for owner in world.owners]
        counts = [ROWS if number < ACCEPTING else OUTSIDE for number in range(len(files))]
        parts = list(zip(files, counts, strict=True))
        texts.write(kept, [(holdout, HELD), *parts], self._wanted.seed)
        for number, (owner, file) in enumerate(zip(world.owners, files, strict=True)):
            owner.ask("data.add", name=story.DATASET, path=str(file))
            floor = FLOOR if number < ACCEPTING else HIGH_FLOOR
            terms: dict[str, Any] = {
                "accept": "auto",
                "price_floor": str(floor),
                "encoders": [texts.ENCODER],
            }
            terms |= {"sealed_models": True, "epsilon": self._wanted.epsilon, "delta": DELTA}
            owner.ask("policy.set", dataset=story.DATASET, changes=terms)
            self._screen.note(
                f"{owner.name}: {counts[number]} sentences; at least {money(floor)}; "
                f"epsilon {self._wanted.epsilon:g} at most"
            )

    def _post(self, world: World) -> str:
        self._screen.stage("the requester adds the encoder, and posts its job")
        encoder = str(texts.place().encoder)
        world.requester.command("encoder", "add", encoder, "--name", "sentences")
        shown = world.requester.command("encoder", "show", "sentences")
        table = shown["toml"].replace('columns = ["note"]', f'columns = ["{texts.TEXT}"]')
        file = self._out / "job.toml"
        file.write_text(job_of(table, self._wanted.epsilon), encoding="utf-8")
        holdout = str(self._folder / "holdout.csv")
        posted = world.requester.command("job", "post", str(file), "--holdout", holdout, "--yes")
        self._screen.note(f"job {posted['job']}, {money(posted['escrowed'])} escrowed")
        return str(posted["job"])

    def _enrol(self, job: str, world: World, children: Children) -> None:
        self._screen.stage("owners fetch the encoder, run it on their sentences, and enrol")
        enrolled = 0
        for shown in story.watch(job, world, children):
            if shown["summary"]["enrolled"] != enrolled:
                enrolled = shown["summary"]["enrolled"]
                self._screen.note(f"{enrolled} of {ACCEPTING} owners are enrolled")
            if shown["rounds"]:
                return

    def _judge_job(self, job: str, shown: dict[str, Any], world: World) -> None:
        rounds = [each["accuracy"] for each in shown["rounds"] if each["accuracy"] is not None]
        self.accuracy = rounds[-1] if rounds else math.nan
        state, members = shown["summary"]["state"], shown["members"]
        claimed = {each["account"].lower(): int(each["claimed"]) for each in members}
        paid = {
            owner.name: world.ledger.balance(owner.account)
            for owner in world.owners
            if owner.account.lower() in claimed
        }
        escrowed, returned = (int(shown["money"][name]) for name in ("escrowed", "returned"))
        spent = [
            owner.ask("job.show", job=job)["epsilon_spent"]
            for owner in world.owners
            if owner.name in paid
        ]
        audit = story.audit(job, world.requester)
        self.findings += [
            Finding("the job finished", state == "finished", f"{len(rounds)} rounds, {state}"),
            Finding(
                f"the head finds at least {100 * LEAST:g} % of held-out moods",
                self.accuracy >= LEAST,
                f"{100 * self.accuracy:.1f} % of {HELD} sentences",
            ),
            Finding(
                "no owner's ledger was charged more than epsilon",
                len(spent) == ACCEPTING
                and all(each is not None and 0 < each <= self._wanted.epsilon for each in spent),
                f"{max((each or 0.0 for each in spent), default=0.0):.4g} of "
                f"{self._wanted.epsilon:g}",
            ),
            Finding(
                "every owner of the job was paid, on the chain",
                len(paid) == ACCEPTING
                and all(paid.values())
                and sorted(paid.values()) == sorted(claimed.values()),
                f"{len(paid)} balances are what the contract says it paid",
            ),
            Finding(
                "money in equals money out",
                escrowed == sum(paid.values()) + returned
                and world.ledger.balance(world.contract) == 0,
                f"{money(escrowed)} = {money(sum(paid.values()))} paid + {money(returned)} back",
            ),
            Finding(
                "the audit finds no fault",
                audit["ok"] is True and len(audit["checks"]) > 0,
                f"{len(audit['checks'])} checks",
            ),
        ]

    def _sell(self, job: str, shown: dict[str, Any], world: World, kept: texts.Texts) -> None:
        model = self._out / "model.npz"
        world.requester.command("model", "get", job, "--out", str(model), "--force")
        if world.buyer is not None:
            # By itself, and not because a seller says so.
            world.buyer.command("encoder", "add", str(kept.encoder), "--name", "sentences")

        def audit() -> bool:
            return story.audit(job, world.requester)["ok"] is True

        self.sale = sell(texts.TARGET, job, model, world, self._folder, self._screen, audit)
        rounds = shown["summary"]["rounds"]
        for name, ok, detail in of_sale.findings_of(self.sale, ACCEPTING, rounds):
            self.findings.append(Finding(name, ok, detail))
        stated = self.sale.epsilon
        told = "none" if stated is None else f"{stated:g}"
        self.findings.append(
            Finding("the offer states the job's epsilon", stated == self._wanted.epsilon, told)
        )


def _run(session: Session, wanted: argparse.Namespace) -> int:
    out = (wanted.out or OUT).absolute()
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with (
        ended_like_ctrl_c(),
        tempfile.TemporaryDirectory(prefix="assay-demo-", ignore_cleanup_errors=True) as name,
        open_screen(session.json) as screen,
        Children() as children,
    ):
        played = _Play(wanted, out, Path(name), screen)
        played.play(children)
    faults = [f"{each.name}: {each.detail}" for each in played.findings if not each.ok]
    result = {
        "data": "text",
        "epsilon": wanted.epsilon,
        "accuracy": played.accuracy,
        "findings": [[each.ok, each.name, each.detail] for each in played.findings],
        "seconds": played.seconds.total() | {"total": round(time.monotonic() - began, 1)},
        "faults": faults,
    }
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    parts = [] if played.sale is None else of_sale.as_parts(played.sale)
    session.emit(result, [*parts, as_table(played.findings)])
    if faults:
        raise Failure(Exit.FAULT, f"the demo did not hold: {'; '.join(faults)}")
    return Exit.OK


def main() -> int:
    """Play it; what it came to decides."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--sale", action="store_true", help="what it shows in any case")
    parser.add_argument("--sealed", action="store_true", help="as it is in any case")
    parser.add_argument("--data", choices=["text"], default="text")
    parser.add_argument("--epsilon", type=float, default=EPSILON)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    if not 1.0 <= wanted.epsilon <= 1000.0:
        parser.error("--epsilon: from 1 to 1000")
    session = Session(json=wanted.json)
    try:
        return _run(session, wanted)
    except Failure as failure:
        session.complain(failure)
        return failure.end


if __name__ == "__main__":
    sys.exit(main())
