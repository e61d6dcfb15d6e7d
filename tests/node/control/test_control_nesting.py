"""A line that nests deep is refused before it is parsed: parsing it would end the process."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from node.control.rpc import parse

#: What web3 brings along raises the recursion limit to this, in every daemon.
_WITH_WEB3 = 100_000

_PARSE = f"""
import sys
from node.control.rpc import parse
sys.setrecursionlimit({_WITH_WEB3})
try:
    parse(sys.stdin.buffer.read())
except ValueError as error:
    print(error)
"""


def test_a_deep_line_is_refused_under_the_limit_that_web3_sets() -> None:
    """In a process of its own: without the check this is a segmentation fault."""
    done = subprocess.run(
        [sys.executable, "-c", _PARSE], input=b"[" * 200_000, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout.strip()) == (0, b"nested more than 512 deep")


def test_brackets_of_a_spec_are_no_depth() -> None:
    text = '[[features]]\nnames = "x_{0..1}"\n' * 2_000
    line = json.dumps({"params": {"spec": text}}).encode()
    assert parse(line) == {"params": {"spec": text}}
    with pytest.raises(ValueError, match="nested more than"):
        parse(b'{"a":' * 513 + b"1" + b"}" * 513)
