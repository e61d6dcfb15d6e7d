"""A side for test_bench_drivers.py: it runs in a process of its own, as every side does."""

from __future__ import annotations

import os
from collections.abc import Mapping

PACKAGES = ("numpy",)


def echo(seconds: float) -> dict[str, object]:
    """Answers with what it was asked; chatters as libraries do."""
    print("chatter that is no answer")
    return {"seconds": seconds, "parts": {"all": seconds}, "counts": {"calls": 1}}


def environment(name: str) -> dict[str, object]:
    """Reads a number from its environment."""
    return {"seconds": float(os.environ[name])}


def wrong() -> dict[str, object]:
    """Finds that what it computed is not right."""
    raise ValueError("the sum is not the true one")


CALLS: Mapping[str, object] = {"echo": echo, "environment": environment, "wrong": wrong}
