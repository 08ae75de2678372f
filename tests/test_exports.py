from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sources import parsed

ROOT = Path(__file__).parents[1]

#: Commands are reached through the table of the group, not imported by name.
WITHOUT_EXPORTS = ("submit/__main__.py",)


def exporting_files() -> list[Path]:
    """List the modules that others import from; plugins export from their top."""
    files = sorted((ROOT / "submit").rglob("*.py"))
    files += sorted((ROOT / "models").glob("*/__init__.py"))
    return [
        path
        for path in files
        if path.relative_to(ROOT).as_posix() not in WITHOUT_EXPORTS
        and not (path.parent.name == "cli" and not path.name.startswith("_"))
    ]


def exported(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "__all__"
            for target in node.targets
        ):
            names = ast.literal_eval(node.value)
            assert isinstance(names, list)
            return names
    return None


def natural_key(name: str) -> tuple[int, list[tuple[bool, int, str]]]:
    """Sort as ruff's RUF022 does: CONSTANTS, Classes, functions; 2 before 10."""
    if name.isupper() and len(name) > 1:
        kind = 0
    elif name.lstrip("_")[:1].isupper():
        kind = 1
    else:
        kind = 2
    parts = [
        (not part.isdigit(), int(part) if part.isdigit() else 0, part)
        for part in re.split(r"(\d+)", name)
        if part
    ]
    return kind, parts


def defined(tree: ast.Module) -> set[str]:
    """Name the classes and functions that a module defines for others."""
    return {
        node.name
        for node in tree.body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef))
        and not node.name.startswith("_")
    }


def bound(tree: ast.Module) -> set[str]:
    """Name everything that a module's top level binds."""
    names = set()
    # What a module imports lazily stands under `if TYPE_CHECKING`.
    conditional = [
        each for node in tree.body if isinstance(node, ast.If) for each in node.body
    ]
    for node in [*tree.body, *conditional]:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


@pytest.mark.slow
def test_all_is_complete_sorted_and_true() -> None:
    for path in exporting_files():
        tree = parsed(path)
        names = exported(tree)
        if not tree.body[1:]:
            continue  # A package with nothing but its docstring.
        assert names is not None, f"{path}: no __all__"
        assert names == sorted(names, key=natural_key), path
        assert len(names) == len(set(names)), path
        assert sorted(set(names) - bound(tree)) == [], path
        assert sorted(defined(tree) - set(names)) == [], path


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = (
        "import submit, sys; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    ).stdout.split()
    heavy = {"click", "cv2", "numba", "numpy", "PIL", "ray", "requests", "rich"}
    heavy |= {"scipy", "skimage", "torch"}
    assert sorted(heavy & set(loaded)) == []


def test_each_name_of_the_package_is_there_when_it_is_used() -> None:
    import submit

    for name in submit.__all__:
        assert getattr(submit, name).__name__ == name
        assert name in dir(submit)
    with pytest.raises(AttributeError, match="no attribute 'Predictions'"):
        _ = submit.Predictions


def test_no_two_public_classes_share_a_name() -> None:
    places: dict[str, list[str]] = {}
    for folder in ("submit", "models"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in parsed(path).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    place = path.relative_to(ROOT).as_posix()
                    places.setdefault(node.name, []).append(place)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
