"""Checks of the machine: clock, disk, memory, limits, versions, workers, walls for encoders."""

from __future__ import annotations

from typing import Final

from node.chain.watch import EARLY_HEAD_SECONDS
from node.console.amounts import size, span
from node.doctor.checks.blanks import blank
from node.doctor.findings import Finding, count, failure, not_asked, ok, warning
from node.doctor.seen import Blank, Seen
from node.store.store import MIN_SQLITE

MIB: Final = 1024**2
#: A step of a job needs a few MiB; below the second figure a job's blobs will soon not fit.
LEAST_DISK: Final = 64 * MIB
LITTLE_DISK: Final = 1024 * MIB
LEAST_FILES: Final = 1_000
#: What the daemon and each worker take, measured, with room for a small data set.
DAEMON_MEMORY: Final = 200 * MIB
WORKER_MEMORY: Final = 250 * MIB
#: Each peer is a file or two; the store, blobs and workers need some dozens.
LEAST_OPEN: Final = 256
FEW_OPEN: Final = 1_024
_MANY: Final = 2**31
#: All walls there are, by node.encoders.confining, which cannot be imported everywhere.
_WALLS: Final = ("limits", "landlock", "seccomp")
#: Of the home's own past: a clock that was set by hand may be this much off.
CLOCK_SECONDS: Final = 60.0


def clock(seen: Seen) -> Finding:
    """The clock agrees with the chain's newest block, and with the home's own past."""
    machine = seen.machine
    if isinstance(machine, Blank):
        return blank("the clock", machine)
    fix = "timedatectl set-ntp true"
    past = 0.0 if isinstance(seen.store, Blank) else seen.store.newest
    if past > machine.now + CLOCK_SECONDS:
        text = f"the clock is {span(past - machine.now)} before something that this home has seen"
        return failure(text, fix)
    serving = () if isinstance(seen.chain, Blank) else seen.chain.serving
    times = [each.head_time for each in serving if each.head is not None]
    if times:
        # One that lies about the time must not accuse the clock where others do not.
        early = min(times) - machine.now
        if early > EARLY_HEAD_SECONDS:
            text = f"the chain's newest block is {span(early)} in the future: the clock is slow"
            return failure(text, fix)
        return ok("the clock is not behind the chain")
    if past:
        return ok(
            "the clock is not behind this home's own past; no chain was there to compare with"
        )
    return not_asked("the clock: there is nothing to compare it with")


def disk(seen: Seen) -> Finding:
    """There is room to write."""
    found = seen.machine
    if isinstance(found, Blank):
        return blank("the disk", found)
    text = f"{size(found.free_bytes)} are free where the home lies"
    fix = "free some space there, or raise the quota"
    if found.free_bytes < LEAST_DISK:
        return failure(f"{text}: the daemon waits for room", fix)
    if found.free_files is not None and found.free_files < LEAST_FILES:
        left = count(found.free_files, "file")
        return failure(f"the file system has room for {left} more", "remove files there")
    if found.free_bytes < LITTLE_DISK:
        return warning(f"{text}: a job's batches may not fit", fix)
    return ok(text)


def memory(seen: Seen) -> Finding:
    """There is memory for the workers."""
    found = seen.machine
    if isinstance(found, Blank):
        return blank("memory", found)
    if found.memory is None:
        return not_asked("memory: the system does not tell how much is free")
    workers = 1 if isinstance(seen.config, Blank) else seen.config.workers
    running = not isinstance(seen.daemon, Blank) and seen.daemon.pid is not None
    wanted = workers * WORKER_MEMORY + (0 if running else DAEMON_MEMORY)
    text = f"{size(found.memory)} of memory are free"
    if found.memory < wanted:
        fix = "end other programs, or set workers = 1 in config.toml"
        return warning(f"{text}; {count(workers, 'worker')} may take {size(wanted)}", fix)
    return ok(text)


def limits(seen: Seen) -> Finding:
    """The daemon may open enough files, and workers fit the cores."""
    found = seen.machine
    if isinstance(found, Blank):
        return blank("limits", found)
    most = count(found.open_files, "file") if found.open_files < _MANY else "any number of files"
    text = f"at most {most} may be open at once"
    fix = "ulimit -n 4096, before: assay up"
    if found.open_files < LEAST_OPEN:
        return failure(f"{text}: too few for peers", fix)
    if found.open_files < FEW_OPEN:
        return warning(f"{text}: few for many peers", fix)
    workers = 1 if isinstance(seen.config, Blank) else seen.config.workers
    if workers > found.cores:
        said = f"{count(workers, 'worker')} for {count(found.cores, 'core')}: jobs slow each other"
        return warning(said, f"set workers = {found.cores} in config.toml")
    return ok(f"{count(found.cores, 'core')}, {count(workers, 'worker')}; {text}")


def versions(seen: Seen) -> Finding:
    """This assay, the daemon's, and packages whose version is fixed."""
    found = seen.versions
    if isinstance(found, Blank):
        return blank("versions", found)
    if found.sqlite < MIN_SQLITE:
        have, need = (".".join(map(str, each)) for each in (found.sqlite, MIN_SQLITE))
        return failure(f"SQLite {have} is too old; {need} is needed", "install a newer Python")
    if found.others:
        name, wanted, have = found.others[0]
        text = f"{name} is {have}, and this assay is made for {wanted}"
        return failure(text, "install assay anew into an environment of its own")
    daemon = seen.daemon
    if not isinstance(daemon, Blank) and daemon.status is not None:
        runs = daemon.status["version"]
        if runs != found.assay:
            text = f"the daemon is assay {runs}, and this command is {found.assay}"
            return warning(text, "assay down, then: assay up")
    return ok(f"assay {found.assay}, Python {found.python}")


def workers(seen: Seen) -> Finding:
    """A worker's libraries load."""
    found = seen.workers
    if isinstance(found, Blank):
        return blank("workers", found)
    if found.why:
        fix = "install assay anew into an environment of its own"
        return failure(f"a worker cannot start: {found.why}", fix)
    return ok(f"a worker's libraries load in {span(found.seconds)}")


def encoders(seen: Seen) -> Finding:
    """The walls that encoders run behind (docs/adr/0901)."""
    found = seen.encoders
    if isinstance(found, Blank):
        return blank("encoders", found)
    if found.missing:
        text = (
            f"encoders: not installed here are {', '.join(found.missing)}, without which jobs with"
        )
        return not_asked(
            f"{text} an encoder are not for this home", "pip install 'assay[encoders]'"
        )
    lacking = [wall for wall in _WALLS if wall not in found.walls]
    if lacking:
        text = (
            f"this machine walls encoders in by {' and '.join(found.walls) or 'nothing'} alone, "
            f"without {' and '.join(lacking)}: a fault of a library's is enough to get out"
        )
        fix = "take encoders of makers that you trust, or a Linux with Landlock and seccomp"
        return warning(text, fix)
    return ok(f"encoders run behind {', '.join(found.walls)}")
