"""The command line: the parser of every command and its help (cyclopts), made from the table."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Container, Sequence
from typing import Annotated, Any, Final

from cyclopts import App, CycloptsError, Group, Parameter

from node.cli.menu.sentences import SENTENCES
from node.cli.menu.table import DEBUG, HELP, HOME, JSON, SECTIONS, Family
from node.console.failure import Failure
from node.console.session import Session
from node.control.codes import Exit

_COMMANDS: Final = "node.cli.commands"


def build(named: Container[str] | None = None) -> App:
    """The app; `named` holds the words of the line, None means that any word may follow.

    A command that the line does not name is not imported: help and suggestions know its word and
    its sentence, and nothing else asks for it.
    """
    app = App(name="assay", help=HELP, version=_version, version_flags=["--version"])
    app.meta.group_parameters = everywhere = Group("Global options", sort_key=0)
    app["--help"].group = app["--version"].group = everywhere
    for at, section in enumerate(SECTIONS, start=1):
        group = Group(section.title, sort_key=at)
        for entry in section.entries:
            wanted = named is None or entry.name in named
            if isinstance(entry, Family):
                app.command(_family(entry, group, wanted))
            elif wanted:
                app.command(_function(entry.function), name=entry.name, group=group)
            else:
                app.command(App(name=entry.name, help=SENTENCES[entry.name], group=group))
    return app


def _family(family: Family, group: Group, wanted: bool) -> App:
    app = App(name=family.name, help=family.sentence, group=group)
    if wanted:
        if family.function:
            app.default(_function(family.function))
        for each in family.commands:
            app.command(_function(each.function), name=each.name)
    return app


def _function(path: str) -> Callable[..., int]:
    module, _, name = path.partition(":")
    found: Callable[..., int] = getattr(importlib.import_module(f"{_COMMANDS}.{module}"), name)
    return found


def run(tokens: Sequence[str], remember: list[Session]) -> int:
    """Run one command line; its exit code. The session is put into `remember` once it is known.

    Raises Failure for bad usage, and whatever the command raises.
    """
    # What a shell is told of is every command.
    app = build(None if "completion" in tokens else tokens)
    codes: list[int] = []

    @app.meta.default
    def launch(
        *rest: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        home: Annotated[str | None, Parameter(help=HOME.sentence)] = None,
        json: Annotated[
            bool, Parameter(help=JSON.sentence, negative=(), show_default=False)
        ] = False,
        debug: Annotated[
            bool, Parameter(help=DEBUG.sentence, negative=(), show_default=False)
        ] = False,
    ) -> None:
        session = Session(home, json, debug)
        remember[:] = [session]
        command, bound, ignored = app.parse_args(rest, exit_on_error=False, print_error=False)
        given: dict[str, Any] = {"session": session, "app": app}
        extra = {name: given[name] for name in ignored}
        codes.append(int(command(*bound.args, **bound.kwargs, **extra) or 0))

    try:
        app.meta(list(tokens), exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        path = " ".join(("assay", *(error.command_chain or ())))
        raise Failure(Exit.USAGE, _text(error), next_=f"{path} --help") from None
    return codes[0] if codes else Exit.OK


def _text(error: CycloptsError) -> str:
    return " ".join(str(error).split())


def _version() -> str:
    from node.version import VERSION  # late: reading the metadata takes 20 ms

    return f"assay {VERSION}"
