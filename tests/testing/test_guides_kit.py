"""The kit that runs guides types what stands there, and fails where a reader would."""

from __future__ import annotations

from pathlib import Path

import pytest
from kits.guides import Command, File, Reader, commands, steps

GUIDE = """\
# A guide

```toml note.toml
a = 1
```

```sh
cat note.toml   # shows it
echo job \\
    0xab12
```

What it prints is not typed:

```text
job 0xab12
```

```sh other
echo again JOB 'JOB' NAME=JOBS
```
"""


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    path = tmp_path / "guide.md"
    path.write_text(GUIDE)
    return path


def test_a_guide_is_its_files_and_commands_in_order(guide: Path) -> None:
    assert list(steps(guide)) == [
        File("", "note.toml", "a = 1\n"),
        Command("", "cat note.toml"),
        Command("", "echo job 0xab12"),
        Command("other", "echo again JOB 'JOB' NAME=JOBS"),
    ]
    assert commands("# nothing\n\n") == []


def test_words_are_learnt_from_what_was_printed(guide: Path, tmp_path: Path) -> None:
    reader = Reader(tmp_path / "people", learns={"JOB": r"job (0x\w+)"})
    reader.read(guide)
    assert reader.said("cat") == "a = 1\n"
    assert reader.said("echo again") == "again 0xab12 0xab12 NAME=JOBS\n"
    assert not (tmp_path / "people" / "other" / "note.toml").exists()


def test_a_command_that_fails_or_a_word_that_nobody_told_fails_the_test(
    guide: Path, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError, match="nobody told the reader JOB"):
        Reader(tmp_path / "people").read(guide)
    guide.write_text("```sh\nls nowhere\n```\n")
    with pytest.raises(AssertionError, match=r"(?s)\$ ls nowhere.*ended with 2"):
        Reader(tmp_path / "people").read(guide)
    reader = Reader(tmp_path / "people", ends={"ls nowhere": 2})
    reader.read(guide)


def test_a_command_is_typed_again_until_it_prints_what_is_waited_for(
    guide: Path, tmp_path: Path
) -> None:
    guide.write_text("```sh\necho x >> file; wc -l file\n```\n")
    until = {"echo x >> file; wc -l file": r"^3 file"}
    Reader(tmp_path / "people", until=until).read(guide)
    with pytest.raises(AssertionError, match="ended with 0"):
        Reader(tmp_path / "people", until={**until}, seconds=0.0).read(guide)
