"""`assay rpc`: parameters are one JSON object, or the command says so and calls nothing."""

from __future__ import annotations

import pytest

from node.cli.commands.rpc import parse, rpc
from node.console.failure import Failure
from node.console.session import Session
from node.control.codes import Exit


@pytest.mark.parametrize("text", ["", "{", "[1]", "7", "null", "[" * 100_000])
def test_what_is_no_object_is_refused_with_the_next_command(text: str) -> None:
    with pytest.raises(Failure) as caught:
        parse(text)
    assert caught.value.end == Exit.USAGE
    assert caught.value.next.startswith("assay rpc ")
    assert caught.value.field == "params"


def test_the_method_is_called_and_its_result_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called = []

    def call(_: Session, method: str, params: object) -> object:
        called.append((method, params))
        return {"peers": [1]}

    monkeypatch.setattr(Session, "call", call)
    assert rpc("peers", '{"a": 1}', session=Session()) == Exit.OK
    assert called == [("peers", {"a": 1})]
    assert capsys.readouterr().out == '{"peers": [1]}\n'
