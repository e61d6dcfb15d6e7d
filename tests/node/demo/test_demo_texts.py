"""The demo of texts: its sentences, its job, and the whole of it where its files were fetched."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from kits.daemons.processes import environment

from node.demo.recipes.job import ACCEPTING
from protocol.spec.toml import parse_toml
from scripts.demos import text, texts


def read(path: Path) -> list[tuple[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [(row[texts.TEXT], row[texts.TARGET]) for row in csv.DictReader(file)]


def made(folder: Path, counts: tuple[int, ...], seed: int = 1) -> list[list[tuple[str, str]]]:
    """Files of a small corpus that holds repetitions, contradictions, numbers and other moods."""
    corpus = folder / "corpus.csv"
    rows = [f'{mood},1,"{mood} words {n}"' for mood in texts.CLASSES for n in range(20)]
    rows += [rows[0], "negative,1,torn", "positive,1,torn", "positive,1,12", "neutral,1,so so"]
    corpus.write_text("sentiment,confidence,text\n" + "\n".join(rows) + "\n")
    files = [(folder / f"part-{number}.csv", rows) for number, rows in enumerate(counts)]
    texts.write(texts.Texts(corpus, corpus), files, seed)
    return [read(path) for path, _ in files]


def test_no_sentence_stands_in_two_files_and_moods_are_even(tmp_path: Path) -> None:
    parts = made(tmp_path, (10, 20, 10))
    assert [len(part) for part in parts] == [10, 20, 10]
    every = [sentence for part in parts for sentence, _ in part]
    assert len(set(every)) == 40
    assert not {"torn", "12", "so so"} & set(every)
    for part in parts:
        assert sum(mood == "positive" for _, mood in part) == len(part) // 2
        assert all(sentence.startswith(mood) for sentence, mood in part)
    assert made(tmp_path, (10, 20, 10)) == parts
    assert made(tmp_path, (10, 20, 10), seed=2) != parts


def test_files_that_are_not_what_they_were_are_not_used(tmp_path: Path) -> None:
    other = texts.Texts(tmp_path / "encoder", tmp_path / "sentences")
    assert not other.whole
    other.encoder.write_bytes(b"assay/encoder/1\n")
    other.sentences.write_text("sentiment,confidence,text\n")
    assert not other.whole


def test_the_job_names_the_known_encoder_and_seals_its_head() -> None:
    table = (
        f'[encoder]\ndigest = "{texts.ENCODER}"\npackage_bytes = {texts.ENCODER_BYTES}\n'
        f'kind = "text"\ncolumns = ["{texts.TEXT}"]\npooling = "mean"\nsize = 384\n'
        "max_tokens = 256\n"
    )
    terms = parse_toml(text.job_of(table, 4.0)).terms
    assert terms.encoder is not None
    assert terms.encoder.digest.hex() == texts.ENCODER
    assert (terms.privacy.sealed, terms.privacy.epsilon) == (True, 4.0)
    assert (terms.feature_count, terms.columns) == (385, (texts.TEXT, texts.TARGET))
    assert (terms.cohort.min_owners, terms.cohort.max_owners) == (ACCEPTING, ACCEPTING)


@pytest.mark.long
def test_the_whole_of_it_holds(tmp_path: Path) -> None:
    if not texts.place().whole:
        pytest.skip("scripts/demo --sale fetches its encoder and sentences first")
    command = [sys.executable, "-m", "scripts.demos.text", "--data", "text", "--json"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["faults"] == []
    assert len(told["findings"]) > 10
