"""Notices by apprise, to URLs of the user's own: mail, phones, chats. An extra of the package."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from node.console.failure import Failure
from node.console.notices import Notice
from node.control.codes import Exit

#: Sends a notice; says why not all of it arrived, or nothing.
Sender = Callable[[Notice], str]

_NEXT: Final = "assay notify --apprise ntfy://TOPIC"


def sender(urls: Iterable[str], file: Path | None) -> Sender | None:
    """What sends to all of these URLs, and to those of a file, one a line; None: there are none.

    A URL may hold a password: no error has more of it than what stands before '://'. Raises
    Failure: the extra is not installed, the file cannot be read, or apprise does not know one.
    """
    wanted = [*urls, *(_lines(file) if file else ())]
    if not wanted:
        return None
    if importlib.util.find_spec("apprise") is None:
        text = "apprise is not installed: the extra `notices`"
        raise Failure(Exit.USAGE, text, next_="pip install 'assay[notices]'")
    from apprise import Apprise, NotifyFormat

    made = Apprise()
    for number, url in enumerate(wanted, 1):
        if not made.add(url):
            kind = url.partition("://")[0] if "://" in url else "no address"
            text = f"URL {number} of {len(wanted)} ({kind}) is none that apprise knows"
            raise Failure(Exit.USAGE, text, next_=_NEXT, field="apprise")

    def send(notice: Notice) -> str:
        # Text, so that a title of somebody else's is no markup where a chat has one.
        done = made.notify(body=notice.text, title="assay", body_format=NotifyFormat.TEXT)
        return "" if done else "apprise: not every URL took the notice"

    return send


def _lines(file: Path) -> list[str]:
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        text = f"{file} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise Failure(Exit.USAGE, text, next_=_NEXT, field="apprise-file") from None
    found = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not found:
        text = f"{file} holds no URL; one a line is needed"
        raise Failure(Exit.USAGE, text, next_=_NEXT, field="apprise-file")
    return found
