"""What a user waits for and gives room to: commands, the page in a browser, the install."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import distribution, distributions
from pathlib import Path

from node.console.failure import Failure
from node.demo.swarm.processes import Children, assay
from scripts.benchmarks.figures import Bar, BenchError, Context, Figure, Measurement, On, Suite
from scripts.benchmarks.first_pay import first_pay
from scripts.testing.browser import BrowserError, browser

#: What the page's first view and `assay jobs` have to show.
_JOBS = 50
_EVENTS = 10_000

_START_SECONDS = 60.0
_MB = 1_000_000

#: Packages from this size on are named, each with its reason (docs/adr/0503).
_NAMED_FROM = 30 * _MB
_REASONS = {
    "numpy": "training runs on it",
    "polars-runtime-32": "reads tables and databases as people have them",
}


@contextmanager
def _node(apart: float = 0) -> Iterator[tuple[Path, Children, Path]]:
    """A home whose socket answers (stub_node), with a change every `apart` seconds if that is not
    0; the children to start others beside it, a folder."""
    try:
        with tempfile.TemporaryDirectory() as name, Children() as children:
            folder = Path(name)
            home = folder / "home"
            module = [sys.executable, "-m", "scripts.benchmarks.stub_node", str(home)]
            # Children run in another folder: they find this checkout by its path.
            os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
            command = [*module, str(_JOBS), str(_EVENTS), str(apart)]
            children.start("node", command, folder / "node.log").line(_START_SECONDS)
            yield home, children, folder
    except (Failure, BrowserError) as failure:
        raise BenchError(f"nothing was measured: {failure}") from failure


def command(context: Context, *words: str) -> Measurement:
    """Wall seconds of a command, from its start to its end: the median of the runs."""
    seconds = []
    with _node() as (home, _, _):
        for _ in range(context.runs):
            began = time.monotonic()
            done = subprocess.run([*assay("--home", str(home), *words)], capture_output=True)
            seconds.append(time.monotonic() - began)
            if done.returncode:
                raise BenchError(f"assay {' '.join(words)} failed: {done.stderr.decode()[-300:]}")
    return Measurement(
        ours=statistics.median(seconds),
        notes=[f"{min(seconds):.3g} to {max(seconds):.3g} (least to most of {len(seconds)} runs)"],
    )


def page(context: Context) -> Measurement:
    """Seconds from asking for the first view to its `load` event, scripts run: the median."""
    seconds, _ = _loads(context.runs)
    return Measurement(
        ours=statistics.median(seconds),
        notes=[
            f"{_JOBS} jobs, of which a fifth wait with their rules, after {_EVENTS:,} events; "
            f"headless Chromium on this machine; {min(seconds):.3g} to {max(seconds):.3g}"
        ],
    )


def page_bytes(context: Context) -> Measurement:
    """Kilobytes of the first view with style and scripts, as they travel."""
    _, size = _loads(context.runs)
    return Measurement(ours=size / 1000, notes=["uncompressed: loopback has no use for less"])


#: Notes, for each change of the view, how long ago the daemon changed: once the frame after the
#: one that it is drawn in begins, it is on the screen.
_WATCH = """
    window.seconds = [];
    const told = () => document.querySelector('main').textContent.match(/changed (\\d+)/)?.[1];
    let last = told();
    new MutationObserver(() => {
      const now = told();
      if (!now || now === last) return;
      last = now;
      requestAnimationFrame(() => requestAnimationFrame(() => {
        window.seconds.push((Date.now() - Number(now)) / 1000);
      }));
    }).observe(document.querySelector('main'), {childList: true, subtree: true});
