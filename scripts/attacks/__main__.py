"""scripts/attack: runs attacks, prints what each gets without its defence and with it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from scripts.attacks import (
    differ,
    dropouts,
    duplicate,
    extract,
    kind,
    poison,
    puppets,
    residue,
    spy,
)
from scripts.attacks.table import Table

ATTACKS: Mapping[str, Callable[[], Table]] = {
    "differ": differ.run,
    "dropouts": dropouts.run,
    "duplicate": duplicate.run,
    "extract": extract.run,
    "kind": kind.run,
    "poison": poison.run,
    "puppets": puppets.run,
    "residue": residue.run,
    "spy": spy.run,
}


def main(
    arguments: Sequence[str] | None = None,
    attacks: Mapping[str, Callable[[], Table]] = ATTACKS,
) -> int:
    """Runs what is asked for, all without a name. 0 if every defence holds, 1 if one does not."""
    parser = argparse.ArgumentParser(
        prog="scripts/attack",
        description="Runs attacks without the defence against each, and with it. The exit code is "
        "0 if every attack worked without its defence and failed with it, else 1.",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"all without any: {', '.join(attacks)}"
    )
    parser.add_argument("--json", action="store_true", help="one object an attack, a line each")
    wanted = parser.parse_args(arguments)
    if unknown := [name for name in wanted.names if name not in attacks]:
        parser.error(f"no attack is called {unknown[0]!r}; there are: {', '.join(attacks)}")
    fell = []
    for name in dict.fromkeys(wanted.names or attacks):
        began = time.monotonic()
        table = attacks[name]()
        print(json.dumps(table.as_json()) if wanted.json else table.as_text(), flush=True)
        # Progress goes to standard error: standard output is the tables'.
        print(f"attack: {name} took {time.monotonic() - began:.1f} s", file=sys.stderr)
        if not table.holds:
            fell.append(name)
    if fell:
        print(f"error: a defence fell, or was not tried: {', '.join(fell)}", file=sys.stderr)
    return 1 if fell else 0


if __name__ == "__main__":
    sys.exit(main())
