"""`assay demo` under masks alone: what `--proof norm` is measured beside."""

from __future__ import annotations

import sys
from unittest.mock import patch

from node.cli.main import main
from node.demo import story
from node.demo.recipes.columns import Table
from node.demo.recipes.job import Recipe, spec


def masked(table: Table, recipe: Recipe) -> str:
    """The demo's spec, without encryption around its masks."""
    return spec(table, recipe) + '\n[encryption]\nenvelope = "masks"\n'


if __name__ == "__main__":
    with patch.object(story, "spec", masked):
        sys.exit(main())
