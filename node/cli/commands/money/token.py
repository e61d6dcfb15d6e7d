"""token: the ERC-20 tokens that this home's user calls by name. No daemon is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from node.cli.options import Here
from node.console.asking import agree
from node.console.failure import Failure
from node.console.show import Table
from node.control.codes import Exit

if TYPE_CHECKING:
    from node.chain.tokens.reading import Told
    from node.home.config import Config
    from protocol.tokens import Token, Tokens


def token_add(
    address: Annotated[str, Parameter(help="The token's contract: 0x and 40 hex digits.")],
    *,
    name: Annotated[
        str | None, Parameter(help="What to call it here; default: the symbol that it says.")
    ] = None,
    decimals: Annotated[
        int | None, Parameter(help="Its decimals; default: what it says.", negative=())
    ] = None,
    yes: Annotated[bool, Parameter(help="Add it without being asked.", negative=())] = False,
    session: Here,
) -> int:
    """Give an ERC-20 token a name, by which specs and amounts then call it.

    Its contract is asked for symbol and decimals, which are shown before they are kept. Anybody can
    make a token that calls itself by another's symbol: compare the address with its issuer's page.
    """
    import trio

    from node.home.config import load_config
    from node.home.tokens import change_tokens, load_tokens
    from protocol.addresses import parse_address, to_checksum
    from protocol.tokens import Token, said

    home = session.home
    config, wanted = load_config(home), parse_address(address, "address")
    if config.chain_url is None or config.chain_id is None:
        text = f"the chain's url or id is missing in {home.config}"
        raise Failure(Exit.USAGE, text, next_="assay init --chain-url URL --chain-id N")
    told = trio.run(_told, config, wanted)
    kept = Token(
        config.chain_id,
        wanted,
        _name(name, told),
        _decimals(decimals, told),
        said(told.symbol or ""),
    )
    # What stands in its way is said before anybody is asked.
    before = load_tokens(home)
    _with(before, kept)
    if not yes:
        command = _again(kept, name, decimals)
        agree(_shown(kept, told), f"call it {kept.name}?", command=command, left="not added")
    change_tokens(home, lambda tokens: _with(tokens, kept))
    lines = [
        *([f"warning: {text}" for text in _differs(kept, told)]),
        f"{kept.name} is {to_checksum(wanted)}, with {kept.decimals} decimals",
    ]
    session.emit(_row(kept), lines)
    return Exit.OK


def token_list(*, session: Here) -> int:
    """Tokens that this home calls by name, on its chain."""
    from node.home.tokens import load_tokens

    found = [_row(token) for token in load_tokens(session.home)]
    rows = [
        (str(t["name"]), str(t["decimals"]), str(t["address"]), str(t["symbol"] or "-"))
        for t in found
    ]
    headings = ("name", "decimals", "address", "its own word")
    empty = "no token is named here; amounts are in ether, or in units of an address"
    session.emit(found, [Table(headings, rows, empty, right=frozenset({"decimals"}))])
    return Exit.OK


def token_remove(
    name: Annotated[str, Parameter(help="Its name here, or its address.")], *, session: Here
) -> int:
    """Forget a token's name. Nothing moves; amounts in it are shown in units of its address."""
    from node.home.tokens import change_tokens, load_tokens
    from protocol.addresses import parse_address
    from protocol.tokens import Tokens

    known = load_tokens(session.home)
    by_address = name.startswith("0x")
    found = known.at(parse_address(name, "name")) if by_address else known.called(name)
    if found is None:
        raise Failure(
            Exit.USAGE,
            f"no token {name!r:.60} is named here",
            next_="assay token list",
            field="name",
        )
    change_tokens(session.home, lambda all_: Tokens(tuple(t for t in all_ if t != found)))
    session.emit(_row(found), [f"{found.name} is forgotten"])
    return Exit.OK


async def _told(config: Config, token: bytes) -> Told:
    from node.chain.client import ChainClient
    from node.chain.tokens.reading import describe

    urls = (config.chain_url or "", *config.chain_urls)
    client = await ChainClient.open(urls, config.chain_id or 0, agree=config.agree)
    try:
        await client.check()
        return await describe(client, token)
    finally:
        client.close()


def _name(given: str | None, told: Told) -> str:
    from protocol.errors import InputError
    from protocol.tokens import check_name, said

    if given is not None:
        check_name(given)
        return given
    if told.symbol is None:
        raise Failure(Exit.USAGE, told.problems[0], next_="the same with --name", field="name")
    try:
        check_name(told.symbol)
    except InputError as error:
        text = f"the token calls itself {said(told.symbol)!r}, which is no name here: it {error}"
        raise Failure(Exit.USAGE, text, next_="the same with --name", field="name") from None
    return told.symbol


def _decimals(given: int | None, told: Told) -> int:
    if given is not None:
        return given
    if told.decimals is None:
        text = told.problems[-1]
        raise Failure(Exit.USAGE, text, next_="the same with --decimals", field="decimals")
    return told.decimals


def _with(known: Tokens, token: Token) -> Tokens:
    from protocol.addresses import to_checksum
    from protocol.tokens import Tokens

    here = known.on(token.chain_id)
    held = here.at(token.address)
    if held is not None:
        _taken(f"{to_checksum(token.address)} is {held.name} here already", held)
    held = here.called(token.name)
    if held is not None:
        _taken(f"{held.name} is {to_checksum(held.address)} here already", held)
    return Tokens((*known, token))


def _taken(text: str, held: Token) -> None:
    next_ = f"assay token remove {held.name}, or the same with another --name"
    raise Failure(Exit.USAGE, text, next_=next_, field="name")


def _shown(token: Token, told: Told) -> str:
    from protocol.addresses import to_checksum
    from protocol.tokens import said

    calls = "says no symbol" if told.symbol is None else f"calls itself {said(told.symbol)!r}"
    count = "no decimals" if told.decimals is None else f"{told.decimals} decimals"
    differs = "".join(f"; {text}" for text in _differs(token, told))
    return (
        f"the token at {to_checksum(token.address)} on chain {token.chain_id} {calls}, with {count}"
        f"{differs}; anybody can make one that says so: compare the address with its issuer's page"
    )


def _differs(token: Token, told: Told) -> list[str]:
    if told.decimals in (None, token.decimals):
        return []
    return [f"you give it {token.decimals} decimals, and it says {told.decimals}"]


def _again(token: Token, name: str | None, decimals: int | None) -> str:
    from protocol.addresses import to_checksum

    own = "" if name is None else f" --name {name}"
    own += "" if decimals is None else f" --decimals {decimals}"
    return f"assay token add {to_checksum(token.address)}{own}"


def _row(token: Token) -> dict[str, object]:
    from protocol.addresses import to_checksum

    return {
        "name": token.name,
        "address": to_checksum(token.address),
        "decimals": token.decimals,
        "symbol": token.symbol,
        "chain_id": token.chain_id,
    }
