"""scripts/bench: chooses figures, measures them, prints them, writes docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from scripts.benchmarks import (
    contract,
    daemon,
    data,
    drivers,
    encrypt,
    machine,
    merit,
    proof,
    report,
    sale,
    sealed,
    secagg,
    user,
)
from scripts.benchmarks.drivers import Driver
from scripts.benchmarks.figures import BenchError, Figure, Result, Suite

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"

SUITES: Sequence[Suite] = (
    encrypt.SUITE,
    secagg.SUITE,
    proof.SUITE,
    sealed.SUITE,
    sale.SUITE,
    data.SUITE,
    daemon.SUITE,
    contract.SUITE,
    merit.SUITE,
    user.SUITE,
)

#: Malformed frames that a daemon reads: hours of them would change nothing.
FRAMES = 10_000_000

#: Runs of each side that a median is taken of: odd, so that it is one of them.
RUNS = 5


class Bench:
    """figures.Context: sides are started when a figure first asks for one, and end together. `used`
    are those that were asked for since it was last cleared."""

    def __init__(self, runs: int, frames: int = FRAMES) -> None:
        self.runs = runs
        self.frames = frames
        self.drivers: dict[str, Driver] = {}
        self.used: dict[str, Driver] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def side(self, name: str) -> Driver:
        """Raises BenchError if it cannot be started."""
        if name not in self.drivers:
            driver = drivers.start(name)
            self._stack.callback(driver.close)
            self.drivers[name] = driver
        self.used[name] = self.drivers[name]
        return self.drivers[name]

    def say(self, text: str) -> None:
        """Progress goes to standard error: standard output is the figures'."""
        print(f"bench: {text}", file=sys.stderr, flush=True)


def chosen(names: Sequence[str]) -> list[tuple[Suite, list[Figure]]]:
    """Figures by suite, in their own order; all where `names` is empty. A name is a suite's or a
    figure's. Raises BenchError on a name that is neither."""
    known = {suite.name for suite in SUITES} | {f.name for suite in SUITES for f in suite.figures}
    if unknown := [name for name in names if name not in known]:
        raise BenchError(f"no figure is called {unknown[0]!r}; there are: {', '.join(listed())}")
    choice = []
    for suite in SUITES:
        whole = not names or suite.name in names
        figures = [figure for figure in suite.figures if whole or figure.name in names]
        if figures:
            choice.append((suite, figures))
    return choice


def listed() -> list[str]:
    """Every name that can be asked for: suites, each before its figures."""
    return [name for suite in SUITES for name in (suite.name, *(f.name for f in suite.figures))]


def measure(bench: Bench, figure: Figure) -> Result:
    """Measures one figure. Raises BenchError if a side fails."""
    bench.say(f"{figure.name}: {figure.what}")
    try:
        found = figure.measure(bench)
    except ValueError as error:
        raise BenchError(f"{figure.name}: {error}") from error
    peer_name = None
    if figure.peer is not None:
        side, package = figure.peer
        peer_name = f"{package} {bench.side(side).versions[package]}"
    return Result(figure, found, peer_name)


def run(
    names: Sequence[str], runs: int, as_json: bool, page: Path | None, frames: int = FRAMES
) -> None:
    """All that was asked for. Figures are printed as they come with --json, a table a suite
    without. `page` gets the sections of suites that were measured whole."""
    choice = chosen(names)
    before = machine.here()
    sections = {}
    with Bench(runs, frames) as bench:
        for suite, figures in choice:
            results = []
            bench.used.clear()
            for figure in figures:
                results.append(measure(bench, figure))
                if as_json:
                    print(json.dumps(results[-1].as_json()), flush=True)
            sides = {n: {"Python": d.python, **d.versions} for n, d in bench.used.items()}
            setting = report.Setting(before, runs, sides)
            if not as_json:
                print(report.as_text(suite, results, setting), flush=True)
            if len(figures) == len(suite.figures):
                sections[suite.name] = report.as_section(suite, results, setting)
    if page is not None and sections:
        report.write_page(page, sections)
        bench.say(f"wrote {page}")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measures assay beside its peers. A suite that was measured whole is written "
        "to docs/benchmarks.md. The exit code is 0 if everything was measured, whether or not its "
        "bar was met.",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"all without any: {', '.join(listed())}"
    )
    parser.add_argument("--json", action="store_true", help="one object a figure, a line each")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"runs of each side ({RUNS})")
    parser.add_argument(
        "--frames", type=int, default=FRAMES, help=f"malformed frames of `frames` ({FRAMES:,})"
    )
    parser.add_argument("--no-page", action="store_true", help="leave docs/benchmarks.md alone")
    wanted = parser.parse_args()
    if wanted.runs < 1:
        parser.error("--runs must be at least 1")
    if wanted.frames < 1:
        parser.error("--frames must be at least 1")
    try:
        run(wanted.names, wanted.runs, wanted.json, None if wanted.no_page else PAGE, wanted.frames)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
