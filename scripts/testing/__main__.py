"""Every check: format, lint, types, tests. The whole of it, or single rooms.

All checks run, whatever fails; the exit code is 0 only if none did.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from .keeper import kept
from .rooms import Rooms, UnknownRoom

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

#: More workers than cores: many tests wait for processes, blocks and deadlines.
WORKERS_A_CORE = 2

#: Arguments of pytest by which somebody looks at one test, or says how many workers there are.
ALONE = {"--pdb", "--trace", "--collect-only", "--co", "-s", "--numprocesses", "--setup-plan"}

#: Python without an extension, which ruff finds only by name.
PROGRAMS = tuple(
    f"scripts/{name}"
    for name in ("json-shapes", "make-venv", "map", "menu", "page-pictures", "round-diagram")
)

#: What cannot be told by pytest's own code: no test was collected.
NO_TESTS = 5


def main(arguments: Sequence[str]) -> int:
    options, rest = parser().parse_known_args(arguments)
    rooms = Rooms(ROOT)
    try:
        chosen = [rooms.find(name) for name in options.room]
    except UnknownRoom as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    if options.dependents:
        if not chosen:
            print("error: --dependents: of which rooms? name them by --room", file=sys.stderr)
            return 2
        chosen += rooms.dependents(chosen)
        print(f"== rooms: {', '.join(chosen)}", flush=True)
    signal.signal(signal.SIGTERM, _stop)
    _compile_once()
    with kept():
        return _run(rooms, chosen, options.long, rest)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="scripts/test",
        description="Format, lint, types, tests. All other arguments go to pytest.",
        allow_abbrev=False,
    )
    made.add_argument(
        "--room",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="the tests of these rooms only: wire, net, arith/sealed, contract; "
        "node, protocol and arith stand for the modules at their roots",
    )
    made.add_argument(
        "--dependents", action="store_true", help="and of all rooms that rest on them"
    )
    made.add_argument(
        "--long", action="store_true", help="tests that take minutes too, and many more examples"
    )
    return made


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _compile_once() -> None:
    """Let every process keep what it compiles: hundreds of them import the same modules."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def _run(rooms: Rooms, chosen: list[str], long: bool, rest: list[str]) -> int:
    named = [".", *PROGRAMS]
    failed = [
        name
        for name, command in (
            ("ruff format", ["ruff", "format", "--check", *named]),
            ("ruff check", ["ruff", "check", *named]),
            ("mypy --strict", ["mypy"]),
        )
        if not _passes(name, [str(BIN / command[0]), *command[1:]])
    ]
    if failed:
        print(f"== failed before the tests: {'; '.join(failed)}")
    # Last, so that the last line is pytest's summary.
    print("== pytest", flush=True)
    paths = [str(path.relative_to(ROOT)) for room in chosen for path in rooms.tests(room)]
    if chosen and not paths:
        print(f"   {', '.join(chosen)}: no tests")
        return 1 if failed else 0
    command = [sys.executable, "-m", "pytest", *_settings(long, chosen, paths, rest), *rest]
    code = _call([*command, *paths])
    if chosen and code == NO_TESTS:  # all of them are long
        code = 0
    return 1 if failed and not code else code


def _settings(long: bool, chosen: list[str], paths: list[str], rest: list[str]) -> list[str]:
    # Continuous integration tries more examples than somebody waits for.
    profile = "long" if long else "ci" if os.environ.get("CI") else "dev"
    # Skipped tests are told with what they lack: a browser, a database.
    settings = ["--durations=10", "-rs", f"--hypothesis-profile={profile}"]
    if profile != "long":
        settings += ["-m", "not long" if profile == "ci" else "not long and not ci"]
    if not any(each.split("=")[0] in ALONE or each.startswith("-n") for each in rest):
        # Continuous integration has time: it crowds the machine less, and waits for less luck.
        workers = (1 if os.environ.get("CI") else WORKERS_A_CORE) * (os.cpu_count() or 1)
        # One module is not divided.
        most = len(paths) if chosen else workers
        if min(workers, most) > 1:
            settings.append(f"--numprocesses={min(workers, most)}")
    return settings


def _passes(name: str, command: list[str]) -> bool:
    print(f"== {name}", flush=True)
    began = time.monotonic()
    passed = _call(command) == 0
    print(f"   {'ok' if passed else 'FAILED'}, {time.monotonic() - began:.0f} s", flush=True)
    return passed


def _call(command: list[str]) -> int:
    """A command's exit code. Ctrl-C is for the command, which says what it has and ends."""
    with subprocess.Popen(command, cwd=ROOT) as process:
        interrupted = False
        try:
            while True:
                try:
                    code = process.wait()
                    break
                except KeyboardInterrupt:
                    interrupted = True
        except BaseException:
            process.kill()
            raise
    if interrupted:
        raise SystemExit(128 + signal.SIGINT)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
