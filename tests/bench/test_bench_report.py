"""What is printed and written: names are checked, the page keeps what was not measured anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.benchmarks import __main__ as bench
from scripts.benchmarks import report
from scripts.benchmarks.figures import (
    Bar,
    BenchError,
    Context,
    Figure,
    Measurement,
    On,
    Result,
    Suite,
    shown,
)
from scripts.benchmarks.machine import Machine, here

SETTING = report.Setting(
    Machine("A Processor", 2, "Linux 6.1", 0.5), 5, {"flower": {"Python": "3.11", "flwr": "1.2"}}
)


def fixed(context: Context) -> Measurement:
    return Measurement(
        ours=2.0, peer=9.0, parts={"sum": (1.5, 8.0), "open": (0.5, None)}, notes=["by hand"]
    )


def alone(context: Context) -> Measurement:
    return Measurement(ours=1234)


MASKS = Figure("quick", "a quick thing", "ms", Bar(On.RATIO, 5), fixed, None)
BYTES = Figure("bytes", "bytes of a thing", "bytes", None, alone, None)
SUITE = Suite("tests", "Tests", (MASKS, BYTES))
OTHER = Suite("others", "Others", (Figure("third", "another", "s", None, alone, None),))


@pytest.fixture(autouse=True)
def suites(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "SUITES", (SUITE, OTHER))


def test_names_are_suites_or_figures_in_their_own_order() -> None:
    assert bench.chosen([]) == [(SUITE, [MASKS, BYTES]), (OTHER, list(OTHER.figures))]
    assert bench.chosen(["tests"]) == [(SUITE, [MASKS, BYTES])]
    assert bench.chosen(["bytes", "quick"]) == [(SUITE, [MASKS, BYTES])]
    assert bench.chosen(["third", "bytes"]) == [(SUITE, [BYTES]), (OTHER, list(OTHER.figures))]


def test_a_name_that_nothing_has_is_refused_with_those_that_are() -> None:
    with pytest.raises(BenchError, match="'speed'; there are: tests, quick, bytes, others, third"):
        bench.chosen(["quick", "speed"])


def test_json_is_one_object_a_figure_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.run(["tests"], 3, True, tmp_path / "page.md")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["figure"] for line in lines] == ["quick", "bytes"]
    assert [line["met"] for line in lines] == [False, None]
    assert all(
        set(line) == {"figure", "ours", "peer", "peer_name", "ratio", "unit", "bar", "met"}
        for line in lines
    )


def test_a_page_is_written_for_whole_suites_only(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    bench.run(["quick"], 1, True, page)
    assert not page.exists()
    bench.run(["quick", "third"], 1, True, page)
    assert "bench: others" in page.read_text()
    assert "bench: tests" not in page.read_text()


def test_a_measurement_that_makes_no_sense_ends_the_run() -> None:
    def senseless(context: Context) -> Measurement:
        raise ValueError("0 runs of 2 sides measure nothing")

    figure = Figure("senseless", "nothing", "s", None, senseless, None)
    with bench.Bench(1) as context, pytest.raises(BenchError, match="senseless: 0 runs"):
        bench.measure(context, figure)


class Still:
    """A side that runs nowhere."""

    python, versions = "3.11", {"package": "1.0"}

    def close(self) -> None:
        """Nothing to end."""


def test_a_section_names_the_sides_that_its_suite_ran_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asks(*names: str) -> Suite:
        def measured(context: Context) -> Measurement:
            for name in names:
                context.side(name)
            return Measurement(ours=1.0)

        own = "-".join(names)
        return Suite(own, own, (Figure(f"of-{own}", "it", "s", None, measured, None),))

    monkeypatch.setattr(bench.drivers, "start", lambda name: Still())
    monkeypatch.setattr(bench, "SUITES", (asks("engine", "phe"), asks("engine", "flower")))
    bench.run([], 1, True, tmp_path / "page.md")
    first, second = (tmp_path / "page.md").read_text().split("<!-- end -->")[:2]
    assert "- phe: Python 3.11, package 1.0" in first
    assert "- flower" not in first
    assert "- engine: Python 3.11, package 1.0" in second
    assert "- phe" not in second


def results() -> list[Result]:
    return [Result(MASKS, Measurement(2.0, 9.0, parts={"sum": (1.5, None)}), "flwr 1.2")]


def test_text_has_everything_that_a_reader_needs() -> None:
    text = report.as_text(SUITE, results(), SETTING)
    for part in ("2 ms", "9 ms (flwr 1.2)", "4.5", "ratio at least 5", "not met", "1.5 ms"):
        assert part in text
    for part in ("A Processor, 2 cores, Linux 6.1, load 0.50", "flower: Python 3.11, flwr 1.2"):
        assert part in text


def test_a_section_is_replaced_and_all_else_stays(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    first = report.as_section(SUITE, results(), SETTING)
    report.write_page(page, {"tests": first, "others": "## Others\n"})
    before = page.read_text()
    report.write_page(page, {"tests": first})
    assert page.read_text() == before
    report.write_page(page, {"tests": "## Tests, again \\1\n"})
    after = page.read_text()
    assert first not in after
    assert "## Tests, again \\1\n" in after
    assert "## Others" in after
    assert after.startswith("# Benchmarks")
    assert list(tmp_path.iterdir()) == [page]


def test_a_markdown_table_has_as_many_cells_in_each_row() -> None:
    section = report.as_section(SUITE, results(), SETTING)
    tables = [line for line in section.splitlines() if line.startswith("|")]
    assert len(tables) == 6
    assert {line.count("|") for line in tables[:3]} == {8}
    assert {line.count("|") for line in tables[3:]} == {4}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0.0, "0"),
        (0.012345, "0.0123"),
        (5.958, "5.96"),
        (1234, "1,234"),
        (1e6, "1,000,000"),
    ],
)
def test_numbers_for_people(value: float | None, text: str) -> None:
    assert shown(value) == text


def test_this_machine_has_a_name() -> None:
    assert str(here().cores) in str(here())
    assert here().processor
