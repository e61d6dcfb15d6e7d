"""Parts of libraries that nothing here uses are not loaded: hollow modules stand in for them.

A library imports all that it can do with its first line: py-libp2p QUIC, WebSocket, TLS with ACME,
mDNS and a DHT, web3 an asyncio client. A daemon that waits would hold 45 MB of them, and would
have read them for a second at each start. Neither library has a setting for it (docs/adr/0016).
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

#: Parts of eth-utils that nothing here uses. Keys load it, and the chain: the first decides what
#: stays.
ETH_UTILS: Final = ("eth_utils.network", "eth_utils.pydantic")


class NotLoaded(Exception):
    """Something was used that this process does without."""


class _Hollow(type):
    """A class that may be named, inherited from and compared with, and never made one of."""

    def __call__(cls, *args: Any, **options: Any) -> Any:
        raise NotLoaded(
            f"{cls.__module__}.{cls.__qualname__} is not loaded (node/bounds/hollow.py)"
        )

    def __getattr__(cls, name: str) -> Any:
        return _hollow(cls.__module__, f"{cls.__qualname__}.{name}")


def _hollow(module: str, name: str) -> Any:
    if name.rpartition(".")[2].startswith("__"):
        raise AttributeError(name)
    # An exception's class, because it may be named behind `except` as well.
    return _Hollow(name, (Exception,), {"__module__": module, "__qualname__": name})


class _HollowModule(ModuleType):
    def __getattr__(self, name: str) -> Any:
        return _hollow(self.__name__, name)


class _Finder(MetaPathFinder, Loader):
    """Finds hollow modules for one thread; all others find what there is."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._thread = threading.get_ident()

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if threading.get_ident() != self._thread or not any(
            fullname == each or fullname.startswith(f"{each}.") for each in self._names
        ):
            return None
        if fullname.rpartition(".")[2].startswith("__"):
            return None  # no version, say: `from x import __version__` asks for a module, too
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _HollowModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""


@contextmanager
def without(*names: str) -> Iterator[None]:
    """What this thread imports in the block finds these modules hollow, and what is in them.

    Whatever is called there raises NotLoaded. A module that is loaded already stays what it is, and
    after the block everybody who imports one of them gets the real one.
    """
    finder = _Finder(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [each for each, m in sys.modules.items() if isinstance(m, _HollowModule)]:
            del sys.modules[name]
