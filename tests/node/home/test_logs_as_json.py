"""The log as JSON: one object a line, whatever a message holds, and read back as it was."""

from __future__ import annotations

import json
import logging

from hypothesis import given
from hypothesis import strategies as st

from node.home.logs import formatter, parsed, plain


def record(message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    caught = None if error is None else (type(error), error, None)
    return logging.LogRecord("assay.jobs", logging.WARNING, "x.py", 1, message, args, caught)


@given(st.text())
def test_a_message_stays_one_line_and_is_read_back(text: str) -> None:
    line = formatter("json").format(record("job %s: %s", "ab", text))
    assert "\n" not in line
    assert line.isascii()
    found = parsed(line)
    assert found["message"] == f"job ab: {text}"
    assert (found["level"], found["logger"]) == ("warning", "assay.jobs")
    assert found == json.loads(line)


def test_a_traceback_follows_below_the_line_for_a_person() -> None:
    line = formatter("json").format(record("it broke", error=ValueError("first\nsecond")))
    assert "\n" not in line
    shown = plain(line).split("\n")
    assert shown[0].endswith("WARNING assay.jobs: it broke")
    assert shown[-2:] == ["ValueError: first", "second"]


def test_the_text_is_read_as_before() -> None:
    line = formatter("text").format(record("as %s", "ever"))
    assert parsed(line)["message"] == "as ever"
    assert plain(line) == line


@given(st.one_of(st.text(), st.text().map('{"time"'.__add__), st.just('{"time":' + "[" * 100_000)))
def test_whatever_stands_in_the_file_is_a_line(text: str) -> None:
    assert parsed(text)["message"] is not None
    assert plain(text) is not None


def test_json_that_is_no_record_is_shown_as_it_is() -> None:
    for line in ('{"time": 5}', '{"time": "a", "level": "b"}', '{"time": []}', "[]"):
        assert parsed(line) == {"message": line}
        assert plain(line) == line
