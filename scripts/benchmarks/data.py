"""The figures of data sets: which files are taken, and what reading them costs."""

from __future__ import annotations

from scripts.benchmarks import data_files, data_read, data_rows
from scripts.benchmarks.figures import Suite

SUITE = Suite(
    name="data",
    title="Data sets",
    figures=(data_files.FIGURE, data_read.FIGURE, data_rows.FIGURE),
)
