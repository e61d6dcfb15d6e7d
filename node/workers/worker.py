"""A worker process: niced, single-threaded in its linear algebra, bound to its daemon.

Imported by workers before anything else of ours, so it imports nothing that is heavy: numpy and
polars read their thread counts from the environment when they are first imported.
"""

from __future__ import annotations

import os
import threading
from multiprocessing import parent_process
from multiprocessing.connection import wait
from typing import Final

from node.workers.memory import keep_private

#: Below everything interactive, above what runs only on an idle machine.
NICENESS: Final = 10

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


def prepare() -> None:
    """Runs once in a new worker, before its first computation."""
    for name in THREAD_VARIABLES:
        os.environ[name] = "1"
    # A worker needs no passphrase and no control socket: keep what names them out of its reach.
    for name in [name for name in os.environ if name.startswith("ASSAY_") or name == "PGPASSWORD"]:
        del os.environ[name]
    os.nice(NICENESS)
    # A core file would hold private rows and keys.
    keep_private()
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()


def _end_with_parent() -> None:
    """End at once when the daemon does, however it ended: nobody wants the result any more.

    Not prctl(PR_SET_PDEATHSIG): that one fires when the *thread* that started the worker ends, and
    trio's threads come and go.
    """
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
