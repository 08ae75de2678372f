"""Each augmentation is one file: everything else is made from the registry."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from submit.augment import AUGMENTATIONS, forms, parse_variant
from submit.system.schema import settings_of


def test_a_new_augmentation_is_a_variant_and_stands_in_help_and_docs(
    repository: Path, tmp_path: Path
) -> None:
    """Put one file into the folder, and ask the command and the tool."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(repository / "submit", tmp_path / "submit", ignore=ignore)
    shutil.copytree(repository / "tools", tmp_path / "tools", ignore=ignore)
    folder = tmp_path / "submit" / "augment" / "augmentations"
    (folder / "blur.py").write_text(
        dedent(
            '''
            from dataclasses import dataclass
            from ...system.schema import setting
            from ..augmentation import AUGMENTATIONS, Augmentation

            @AUGMENTATIONS.register
            @dataclass(frozen=True)
            class Blur(Augmentation):
                """Out of focus."""

                name = "blur"
                order = 45
                depth = 35
                metavar = "R"

                radius: int = setting(0, "Pixels.", low=0, high=9)
            '''
        )
    )

    def printed(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "200"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    code = "import sys; from submit.cli import cli; cli(sys.argv[1:])"
    shown = printed("-c", code, "predict", "--help")
    assert "hflip, scale=F, zoom, gamma=G, blur=R, clahe" in " ".join(shown.split())
    code = """
from submit.augment import parse_variant
from submit.errors import OptionError
print(parse_variant("blur=3+hflip"), parse_variant("blur=0"))
try:
    parse_variant("blur=10")
except OptionError as error:
    print(error)
"""
    assert printed("-c", code).splitlines() == [
        "hflip+blur=3 plain",
        "variant 'blur=10': expected blur=<whole number from 0 to 9>, found '10'",
    ]
    code = "import sys; sys.path.insert(0, 'tools'); import write_docs as w; "
    code += "print(w.render_methods())"
    row = "| `blur` | `radius = 0`: a whole number from 0 to 9 | Out of focus. |"
    assert row in printed("-c", code)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_says_what_it_shows(name: str) -> None:
    kind = AUGMENTATIONS[name]
    assert kind.__doc__
    assert bool(kind.metavar) == bool(settings_of(kind))
    assert f"{name}={kind.metavar}".rstrip("=") in forms()
    text = f"{name}=2" if kind.metavar else name
    assert str(parse_variant(text)) == text
