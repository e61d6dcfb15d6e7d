"""Pause this home's node while the machine has other work, and go on when that is done.

    python docs/examples/only_at_night.py [LOAD]

LOAD is the load average from which on it pauses; 2 if none is given. What was begun is finished,
and what is owed is released, paused or not. `limits.hours` in config.toml does it by the clock.
"""

import os
import sys
import time

from node.client import connect

most = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
node = connect()

while True:
    load = os.getloadavg()[0]
    held = node.rpc.pause() if load > most else node.rpc.resume()
    print(f"load {load:.1f}: {held['closed'] or 'taking jobs'}", flush=True)
    time.sleep(60)
