"""Imports point down: the layers of the core, and what models may know of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "submit"
MODELS = ROOT / "models"


def read_layers() -> tuple[frozenset[str], ...]:
    """Take the layers of the core from the table in docs/design.md, lowest first."""
    page = (ROOT / "docs" / "design.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", page, re.MULTILINE)
    assert [number for number, _ in rows] == [str(n) for n in range(len(rows))]
    return tuple(frozenset(re.findall(r"`(\w+)`", names)) for _, names in rows)


LAYERS = read_layers()
LAYER_OF = {name: layer for layer, names in enumerate(LAYERS) for name in names}

#: All that a model may know of the core, so that a stranger's can be written alike.
OPEN_TO_MODELS = frozenset(
    {"errors", "formats", "masks", "png", "predictors", "training"}
)


#: What a model may import of another one's; the page says so.
SHARED = {"submit_sam3": frozenset({"submit_sam2"})}


def core_files() -> list[Path]:
    return sorted(CORE.rglob("*.py"))


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path: Path, root: Path) -> Iterator[str]:
    """Yield the absolute names that a file imports, anywhere in it.

    `from a import b` yields `a.b`, which names the module `b` or something in `a`.
    """
    package = list(path.relative_to(root).parent.parts)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [] if node.level == 0 else package[: len(package) - node.level + 1]
            parts = base + (node.module.split(".") if node.module else [])
            yield from (".".join([*parts, alias.name]) for alias in node.names)


def unit(name: str) -> str | None:
    """Name the core's module or subpackage that an import reaches, if it is one."""
    parts = name.split(".")
    if parts[0] != "submit" or len(parts) < 2:
        return None
    return parts[1]


def test_every_module_of_the_core_has_a_layer() -> None:
    units = {
        path.relative_to(CORE).with_suffix("").parts[0] for path in core_files()
    } - {"__init__", "__main__"}
    assert sorted(units - LAYER_OF.keys()) == []


def test_no_module_has_two_layers() -> None:
    assert len(LAYER_OF) == sum(map(len, LAYERS))


@pytest.mark.parametrize("path", core_files(), ids=lambda p: module_name(p, ROOT))
def test_a_core_module_imports_only_from_lower_layers(path: Path) -> None:
    own = unit(module_name(path, ROOT))
    if own in (None, "__main__"):
        return  # The package's own face re-exports, `__main__` starts the command.
    assert own is not None
    wrong = []
    for name in imported_modules(path, ROOT):
        if name == "submit":
            wrong.append(name)  # `import submit` imports everything it re-exports.
        reached = unit(name)
        if reached is None or reached == own:
            continue
        if LAYER_OF.get(reached, len(LAYERS)) >= LAYER_OF[own]:
            wrong.append(name)
    assert wrong == [], f"{path.name} is in layer {LAYER_OF[own]}"


@pytest.mark.parametrize(
    "path", sorted(MODELS.rglob("*.py")), ids=lambda p: module_name(p, MODELS)
)
def test_a_model_imports_only_what_a_strangers_could(path: Path) -> None:
    family = module_name(path, MODELS).split(".")[0]
    others = {folder.name for folder in MODELS.iterdir()} - {family}
    others -= SHARED.get(family, frozenset())
    wrong = []
    for name in imported_modules(path, MODELS):
        parts = name.split(".")
        if parts[0] in others or (
            parts[0] == "submit" and unit(name) not in OPEN_TO_MODELS
        ):
            wrong.append(name)
    assert wrong == []


def test_the_core_never_names_a_model_family() -> None:
    families = {folder.name for folder in MODELS.iterdir() if folder.is_dir()}
    wrong = [
        (path.name, name)
        for path in core_files()
        for name in imported_modules(path, ROOT)
        if name.split(".")[0] in families
    ]
    assert wrong == []
