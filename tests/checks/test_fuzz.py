from __future__ import annotations

import random
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from submit.checks import check_masks
from submit.data import Split
from submit.errors import SubmitError
from tests.submissions import (
    good_names,
    saved,
    write_zip,
)


def checks_or_fails_politely(split: Split, folder: Path, chance: random.Random) -> None:
    names = good_names()
    for _ in range(chance.randint(1, 6)):
        name = chance.choice(list(names))
        data = names[name] or b"x"
        match chance.randrange(7):
            case 0:
                del names[name]
            case 1:
                names[name + chance.choice(["x", "/", "\\", "\0", ".png"])] = data
            case 2:
                names[chance.choice(["../", "/", "__MACOSX/", "x/y/"]) + name] = data
            case 3:
                place = chance.randrange(len(data))
                value = bytes([chance.randrange(256)])
                names[name] = data[:place] + value + data[place + 1 :]
            case 4:
                names[name] = data[: chance.randrange(len(data))]
            case 5:
                names[chance.choice(["team.json", "metadata", ".x", "x"])] = data
            case 6:
                names[name] = saved(
                    Image.new(chance.choice(["RGB", "1", "I;16"]), (9, 9))
                )
        if not names:
            break
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Duplicate name")  # Names end at a NUL.
        path = write_zip(folder / "a.zip", names)
    content = bytearray(path.read_bytes())
    for _ in range(chance.choice([0, 0, 1, 5])):
        content[chance.randrange(len(content))] = chance.randrange(256)
    path.write_bytes(content)
    try:
        report = check_masks(path, split, team=chance.random() < 0.2, workers=1)
    except SubmitError:
        return
    assert report.exit_code in (0, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.slow
@settings(max_examples=100)
@given(chance=st.randoms(use_true_random=False))
def test_whatever_is_in_a_zip_is_reported(
    split: Split, folder: Path, chance: random.Random
) -> None:
    checks_or_fails_politely(split, folder, chance)


@pytest.mark.slow
@settings(max_examples=5_000)
@given(chance=st.randoms(use_true_random=False))
def test_whatever_is_in_many_zips_is_reported(
    split: Split, folder: Path, chance: random.Random
) -> None:
    checks_or_fails_politely(split, folder, chance)
