"""`assay` of an owner that poisons: `python -m scripts.demos.poisoner up --home …`."""

from __future__ import annotations

import sys
from unittest.mock import patch

from node.cli.main import main
from node.work import proofs
from scripts.demos import poison

if __name__ == "__main__":
    # The daemon names the function, and its workers find this one by that name.
    with patch.object(proofs, "contribution", poison.contribution):
        sys.exit(main())
