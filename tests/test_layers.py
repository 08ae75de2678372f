"""Imports point down: the layers of the core, and what models may know of it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.sources import imported_modules

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
SHARED = {
    "submit_hf": frozenset({"submit_sam2", "submit_sam3"}),
    "submit_sam3": frozenset({"submit_sam2"}),
}


def core_files() -> list[Path]:
    return sorted(CORE.rglob("*.py"))


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


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


def test_core_modules_import_only_from_lower_layers() -> None:
    wrong = []
    for path in core_files():
        module = module_name(path, ROOT)
        own = unit(module)
        if own in (None, "__main__"):
            continue  # One re-exports, the other one starts the command.
        assert own is not None
        for name in imported_modules(path, ROOT):
            if name == "submit":  # This imports everything that it re-exports.
                wrong.append((module, LAYER_OF[own], name))
            reached = unit(name)
            if reached is None or reached == own:
                continue
            if LAYER_OF.get(reached, len(LAYERS)) >= LAYER_OF[own]:
                wrong.append((module, LAYER_OF[own], name))
    assert wrong == []


def test_models_import_only_what_a_strangers_could() -> None:
    families = {folder.name for folder in MODELS.iterdir()}
    wrong = []
    for path in sorted(MODELS.rglob("*.py")):
        module = module_name(path, MODELS)
        family = module.split(".")[0]
        others = families - {family} - SHARED.get(family, frozenset())
        for name in imported_modules(path, MODELS):
            parts = name.split(".")
            if parts[0] in others or (
                parts[0] == "submit" and unit(name) not in OPEN_TO_MODELS
            ):
                wrong.append((module, name))
    assert wrong == []


def test_no_command_imports_another_one() -> None:
    """What commands share is in modules whose names begin with an underscore."""
    commands = {
        f"submit.cli.{path.stem}" for path in (ROOT / "submit" / "cli").glob("[!_]*.py")
    }
    wrong = [
        (path.name, name)
        for path in (ROOT / "submit" / "cli").glob("*.py")
        if path.name != "__init__.py"
        for name in imported_modules(path, ROOT)
        if name.rpartition(".")[0] in commands or name in commands
    ]
    assert len(commands) > 30
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
