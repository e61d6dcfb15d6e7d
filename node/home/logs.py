"""How the daemon's log is written, as text or as one JSON object a line, and read again."""

from __future__ import annotations

import contextlib
import json
import logging
import re
from datetime import UTC, datetime
from typing import Final

TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_LINE: Final = re.compile(
    r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) ([A-Z]+) ([\w.]+): (.*)", re.DOTALL
)
#: An object of texts alone: nothing within it can make a reader of JSON go deep.
_TEXT: Final = r'"(?:[^"\\]|\\.)*"'
_FLAT: Final = re.compile(rf"\{{{_TEXT}: {_TEXT}(?:, {_TEXT}: {_TEXT})*\}}")
_KEYS: Final = ("time", "level", "logger", "message")


class JsonFormatter(logging.Formatter):
    """A record as one line: time (RFC 3339, UTC), level, logger, message, and the traceback of a
    defect. What peers sent cannot end the line: JSON escapes line breaks."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def formatter(name: str) -> logging.Formatter:
    """The formatter of a `node.log_format`, which the config has checked."""
    return JsonFormatter() if name == "json" else logging.Formatter(TEXT)


def parsed(line: str) -> dict[str, str]:
    """A line of either form as an object; what goes on below one has a message alone."""
    if match := _LINE.fullmatch(line):
        return dict(zip(_KEYS, (match[1], match[2].lower(), match[3], match[4]), strict=True))
    found: dict[str, str] = {}
    if _FLAT.fullmatch(line):
        with contextlib.suppress(ValueError):
            found = json.loads(line)
    return found if set(_KEYS) <= set(found) <= {*_KEYS, "exception"} else {"message": line}


def plain(line: str) -> str:
    """A line of either form as text, at this machine's time; a traceback follows below it."""
    found = parsed(line)
    if not line.startswith("{") or "time" not in found:
        return line
    with contextlib.suppress(ValueError, OverflowError, OSError):
        at = datetime.fromisoformat(found["time"]).astimezone()
        found["time"] = f"{at:%Y-%m-%d %H:%M:%S},{at.microsecond // 1000:03}"
    text = f"{found['time']} {found['level'].upper()} {found['logger']}: {found['message']}"
    return "\n".join([text, *found.get("exception", "").splitlines()])
