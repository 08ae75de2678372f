"""Rows of `predict`, `predictors` and `anchors`."""

from __future__ import annotations

from pathlib import Path

from tests.commands.rows import Row, read

__all__ = ["ROWS"]

_PREDICT = "predict split --predictor static --name new"
_ANCHORS = "anchors one true --split split --min-agreement 0.2 --distance 1"


def _settings(folder: str = "runs/new") -> dict[str, object]:
    settings: dict[str, object] = read(f"{folder}/manifest.json")["settings"]
    return settings


def _prompter() -> dict[str, object]:
    prompter = _settings()["prompter"]
    assert isinstance(prompter, dict)
    return prompter


def _masks_of(file: str) -> list[tuple[str, str, str]]:
    """Video, frame and object of each prompt."""
    return [
        (video, frame, key)
        for video, frames in read(file)["videos"].items()
        for frame, given in frames.items()
        for key in given
    ]


ROWS = (
    Row("runs", stdout=["run", "import", "predict static", "3 of 3", "1 of 3"]),
    Row("runs part true --json", data={"0.run": "part", "1.kind": "import"}),
    Row("runs one", stdout=["digest", "J&Ḟ_d", "3 of 3"]),
    Row("runs --runs mine", stdout=["no runs in mine"]),
    Row(
        "runs part true --delete --yes",
        stdout=["part, true"],
        check=lambda done: [path.name for path in Path("runs").iterdir()] == ["one"],
    ),
    Row(
        "runs part --delete",
        input="n\n",
        code=1,
        stderr=["Delete part"],
        files=["runs/part/manifest.json"],
    ),
    Row(
        f"{_PREDICT} --part 2/2 --json",
        data={"run": "runs/part-2-of-2/new", "done": ["small"]},
    ),
    Row(f"{_PREDICT} --part 3/2", code=2, stderr=["expected I/N"]),
    Row(
        f"{_PREDICT} --videos similar --runs mine --workers 3 --json",
        data={"run": "mine/new", "done": ["similar"], "frames": 6},
        files=["mine/new/soft/similar.npz"],
        workers=3,
    ),
    Row(
        f"{_PREDICT} --meta few.json",
        stderr=["few.json: lists 1 video that has no folder, such as gone"],
        files=["runs/new/manifest.json"],
    ),
    Row(
        "predict split --predictor model.py:CentrePredictor --name new -o radius=3",
        check=lambda done: _settings()["options"] == {"radius": 3.0},
    ),
    Row(
        f"{_PREDICT} --option radius=3",
        code=1,
        stderr=["predictor static has no option 'radius'"],
    ),
    Row(
        f"{_PREDICT} --variant hflip --tta scale=0.5",
        check=lambda done: (
            (_settings()["variant"], _settings()["tta"]) == ("hflip", ["scale=0.5"])
        ),
    ),
    Row(
        f"{_PREDICT} --late-objects --prompts prompts.json",
        check=lambda done: _settings()["late_objects"] and _settings()["prompts"],
    ),
    Row(
        f"{_PREDICT} --prompts prompts.json --direction both",
        check=lambda done: _settings()["direction"] == "both",
    ),
    Row(
        f"{_PREDICT} --prompter model.py:CentrePredictor --prompter-option radius=3",
        check=lambda done: _prompter()["options"] == {"radius": 3.0},
    ),
    Row(
        f"{_PREDICT} --direction backward",
        code=1,
        stderr=["direction backward: tracking backward starts at a prompt after"],
    ),
    Row(
        f"{_PREDICT} --soft",
        files=["runs/new/soft/vanish.npz"],
        absent=["masks/"],
    ),
    Row(f"{_PREDICT} --no-soft", files=["runs/new/masks/vanish/00005.png"]),
    Row(
        f"{_PREDICT} --executor ray --device cpu",
        check=lambda done: done.opened.devices == ["ray cpu"],
    ),
    Row(f"{_PREDICT} --device cuda:77", code=1, stderr=["--device cuda:77: is not "]),
    Row(
        "predictors model.py:CentrePredictor -o radius=3 --json",
        data={"description.model": "centre", "options.0.name": "radius"},
    ),
    Row(
        "predictors model.py:CentrePredictor --option radius=wide",
        code=1,
        stderr=["option radius=wide: expected a number"],
    ),
    Row(
        "predictors model.py:CentrePredictor --check --frames 16 --device cpu --json",
        data={"passed": True, "requirements.memory": "passed"},
    ),
    Row("predictors", stdout=["static", "Repeats the given masks in every frame"]),
    Row(
        "weights list sam3 sam2.1_hiera_tiny --folder mine --json",
        data={"0.name": "sam3", "0.path": None, "1.size": 156_008_466},
    ),
    Row("weights", stdout=["sam2.1_hiera_large", "898.1 MB", "access on request"]),
    Row("weights fetch sam9", code=1, stderr=["no weights called sam9 are known"]),
    Row(
        f"{_ANCHORS} -o a.json --per-object 1 --workers 1 --json",
        data={"prompts": "a.json", "all_objects": 9, "skipped": []},
        check=lambda done: len(_masks_of("a.json")) == done.at("masks") > 0,
        workers=1,
    ),
    Row(
        "anchors one true --split split -o a.json --min-agreement 0.01 --distance 1"
        " --meta few.json",
        stderr=["few.json: lists 1 video that has no folder, such as gone"],
        # Of masks that are 2 frames and more apart there are three.
        stdout=["masks     9"],
    ),
    Row(
        f"{_ANCHORS} --output recipe.toml --videos vanish --force",
        check=lambda done: {one[0] for one in _masks_of("recipe.toml")} == {"vanish"},
    ),
    Row(
        f"{_ANCHORS} -o a.json --runs mine",
        code=1,
        stderr=["mine/one: no such run"],
    ),
)
