"""Rows of `import`, `ensemble`, `export`, `pack`, `check` and `repair`."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from submit.masks import encode_rle
from tests.commands.rows import Row, Stage, put, read

__all__ = ["ROWS"]

_ENSEMBLE = "ensemble one true --name new"
_EXPORT = "export one -o out --videos similar"
_GATE = {
    "threshold": 0.4,
    "weights": {"one": 1.0},
    "return_weights": {"true": 1.0},
    "evidence": "score",
    "drop_blind": True,
}
_GONE = "few.json: lists 1 video that has no folder, such as gone"


def _merging() -> dict[str, Any]:
    """How the members of the run `new` were merged."""
    settings: dict[str, Any] = read("runs/new/manifest.json")["settings"]
    return settings


def _names(path: str) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


_FRAMES = [f"{frame:05}" for frame in range(6)]


def _arrays(stage: Stage) -> None:
    """Scores of `similar`, for each frame in a file."""
    del stage
    folder = Path("arrays/similar")
    folder.mkdir(parents=True)
    for frame in _FRAMES:
        np.save(folder / f"{frame}.npy", np.full((2, 16, 24), 0.25, np.float32))


def _highest_logit() -> float:
    with np.load("runs/new/soft/similar.npz") as soft:
        codes = soft["00003"].astype(np.intp) + 128
        return float(soft["values"][codes].max())


def _coco(stage: Stage) -> None:
    """Masks of `similar` as COCO has them, with the object's id as `thing`."""
    del stage
    mask = encode_rle(np.eye(64, 96, dtype=bool))
    images = [
        {"id": number, "file_name": f"similar/{frame}.jpg"}
        for number, frame in enumerate(_FRAMES)
    ]
    masks = [
        {"image_id": number, "thing": key, "segmentation": mask}
        for number in range(len(_FRAMES))
        for key in (1, 2)
    ]
    content = {"images": images, "annotations": masks}
    Path("coco.json").write_text(json.dumps(content))


def _boxes(stage: Stage) -> None:
    """Two boxes of `similar` as COCO has them, the second one with a low score."""
    del stage
    images = [
        {"id": number, "file_name": f"similar/{_FRAMES[number]}.jpg"}
        for number in (1, 2)
    ]
    boxes = [
        {"image_id": number, "object_id": 1, "bbox": [8, 8, 16, 16], "score": score}
        for number, score in ((1, 0.9), (2, 0.1))
    ]
    Path("boxes.json").write_text(json.dumps({"images": images, "annotations": boxes}))


