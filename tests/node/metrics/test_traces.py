"""`assay traces`: rounds as OpenTelemetry spans to a user's collector, and no name of a job."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kits.collector import Collector, tracing
from kits.control.fake import serving
from kits.daemons.processes import until
from kits.paths import ROOT
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from node.cli.commands.health import traces as command
from node.console.failure import Failure
from node.console.session import Session
from node.control import examples as ex
from node.control.codes import Exit
from node.control.shapes import Event
from node.home.config import Config, init_home
from node.home.home import Home
from node.metrics.rounds import Rounds

EVIL = "Ward 3 \u202e<b>" + "x" * 10_000


def happened(
    at: float, kind: str, text: str, facts: dict[str, Any], job: str | None = ex.JOB
) -> Event:
    return {"seq": 1, "time": at, "kind": kind, "job": job, "text": text, "facts": facts}


class Told:
    """Rounds that hear of phases, and the spans that have ended."""

    def __init__(self, *, names: bool = False) -> None:
        self._spans, made = InMemorySpanExporter(), TracerProvider()
        made.add_span_processor(SimpleSpanProcessor(self._spans))
        self.rounds = Rounds(made.get_tracer("test"), names=names)

    def phase(self, at: float, phase: str, number: int = 0, attempt: int = 0) -> None:
        self.event(at, "phase", phase, number, attempt)

    def event(self, at: float, kind: str, text: str, number: int = 0, attempt: int = 0) -> None:
        facts = {"round": number, "attempt": attempt}
        self.rounds.event(happened(at, kind, text, facts))

    def spans(self) -> list[ReadableSpan]:
        return list(self._spans.get_finished_spans())

    def seconds(self) -> list[tuple[str, float, float]]:
        """(name, start, end), in the order in which they ended."""
        return [
            (each.name, (each.start_time or 0) / 1e9, (each.end_time or 0) / 1e9)
            for each in self.spans()
        ]


def test_a_round_is_a_span_with_one_for_each_phase_by_the_daemons_times() -> None:
    told = Told()
    for at, phase in ((10, "open"), (11, "ready"), (14, "contribute"), (20, "done")):
        told.phase(at, phase)
    assert told.seconds() == [
        ("open", 10, 11),
        ("ready", 11, 14),
        ("contribute", 14, 20),
        ("round", 10, 20),
    ]
    *phases, whole = told.spans()
    assert whole.parent is None
    assert {each.parent and each.parent.span_id for each in phases} == {whole.context.span_id}
    assert {each.context.trace_id for each in phases} == {whole.context.trace_id}
    assert dict(whole.attributes or {}) == {
        "assay.round": 0,
        "assay.attempt": 0,
        "assay.end": "done",
    }


def test_an_attempt_that_fails_is_an_error_and_the_next_a_trace_of_its_own() -> None:
    told = Told()
    told.phase(1, "ready")
    told.phase(2, "failed")
    told.phase(3, "ready", attempt=1)
    told.phase(4, "ready", number=1)
    told.rounds.close()
    wholes = [each for each in told.spans() if each.name == "round"]
    ends = [(each.attributes or {})["assay.end"] for each in wholes]
    assert ends == ["failed", "left", "unseen"]
    assert [each.status.status_code for each in wholes][:2] == [StatusCode.ERROR, StatusCode.UNSET]
    assert len({each.context.trace_id for each in wholes}) == 3
    assert told.seconds()[-1] == ("round", 4, 4)


@pytest.mark.parametrize(
    ("phase", "number", "attempt", "end"),
    [
        ("apply", 1, 0, "done"),
        ("apply", 0, 1, "left"),
        ("commit", 1, 0, "overtaken"),
        ("commit", 0, 1, "left"),
        ("contribute", 1, 0, "left"),
    ],
)
def test_how_a_round_ended_that_the_next_one_follows(
    phase: str, number: int, attempt: int, end: str
) -> None:
    """A daemon tells that a round is done only where nothing begins in the same step. What waits
    for its commitment is paid as any other: the owner releases for it while the next one runs."""
    told = Told()
    told.phase(1, "open")
    told.phase(2, phase)
    told.phase(3, "open", number=number, attempt=attempt)
    (whole,) = (each for each in told.spans() if each.name == "round")
    assert (whole.attributes or {})["assay.end"] == end


def test_what_happens_in_a_round_is_an_event_by_kind_alone() -> None:
    told = Told()
    told.phase(1, "ready")
    told.event(2, "batch-refused", EVIL)
    told.event(2, "batch-refused", EVIL, number=7)
    told.phase(3, "done")
    (whole,) = (each for each in told.spans() if each.name == "round")
    assert [(each.name, dict(each.attributes or {})) for each in whole.events] == [
        ("batch-refused", {})
    ]


def test_no_name_and_no_word_is_told_unless_asked_for() -> None:
    for names in (False, True):
        told = Told(names=names)
        told.phase(1, "ready")
        told.event(2, "trained", "of the data set ward-3")
        told.phase(3, "done")
        said = "".join(each.to_json() for each in told.spans())
        assert (ex.JOB in said) is names
        assert ("ward-3" in said) is names


def test_a_clock_that_is_set_back_makes_no_span_end_before_it_began() -> None:
    told = Told()
    for at, phase in ((10, "open"), (5, "ready"), (6, "done")):
        told.phase(at, phase)
    assert all(start <= end for _, start, end in told.seconds())


def test_events_of_no_round_and_phases_that_were_begun_before_are_no_spans() -> None:
    told = Told()
    told.rounds.event(happened(1, "paused", "", {"round": 0, "attempt": 0}, job=None))
    told.rounds.event(happened(1, "paid", "", {}))
    told.phase(1, "done")
    told.event(2, "paid", "0.1 ether")
    told.rounds.close()
    assert told.spans() == []


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    init_home(home, Config())
    return home


async def play(running: Any, process: subprocess.Popen[bytes]) -> None:
    """A round's events, once somebody follows."""
    follows = lambda: process.poll() or running.bus.statistics()["subscriptions"]  # noqa: E731
    await until(follows, 60, "somebody follows")
    assert process.poll() is None
    for phase in ("open", "ready", "done"):
        running.bus.publish("phase", phase, job=ex.JOB, facts={"round": 0, "attempt": 0})