"""

#: Seconds between two changes: more than the page leaves between two of its views.
_APART = 1.7


def page_live(context: Context) -> Measurement:
    """Seconds from a change in the daemon, of which an event tells, to the frame that shows it."""
    wanted = max(context.runs, 5)
    with _node(_APART) as (home, children, folder), browser() as seen:
        web = children.start("web", assay("--home", str(home), "--json", "web"), folder / "web.log")
        seen.go(str(web.line(_START_SECONDS)["address"]))
        seen.until("return document.querySelector('#pulse').classList.contains('live')")
        seen.run(_WATCH)
        seconds = seen.until(
            f"return window.seconds.length >= {wanted} && window.seconds",
            seconds=_START_SECONDS + 2 * _APART * wanted,
        )
    return Measurement(
        ours=statistics.median(seconds),
        notes=[
            f"{_JOBS} jobs, {len(seconds)} changes {_APART:g} s apart; headless Chromium on this "
            f"machine; {min(seconds):.3g} to {max(seconds):.3g}. Changes that follow closer wait: "
            "a view is asked for once a second at most"
        ],
    )


@cache
def _loads(runs: int) -> tuple[tuple[float, ...], int]:
    """Seconds of each load, and bytes of the first. Raises BenchError."""
    timing = "return performance.getEntriesByType('navigation')[0].loadEventEnd"
    sizes = (
        "return [...performance.getEntriesByType('navigation'),"
        " ...performance.getEntriesByType('resource')].reduce((a, b) => a + b.transferSize, 0)"
    )
    seconds, size = [], 0
    with _node() as (home, children, folder), browser() as seen:
        web = children.start("web", assay("--home", str(home), "--json", "web"), folder / "web.log")
        address = str(web.line(_START_SECONDS)["address"])
        seen.go(address)
        size = int(seen.run(sizes))
        for _ in range(runs):
            seen.go(address.partition("?")[0])
            seconds.append(float(seen.until(timing)) / 1000)
    return tuple(seconds), size


def install(context: Context) -> Measurement:
    """Megabytes on disk of assay and all that a base install needs, as they lie in this .venv."""
    sizes = {name: _bytes(name) for name in sorted(_base())}
    large = {name: size for name, size in sizes.items() if size >= _NAMED_FROM}
    told = ", ".join(
        f"{name} {size / _MB:.0f} ({_REASONS.get(name, 'for no reason that is written down')})"
        for name, size in large.items()
    )
    return Measurement(
        ours=sum(sizes.values()) / _MB,
        notes=[f"{len(sizes)} packages; of 30 MB and more: {told}; without bytecode"],
    )


def _base() -> set[str]:
    """Packages that `assay` needs without extras, by the markers of this machine."""
    # Late: only this figure needs it, and .venv has it with its builders.
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    needs = {
        canonicalize_name(each.metadata["Name"]): each.requires or [] for each in distributions()
    }
    found, waiting = set[str](), [canonicalize_name("assay")]
    while waiting:
        name = waiting.pop()
        if name in found or name not in needs:
            continue
        found.add(name)
        for text in needs[name]:
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(wanted.name))
    return found


def _bytes(name: str) -> int:
    """Bytes of a package's files, without what Python compiled of them."""
    files = distribution(name).files or []
    paths = (each.locate() for each in files if each.suffix != ".pyc")
    return sum(Path(str(path)).stat().st_size for path in paths if Path(str(path)).is_file())


def _timed(name: str, most: float, *words: str) -> Figure:
    def measure(context: Context) -> Measurement:
        return command(context, *words)

    return Figure(
        name=name,
        what=f"`assay {' '.join(words)}`, wall clock",
        unit="s",
        bar=Bar(On.OURS, most, at_most=True),
        measure=measure,
    )


SUITE = Suite(
    name="user",
    title="What a user waits for",
    figures=(
        _timed("cli-help", 0.25, "--help"),
        _timed("cli-status", 0.15, "status"),
        _timed("cli-jobs", 0.3, "jobs"),
        Figure(
            name="page",
            what=f"first view of the page, {_JOBS} jobs, to its load event",
            unit="s",
            bar=Bar(On.OURS, 0.5, at_most=True),
            measure=page,
        ),
        Figure(
            name="page-bytes",
            what="first view with style and scripts",
            unit="kB",
            bar=Bar(On.OURS, 300, at_most=True),
            measure=page_bytes,
        ),
        Figure(
            name="page-live",
            what="a change in the daemon to the frame that shows it",
            unit="s",
            bar=Bar(On.OURS, 0.5, at_most=True),
            measure=page_live,
        ),
        Figure(
            name="first-pay",
            what="the quick start's commands, to an owner's first payment",
            unit="s",
            bar=Bar(On.OURS, 240, at_most=True),
            measure=first_pay,
        ),
        Figure(
            name="install",
            what="base install on disk",
            unit="MB",
            bar=Bar(On.OURS, 450, at_most=True),
            measure=install,
        ),
    ),
)