ROWS = (
    Row(
        "import one.zip --name new --split split --videos s*r --runs mine --json",
        data={"run": "mine/new", "done": ["similar"]},
        files=["mine/new/masks/similar/00005.png"],
    ),
    Row(
        "import one.zip --name new --split split --meta few.json --workers 3",
        stdout=["imported          3 videos, 18 frames"],
        stderr=[_GONE],
        workers=3,
    ),
    Row(
        "import one.zip --name new --split split --format coco-rle",
        code=1,
        stderr=["coco-rle"],
    ),
    Row(
        "import arrays --name new --split split --as probabilities",
        prepare=_arrays,
        files=["runs/new/soft/similar.npz"],
        # They are all 0.25, which is a positive logit as well.
        check=lambda done: _highest_logit() < 0,
    ),
    Row(
        "import coco.json --name new --split split --object-key thing",
        prepare=_coco,
        stdout=["imported          1 video, 6 frames"],
    ),
    Row(
        "import true --as-prompts -o p.json --split split --frames 2,last",
        check=lambda done: (
            list(read("p.json")["videos"]["similar"]) == ["00002", "00005"]
        ),
    ),
    Row(
        "import true --as-prompts --output p.json --split split --absences --force",
        prepare=lambda stage: put("p.json"),
        check=lambda done: read("p.json")["version"] == 1,
    ),
    Row(
        "import boxes.json --as-prompts -o p.json --split split --min-score 0.5",
        prepare=_boxes,
        check=lambda done: list(read("p.json")["videos"]["similar"]) == ["00001"],
    ),
    Row(
        f"{_ENSEMBLE} --method vote --split valid --workers 3 --json",
        data={"run": "runs/new", "frames": 18, "details.members.1.name": "true"},
        check=lambda done: _merging()["method"] == "vote",
        workers=3,
    ),
    Row(
        f"{_ENSEMBLE} --weights 3,1",
        stdout=["one      0.750", "true     0.250"],
    ),
    Row(
        f"{_ENSEMBLE} --gate one --gate-return true --gate-threshold 0.4",
        check=lambda done: _merging()["gate"] == _GATE,
    ),
    Row(
        "ensemble --settings tuned.toml",
        stdout=["runs/one+true"],
        files=["runs/one+true/manifest.json"],
    ),
    Row("ensemble one part", code=1, stderr=["run part lacks 2 of 3 videos"]),
    Row(
        "ensemble one part --missing reweight",
        stdout=["merged            3 videos, 18 frames"],
    ),
    Row(f"{_ENSEMBLE} --runs mine", code=1, stderr=["mine/one: no such run"]),
    Row(
        f"{_EXPORT} --settings tuned.toml --split valid --workers 3 --json",
        data={"postprocess": {"threshold": 1.5}, "done": ["similar"], "masks": "out"},
        files=["out/similar/00005.png"],
        workers=3,
    ),
    Row(
        f"{_EXPORT} --settings tuned.toml --threshold 0.5 --components 0.1"
        " --min-area 3 --holes 0.05 --gaps 2 --flicker 1 --flicker-score 1.5"
        " --dropout 1",
        stdout=[
            "threshold = 0.5, components = 0.1, min_area = 3, holes = 0.05, gaps = 2, "
            "flicker = 1, flicker_score = 1.5, dropout = 1"
        ],
    ),
    Row("export one --output out", files=["out/vanish/00005.png"]),
    Row(
        f"{_ENSEMBLE} --part 2/2 --json",
        data={"run": "runs/part-2-of-2/new", "done": ["small"]},
    ),
    Row(
        "export one -o out --part 2/2 --json",
        data={"masks": "part-2-of-2/out", "done": ["small"]},
    ),
    Row(
        f"{_ENSEMBLE} --executor ray",
        check=lambda done: done.opened.devices == ["ray cpu"],
    ),
    Row(
        "export one -o out --executor ray",
        check=lambda done: done.opened.devices == ["ray cpu"],
    ),
    Row(
        "merge-parts new --runs mine --partial --json",
        code=1,
        stderr=["expected mine/part-I-of-N/new"],
    ),
    Row(
        "merge-parts new --delete",
        before=[f"{_ENSEMBLE} --part {n}/2" for n in (1, 2)],
        stdout=["videos         3 videos"],
        check=lambda done: not list(Path("runs").glob("part-*/new")),
    ),
    Row("export one --runs mine", code=1, stderr=["mine/one: no such run"]),
    Row(
        "pack part --output p.zip --partial --team team.json --split valid --json",
        data={"videos": 1, "frames": 6},
        check=lambda done: _names("p.zip")[0] == "team.json",
    ),
    Row("pack part -o p.zip", code=1, stderr=["lacks 2 of 3 videos", "--partial"]),
    Row(
        "pack one -o notes.txt --force",
        check=lambda done: len(_names("notes.txt")) == 18,
    ),
    Row("pack one -o p.zip --runs mine", code=1, stderr=["mine/one: no such run"]),
    Row(
        "check bare.zip --split split --json",
        code=1,
        data={"findings.0.code": "frames", "frames": 17},
    ),
    Row(
        "check one --split split --meta few.json --videos similar --workers 1",
        stdout=["looked at  1 of 3 videos", "masks      6"],
        workers=1,
    ),
    Row(
        "check one.zip --split split --meta few.json --team",
        code=1,
        stdout=["fatal team-missing"],
        stderr=[_GONE],
    ),
    Row(
        "check part --split split --sample sample.zip --runs runs",
        code=1,
        stdout=["videos    1 of 1"],
    ),
    Row(
        "check one.zip --split split --executor ray",
        stdout=["masks     18"],
        check=lambda done: done.opened.devices == ["ray cpu"],
    ),
    Row(
        "check one --split split -o out --force --json",
        prepare=lambda stage: put("out/check.json"),
        check=lambda done: read("out/check.json") == done.at(""),
    ),
    Row("check one --split split --output out", files=["out/check.json"]),
    Row(
        "check one --split split -o out --part 2/3 --json",
        data={"part": "part-2-of-3/out", "videos": 1, "frames": 6},
        files=["part-2-of-3/out/checked.json"],
    ),
    Row("check one --split split --part 2/3", code=2, stderr=["--part needs -o DIR"]),
    Row("check two --split split --runs mine", code=1, stderr=["mine/two: no such"]),
    Row(
        "repair bare.zip --split split -o f.zip --fill-missing --team team.json"
        " --workers 1 --json",
        data={
            "repaired.corrections.0.what": "team.json put at the root",
            "repaired.corrections.1.where": "vanish/00002.png",
            "check.frames": 18,
        },
        files=["f.zip"],
        workers=1,
    ),
    Row(
        "repair bare.zip --split split --meta few.json --output notes.txt --force",
        code=1,
        stderr=[_GONE],
        check=lambda done: len(_names("notes.txt")) == 17,
    ),
    Row(
        "repair one.zip --split split -o f.zip --sample sample.zip",
        code=1,
        stdout=["left out: not a mask of a frame     12"],
    ),
)
