"""A worker process: niced, single-threaded in its linear algebra, bound to its daemon.

Imported by workers before anything else of ours, so it imports nothing that is heavy: numpy and
polars read their thread counts from the environment when they are first imported.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from multiprocessing import parent_process
from multiprocessing.connection import wait
from typing import Final

from node.workers.memory import keep_private

#: Below everything interactive, above what runs only on an idle machine.
NICENESS: Final = 10

#: Processor time between two rests of a worker that has less than a core.
_STRETCH_SECONDS: Final = 0.02

#: One thread each: many daemons may share a machine, and the pool is the parallelism (measured).
THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)


def prepare(share: int = 100) -> None:
    """Runs once in a new worker, before its first computation. `share`: of a core, percent."""
    for name in THREAD_VARIABLES:
        os.environ[name] = "1"
    # A worker needs no passphrase and no control socket: keep what names them out of its reach.
    for name in [name for name in os.environ if name.startswith("ASSAY_") or name == "PGPASSWORD"]:
        del os.environ[name]
    os.nice(NICENESS)
    # A core file would hold private rows and keys.
    keep_private()
    if share < 100:
        _rest_between(share)
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()


def _rest_between(share: int) -> None:
    """Sleep after each stretch of computing, so that the worker has `share` percent of a core.

    The system counts the processor time that this process used and sends SIGPROF; Python runs the
    handler between two of its own instructions, which no lock of a library can be held across. A
    long call into a library is paid back after it.
    """
    worked = time.process_time()

    def rest(number: int, frame: object) -> None:
        nonlocal worked
        used = time.process_time() - worked
        time.sleep(used * (100 / share - 1))
        worked = time.process_time()

    signal.signal(signal.SIGPROF, rest)
    signal.setitimer(signal.ITIMER_PROF, _STRETCH_SECONDS, _STRETCH_SECONDS)


def _end_with_parent() -> None:
    """End at once when the daemon does, however it ended: nobody wants the result any more.

    Not prctl(PR_SET_PDEATHSIG): that one fires when the *thread* that started the worker ends, and
    trio's threads come and go.
    """
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
