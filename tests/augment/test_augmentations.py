"""A new augmentation is one file; commands, help and docs use the registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from submit.augment import AUGMENTATIONS, forms, parse_variant
from submit.system.schema import settings_of
from tests.toolkit import Toolkit

#: The whole of a file that adds an augmentation.
BLUR = '''
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


@pytest.mark.slow
def test_a_new_augmentation_is_a_variant_and_stands_in_help_and_docs(
    tmp_path: Path,
) -> None:
    """Add one file to the folder, and run the command and the tool."""
    toolkit = Toolkit(tmp_path, "submit/augment/augmentations/blur.py", BLUR)
    lines = toolkit.run("""
    from submit.augment import parse_variant
    from submit.errors import OptionError
    print(parse_variant("blur=3+hflip"), parse_variant("blur=0"))
    try:
        parse_variant("blur=10")
    except OptionError as error:
        print(error)

    import write_docs
    print(write_docs.render_methods())

    from submit.cli import cli
    cli(["predict", "--help"])
    """)
    assert lines[:2] == [
        "hflip+blur=3 plain",
        "variant 'blur=10': expected blur=<whole number from 0 to 9>, found '10'",
    ]
    assert (
        "| `blur` | `radius = 0`: a whole number from 0 to 9 | Out of focus. |" in lines
    )
    shown = " ".join(" ".join(lines).split())
    assert "hflip, scale=F, zoom, gamma=G, blur=R, clahe" in shown


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_says_what_it_shows(name: str) -> None:
    kind = AUGMENTATIONS[name]
    assert kind.__doc__
    assert bool(kind.metavar) == bool(settings_of(kind))
    assert f"{name}={kind.metavar}".rstrip("=") in forms()
    text = f"{name}=2" if kind.metavar else name
    assert str(parse_variant(text)) == text
