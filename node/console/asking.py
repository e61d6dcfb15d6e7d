"""A question before something is spent or believed. Whoever cannot be asked has not agreed.

Standard library and console/ only.
"""

from __future__ import annotations

import sys

from node.console.failure import Failure
from node.console.show import clean
from node.control.codes import Exit


def agree(text: str, question: str, *, command: str, left: str) -> None:
    """Say `text`, ask `question` of whoever sits at the terminal, and return if the answer is yes.

    Raises Failure where nobody sits there (the next command is `command --yes`), and where the
    answer is another: `left` then says what was left as it was. Standard output stays clean.
    """
    if not sys.stdin.isatty():
        said = f"{text}; nobody is there to agree"
        raise Failure(Exit.REFUSED, said, next_=f"{command} --yes")
    sys.stderr.write(f"{clean(text)}\n{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise Failure(Exit.REFUSED, left, next_=command)
