"""`assay traces` at a real job: what a daemon went through is what a collector gets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trio
from kits.collector import Collector, tracing
from kits.daemons import jobs
from kits.daemons.processes import Daemon, Swarm, until

pytestmark = [pytest.mark.long, pytest.mark.waits(60)]

ROUNDS = 2
ENDS = ("done", "overtaken")


@pytest.fixture
async def swarm(tmp_path: Path) -> AsyncIterator[Swarm]:
    swarm = Swarm(tmp_path, 5)
    try:
        await swarm.start()
        jobs.add_data(swarm)
        yield swarm
    finally:
        swarm.destroy()


def attributes(span: Any) -> dict[str, Any]:
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes
    }


def told(collector: Collector) -> list[tuple[int, int, str]]:
    """Round, attempt and phase of what a collector got, in the order of their beginnings; a
    round's own span stands where it ended."""
    spans = collector.whole()
    roots = {each.span_id: attributes(each) for each in spans if each.name == "round"}
    begun = [(s.start_time_unix_nano, s.parent_span_id, s.name) for s in spans if s.parent_span_id]
    begun += [
        (s.end_time_unix_nano, s.span_id, roots[s.span_id]["assay.end"])
        for s in spans
        if s.span_id in roots
    ]
    return [
        (roots[root]["assay.round"], roots[root]["assay.attempt"], name)
        for _, root, name in sorted(begun, key=lambda each: each[0])
    ]


async def test_both_sides_rounds_are_spans(swarm: Swarm) -> None:
    sides = {"requester": swarm.requester, "owner": swarm.owners[0]}
    with ExitStack() as opened:
        collectors = {name: opened.enter_context(Collector()) for name in sides}
        said = []
        for name, daemon in sides.items():
            arguments = ["--endpoint", collectors[name].url]
            process, errors = opened.enter_context(
                tracing(daemon.home, *arguments, OTEL_BSP_SCHEDULE_DELAY="50")
            )
            said.append(errors)
            assert process.stdout is not None
            # It follows from now on; the first round waits for blocks of the chain.
            await trio.to_thread.run_sync(process.stdout.readline)
        job = jobs.post(swarm, rounds=ROUNDS, envelope="masks")
        await jobs.ends(swarm, job, 120)
        for name, daemon in sides.items():
            await until(lambda d=daemon: d.state(job) == "finished", 60, f"{name} is done")
            came = collectors[name].spans
            await until(lambda c=came: c().count("round") >= ROUNDS, 60, f"{name}'s are sent")
    assert said == [[""], [""]]
    for name, daemon in sides.items():
        collector = collectors[name]
        seen = told(collector)
        phases = [each for each in jobs.phases(daemon, job) if each[2] != "done"]
        assert [each for each in seen if each[2] not in ENDS] == phases, name
        # An owner that is slow to see a block may be overtaken by the next round.
        ends = [end for _, _, end in seen if end in (ENDS if daemon in swarm.owners else ENDS[:1])]
        assert len(ends) == ROUNDS, name
        assert ends[-1] == "done"
        check(collector, daemon, job)


def check(collector: Collector, daemon: Daemon, job: str) -> None:
    """Each round is a trace of its own without a gap, and no job is named."""
    spans = collector.whole()
    roots = [each for each in spans if not each.parent_span_id]
    assert len(roots) == len({each.trace_id for each in roots}) == ROUNDS
    for root in roots:
        below = sorted(
            (each for each in spans if each.parent_span_id == root.span_id),
            key=lambda each: each.start_time_unix_nano,
        )
        assert {each.trace_id for each in below} == {root.trace_id}
        edges = [each.start_time_unix_nano for each in below] + [root.end_time_unix_nano]
        assert edges[0] == root.start_time_unix_nano
        assert [each.end_time_unix_nano for each in below] == edges[1:]
    assert not any(job.encode() in body for body in collector.bodies)
