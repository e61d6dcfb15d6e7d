"""What holds for every test."""

from __future__ import annotations

import pytest

# Before any kit is imported: their assertions explain themselves as those of test modules do.
pytest.register_assert_rewrite("kits")

from kits import examples  # noqa: E402

examples.register()
