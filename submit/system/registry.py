"""Registries: objects that are chosen by name, each in its own file.

A registry belongs to a folder of modules. Its first use imports them all, and each
registers what it defines. So a new file in the folder is enough: the command line,
settings files, `submit tune` and the docs are made from the registry.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Generic, Protocol, TypeVar

__all__ = ["Named", "Registry"]


class Named(Protocol):
    """An entry of a registry."""

    @property
    def name(self) -> str:
        """The name by which it is chosen."""
        ...

    @property
    def order(self) -> int:
        """Its place among the others: lower ones come first."""
        ...


Entry = TypeVar("Entry", bound=Named)


class Registry(Mapping[str, Entry], Generic[Entry]):
    """All entries of one kind by name, in their order.

    Args:
        package: The package whose modules register: `submit.postprocess.filters`.
    """

    def __init__(self, package: str) -> None:
        self._package = package
        self._entries: dict[str, Entry] = {}
        self._complete = False

    def register(self, entry: Entry) -> Entry:
        """Add an entry, and return it; also for use as a decorator.

        Raises:
            ValueError: The name is taken.
        """
        if entry.name in self._entries:
            raise ValueError(f"{self._package} has two entries called {entry.name!r}")
        self._entries[entry.name] = entry
        ordered = sorted(self._entries.items(), key=lambda item: item[1].order)
        self._entries = dict(ordered)
        return entry

    def remove(self, name: str) -> None:
        """Remove an entry."""
        del self._known()[name]

    def _known(self) -> dict[str, Entry]:
        if not self._complete:
            self._complete = True
            package = import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__):
                import_module(f"{self._package}.{module.name}")
        return self._entries

    def __getitem__(self, name: str) -> Entry:
        return self._known()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known())

    def __len__(self) -> int:
        return len(self._known())
