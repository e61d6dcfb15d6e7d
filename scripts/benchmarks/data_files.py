"""The share of public CSV files that `data add` takes as they are.

The files are those inside seven packages of tables, at the versions of peers/tables.lock: nobody
chose them for assay. None of the packages is imported.
"""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from scripts.benchmarks import environment
from scripts.benchmarks.figures import Bar, BenchError, Context, Figure, Measurement, On

#: The folders of packages in site-packages.
PACKAGES: Final = (
    "bokeh_sampledata",
    "lifelines",
    "palmerpenguins",
    "sklearn",
    "statsmodels",
    "vega_datasets",
)
#: R's tables lie in an archive within this one.
_ARCHIVE: Final = "pydataset/resources.tar.gz"
_SUFFIXES: Final = (".csv", ".csv.gz")
#: What macOS leaves beside each file that it packs.
_JUNK: Final = "._"
#: Characters of a refusal that the page shows.
_SHOWN: Final = 100


def tables(*folders: Path) -> list[Path]:
    """The CSV files below `folders`, by name."""
    return sorted(
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.name.lower().endswith(_SUFFIXES) and not path.name.startswith(_JUNK)
    )


def taken(paths: Sequence[Path], copies: Path) -> dict[Path, str]:
    """Those of `paths` that are refused, and why; copies of the others go to `copies`."""
    from node.data.datasets import import_file
    from protocol.errors import InputError

    refused: dict[Path, str] = {}
    for path in paths:
        try:
            import_file(path, copies)
        except InputError as error:
            refused[path] = str(error)
    return refused


def real_files(context: Context) -> Measurement:
    """Percent of the files. Raises BenchError where a package has none."""
    python = environment.python("tables")
    [packages] = python.parent.parent.glob("lib/python*/site-packages")
    with tempfile.TemporaryDirectory() as folder:
        copies, unpacked = Path(folder, "copies"), Path(folder, "pydataset")
        copies.mkdir()
        with tarfile.open(packages / _ARCHIVE) as archive:
            archive.extractall(unpacked, filter="data")
        folders = [*(packages / name for name in PACKAGES), unpacked]
        for each in folders:
            if not tables(each):
                raise BenchError(f"{each.name} has no CSV file: remove .venv-peers/tables")
        paths = tables(*folders)
        context.say(f"adding {len(paths):,} files")
        refused = taken(paths, copies)
    return Measurement(
        ours=100.0 * (len(paths) - len(refused)) / len(paths),
        notes=[
            f"{len(paths) - len(refused):,} of {len(paths):,} files inside {', '.join(PACKAGES)} "
            "and pydataset, .csv.gz among them, macOS's `._*` left out",
            *(f"refused: {words[:_SHOWN].removeprefix('data: ')}" for words in refused.values()),
        ],
    )


FIGURE: Final = Figure(
    name="real-files",
    what="CSV files inside seven public packages that `data add` takes as they are",
    unit="%",
    bar=Bar(On.OURS, 97),
    measure=real_files,
)
