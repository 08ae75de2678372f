"""The toolkit's own modules, each parsed once for all tests that read them."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

__all__ = ["imported_modules", "parsed"]


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@functools.cache
def imported_modules(path: Path, root: Path) -> tuple[str, ...]:
    """The absolute names that a file below a source root imports, anywhere in it.

    `from a import b` gives `a.b`, which names the module `b` or something in `a`.
    """
    return tuple(_imported(path, list(path.relative_to(root).parent.parts)))


def _imported(path: Path, package: list[str]) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [] if node.level == 0 else package[: len(package) - node.level + 1]
            parts = base + (node.module.split(".") if node.module else [])
            yield from (".".join([*parts, alias.name]) for alias in node.names)
