"""What the daemon does with a join line: the peer now, its channel contract from the next start."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from node.api import Api
from node.control import examples as ex
from node.home.config import Config, load_config, save_config
from node.home.home import Home
from protocol.errors import InputError, StateError

OTHER = "0x" + "44" * 20


class Swarm:
    def __init__(self) -> None:
        self.dialled: list[str] = []

    async def join(self, address: str) -> None:
        self.dialled.append(address)

    def connected(self) -> list[str]:
        return self.dialled


@pytest.fixture
def services(tmp_path: Path) -> Any:
    home = Home(tmp_path / "home")
    home.create()
    save_config(home, Config(chain_id=1337, contract=b"\x33" * 20))
    return SimpleNamespace(home=home, config=load_config(home), swarm=Swarm())


def api(services: Any) -> Any:
    nothing: Any = None
    return Api(services, nothing, nothing, nothing, nothing, nothing, nothing)


async def test_a_lines_channel_contract_outlives_the_daemon(services: Any) -> None:
    assert not (await api(services).join(ex.ADDRESS, None)).restart
    assert (await api(services).join(ex.ADDRESS, ex.OWNER)).restart
    services.config = load_config(services.home)
    assert services.config.channel_contract == bytes.fromhex(ex.OWNER[2:])
    assert services.config.bootstrap == (ex.ADDRESS,)
    assert not (await api(services).join(ex.ADDRESS, ex.OWNER)).restart


async def test_nobody_is_dialled_for_a_line_that_is_not_this_homes(services: Any) -> None:
    await api(services).join(ex.ADDRESS, ex.OWNER)
    with pytest.raises(StateError, match="channel contract 0x4444"):
        await api(services).join(ex.ADDRESS, OTHER)
    with pytest.raises(InputError, match="channels: "):
        await api(services).join(ex.ADDRESS, "0x12")
    assert services.swarm.dialled == [ex.ADDRESS]
