"""Rows of `report`, `overlay`, `plot` and `show`."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.commands.rows import Done, Row, Stage

__all__ = ["ROWS"]

_REPORT = "report one true --split split"
_OVERLAY = "overlay one true vanish --split split"
_SHOW = "show one vanish --split split"
_NO_META = "gone.json: cannot be read"
_NO_RUN = "mine/one: no such run"


def _size(path: str) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def _frames(path: str) -> tuple[int, object]:
    """How many frames a film has, and milliseconds of each."""
    with Image.open(path) as image:
        image.load()
        return getattr(image, "n_frames", 1), image.info.get("duration")


def _same(one: str, other: str) -> bool:
    with Image.open(one) as a, Image.open(other) as b:
        return a.size == b.size and a.tobytes() == b.tobytes()


def _strip(done: Done) -> bool:
    """Two frames, the longer side of which is 64 pixels, below each other."""
    del done
    return _size("r/videos/0/frames.webp") == (64, 2 * 43)


def _matplotlib(stage: Stage) -> None:
    del stage
    pytest.importorskip("matplotlib")


_SCORES = "plot scores one true --split split"
_TIMELINE = "plot timeline one true vanish --split split"
_MEMBERS = "plot ensemble one true --split split"

ROWS = (
    Row(
        f"{_REPORT} -o r --frames 2 --side 64 --workers 1 --json",
        data={"path": "r/index.html", "videos": 3, "frames": 18},
        check=_strip,
        workers=1,
    ),
    Row(f"{_REPORT} --output r --videos similar", stdout=["videos  1"]),
    Row(
        "report both one --split split -o r --members",
        before=["ensemble one true --name both"],
        check=lambda done: "Members of both" in Path("r/index.html").read_text(),
    ),
    Row(
        f"{_REPORT} -o r --part 2/3 --json",
        data={"path": "part-2-of-3/r", "videos": 1},
        files=["part-2-of-3/r/pieces.json", "part-2-of-3/r/videos/0/frames.webp"],
    ),
    Row(
        f"{_REPORT} -o r --executor ray --workers 1 --json",
        data={"videos": 3},
        check=lambda done: "ray cpu" in done.opened.devices,
        workers=1,
    ),
    Row(f"{_REPORT} -o r --members", code=1, stderr=["expected an ensemble"]),
    Row(f"{_REPORT} -o r --meta gone.json", code=1, stderr=[_NO_META]),
    Row(f"{_REPORT} -o r --runs mine", code=1, stderr=[_NO_RUN]),
    Row(
        "report one true --split valid -o r --expected-score e.json",
        before=["tune one true --split split --budget 2 -o t --expected-score e.json"],
        check=lambda done: "expected" in Path("r/index.html").read_text("utf-8"),
    ),
    Row(
        f"{_REPORT} -o r --expected-score e.json",
        code=2,
        stderr=["split has truth; leave the option out"],
    ),
    Row(
        f"{_OVERLAY} -o o.png --count 2 --json",
        check=lambda done: len(done.at("frames")) == 2,
        data={"views": ["truth", "one", "true"], "frames.0": "00000"},
    ),
    Row(
        f"{_OVERLAY} -o o.webp --sheet --frame 2 --frame 00004 --scale 0.5 --columns 1"
        " --no-truth --font-size 0 --json",
        data={"frames": ["00002", "00004"], "views": ["one", "true"]},
        check=lambda done: _frames("o.webp")[0] == 1 and _size("o.webp")[0] < 2 * 96,
    ),
    Row(
        f"{_OVERLAY} --output o.webp --every 2 --fps 4",
        check=lambda done: _frames("o.webp") == (3, 250),
    ),
    Row(
        "overlay one vanish --split split -o new --no-truth --opacity 0 --outline 0"
        " --font-size 0 --scale 1",
        # What is drawn is nothing.
        check=lambda done: _same("new/00002.png", "split/JPEGImages/vanish/00002.jpg"),
    ),
    Row(
        f"{_OVERLAY} -o notes.png --force",
        check=lambda done: _size("notes.png")[0] > 96,
    ),
    Row(f"{_OVERLAY} -o o.png --meta gone.json", code=1, stderr=[_NO_META]),
    Row(f"{_OVERLAY} -o o.png --runs mine", code=1, stderr=[_NO_RUN]),
    Row(
        f"{_SHOW} --frame 3 --json",
        data={"frame": "00003", "objects.2.pixels": 133, "objects.2.object": 3},
    ),
    Row(
        f"{_SHOW} --frame 4 --truth --width 20",
        # Object 2 has left the frame, and the run has not noticed.
        check=lambda done: "2" not in "".join(done.stdout.split("\n")[:7]),
        stdout=["vanish 00004"],
    ),
    Row(f"{_SHOW} --meta gone.json", code=1, stderr=[_NO_META]),
    Row(f"{_SHOW} --runs mine", code=1, stderr=[_NO_RUN]),
    Row(
        f"{_SCORES} -o f.png --by change --width 40 --font-size 6 --workers 1 --json",
        prepare=_matplotlib,
        data={"path": "f.png"},
        # 300 dots in an inch.
        check=lambda done: _size("f.png")[0] == round(40 / 25.4 * 300 - 0.5),
        workers=1,
    ),
    Row(
        f"{_SCORES} --output notes.png --force --videos similar --by objects",
        prepare=_matplotlib,
        stdout=["written  notes.png"],
    ),
    Row(
        f"{_SCORES} -o f.png --runs mine",
        prepare=_matplotlib,
        code=1,
        stderr=[_NO_RUN],
    ),
    Row(
        f"{_SCORES} -o f.png --meta gone.json",
        prepare=_matplotlib,
        code=1,
        stderr=[_NO_META],
    ),
    Row(
        f"{_TIMELINE} -o f.svg --object 1 --width 60 --font-size 7 --json",
        prepare=_matplotlib,
        data={"path": "f.svg", "data.0.name": "truth"},
    ),
    Row(
        f"{_TIMELINE} --output notes.png --force",
        prepare=_matplotlib,
        stdout=["written  notes.png"],
    ),
    Row(
        f"{_TIMELINE} -o f.png --runs mine",
        prepare=_matplotlib,
        code=1,
        stderr=[_NO_RUN],
    ),
    Row(
        f"{_TIMELINE} -o f.png --meta gone.json",
        prepare=_matplotlib,
        code=1,
        stderr=[_NO_META],
    ),
    Row(
        f"{_MEMBERS} -o f.pdf --method vote --metric j --workers 1 --width 100"
        " --font-size 9 --json",
        prepare=_matplotlib,
        data={"path": "f.pdf", "data.0.member": "true"},
        workers=1,
    ),
    Row(
        f"{_MEMBERS} --output notes.png --force --videos similar",
        prepare=_matplotlib,
        stdout=["written  notes.png"],
    ),
    Row(
        f"{_MEMBERS} -o f.png --runs mine",
        prepare=_matplotlib,
        code=1,
        stderr=[_NO_RUN],
    ),
    Row(
        f"{_MEMBERS} -o f.png --meta gone.json",
        prepare=_matplotlib,
        code=1,
        stderr=[_NO_META],
    ),
)