async def until_sent(collector: Collector, name: str, times: int = 1) -> None:
    sent = lambda: collector.spans().count(name) >= times  # noqa: E731
    await until(sent, 60, f"{times} of {name}")


@pytest.mark.parametrize("names", [False, True])
async def test_a_collector_gets_a_round_and_no_name(home: Home, names: bool) -> None:
    with Collector() as collector:
        async with serving(home.bind_path()) as running:
            arguments = ["--endpoint", collector.url, *(["--names"] if names else [])]
            with tracing(home, *arguments, OTEL_BSP_SCHEDULE_DELAY="50") as (process, said):
                await play(running, process)
                await until_sent(collector, "round")
        assert said == [""]
        assert sorted(collector.spans()) == ["open", "ready", "round"]
        assert any(ex.JOB.encode() in body for body in collector.bodies) is names
        assert collector.about()["service.name"] == "assay"


async def test_the_usual_variables_rule_where_and_how(home: Home) -> None:
    with Collector() as collector:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_HEADERS": "api-key=long",
            "OTEL_SERVICE_NAME": "ward",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        async with serving(home.bind_path()) as running:
            with tracing(home, **variables) as (process, _):
                await play(running, process)
                await until_sent(collector, "round")
        assert collector.headers[0]["api-key"] == "long"
        assert collector.about()["service.name"] == "ward"


async def test_an_attempt_that_runs_when_it_is_ended_is_sent_too(home: Home) -> None:
    with Collector() as collector:
        async with serving(home.bind_path()) as running:
            arguments = ("--endpoint", collector.url)
            with tracing(home, *arguments, OTEL_BSP_SCHEDULE_DELAY="50") as (process, said):
                await play(running, process)
                for phase in ("open", "ready"):
                    facts = {"round": 1, "attempt": 0}
                    running.bus.publish("phase", phase, job=ex.JOB, facts=facts)
                await until_sent(collector, "open", 2)
                assert collector.spans().count("round") == 1
        assert collector.spans().count("round") == 2
        assert said == [""]


def test_what_stands_in_the_way_is_said_with_the_next_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(endpoint: str | None = None) -> Failure:
        with pytest.raises(Failure) as raised:
            command.traces(session=Session(), endpoint=endpoint)
        assert raised.value.end == Exit.USAGE
        return raised.value

    assert refused("localhost:4318").next == "assay traces --endpoint http://localhost:4318"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    assert "assay sends http/protobuf" in str(refused())
    monkeypatch.setattr(command, "_EXTRA", ("nowhere.to.be.found",))
    assert refused().next == "pip install 'assay[otel]'"


def test_the_daemon_loads_no_part_of_it() -> None:
    text = (
        "import sys, node.daemon, node.cli.app; node.cli.app.build();"
        "print([m for m in sys.modules if m.startswith(('opentelemetry', 'apprise'))])"
    )
    said = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, cwd=ROOT)
    assert said.stdout == "[]\n", said.stderr
